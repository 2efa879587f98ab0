import { Session } from 'node:inspector/promises'
import { route } from '@atom/contract/route.ts'
import { Type } from 'typebox'
import { type Shares, sharesOf } from './layers.ts'

// What everybody in the benchmark `api` is asked, and what everybody answers: the same bytes.

const Item = Type.Object({
  id: Type.String({ format: 'uuid' }),
  name: Type.String(),
  kind: Type.Union([Type.Literal('room'), Type.Literal('agent')]),
  count: Type.Integer(),
  at: Type.String(),
  labels: Type.Array(Type.String()),
})

export const NewItem = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200 }),
    text: Type.String({ maxLength: 8_000 }),
    count: Type.Integer({ minimum: 0 }),
    labels: Type.Array(Type.String({ maxLength: 40 }), { maxItems: 20 }),
    owner: Type.Object({ id: Type.String({ format: 'uuid' }), name: Type.String() }),
  },
  { additionalProperties: false },
)

const answers = { 200: Item } as const

/** As any door of a room is: for members, everything that is sent checked. */
export const path = '/v1/benchmark/items'

const byId = { params: Type.Object({ id: Type.String({ format: 'uuid' }) }) }
const nothing = { summary: 'For the benchmark', errors: [], answers } as const

export const benchmarkRoutes = {
  read: route({ ...nothing, ...byId, method: 'GET', path: `${path}/{id}`, audience: 'member' }),
  write: route({ ...nothing, method: 'POST', path, audience: 'member', body: NewItem }),
}

const id = '0199e1f0-5b6a-7c3d-8e4f-102132435465'

export const item = {
  id,
  name: 'A room for the engines',
  kind: 'room' as const,
  count: 42,
  at: '2026-11-23T10:11:12.131Z',
  labels: ['first', 'second', 'third'],
}

export const itemBytes = JSON.stringify(item)

/** 600 bytes. */
export const newItemBytes = (() => {
  const body = { name: 'Engines', text: '', count: 7, labels: ['a', 'b'], owner: { id, name: 'Ada' } }
  const text = 'All that is said here is "quoted" once,\nand goes on for some lines. '
  const missing = 600 - JSON.stringify({ ...body, text: '' }).length
  let filled = ''
  while (JSON.stringify(filled).length - 2 < missing) filled += text[filled.length % text.length]
  return JSON.stringify({ ...body, text: filled })
})()

/** The origin of the page that asks; everybody lets it. */
export const origin = 'https://app.example'

export const itemPath = (method: 'GET' | 'POST') => (method === 'GET' ? `${path}/${id}` : path)

/** What the benchmark asks of a process that is measured. */
export type Asked = 'time' | 'watch' | 'where'

export interface Told {
  /** Processor time of the process so far, all threads together. */
  readonly microseconds: number
  /** Where the processor was since `watch`. */
  readonly shares?: Shares
}

/** So seldom that looking costs little, in µs. */
const lookEveryUs = 200

/** Answers the questions of the benchmark's own process about what this one has spent. */
export function tellProcessorTime(url: string, token?: string): void {
  const session = new Session()
  session.connect()
  process.on('message', async (asked: Asked) => {
    let shares: Shares | undefined
    if (asked === 'watch') {
      await session.post('Profiler.enable')
      await session.post('Profiler.setSamplingInterval', { interval: lookEveryUs })
      await session.post('Profiler.start')
    } else if (asked === 'where') shares = sharesOf((await session.post('Profiler.stop')).profile)
    const { user, system } = process.cpuUsage()
    process.send?.({ microseconds: user + system, ...(shares && { shares }) } satisfies Told)
  })
  process.send?.({ url, token })
}
