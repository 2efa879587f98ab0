import { route } from '@atom/contract/route.ts'
import { Type } from 'typebox'

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

export const paths = {
  /** As any door of a room is: for members, everything that is sent checked. */
  full: '/v1/benchmark/items',
  /** For anyone: what the token costs is the difference. */
  open: '/v1/benchmark/open-items',
  /** Nothing that is sent is checked. */
  unchecked: '/v1/benchmark/unchecked-items',
  /** A door of the server itself, without guard and without a schema of its answer. */
  bare: '/v1/benchmark/own-items',
} as const

const byId = { params: Type.Object({ id: Type.String({ format: 'uuid' }) }) }
const nothing = { summary: 'For the benchmark', errors: [], answers } as const

export const benchmarkRoutes = {
  read: route({ ...nothing, ...byId, method: 'GET', path: `${paths.full}/{id}`, audience: 'member' }),
  write: route({ ...nothing, method: 'POST', path: paths.full, audience: 'member', body: NewItem }),
  readOpen: route({ ...nothing, ...byId, method: 'GET', path: `${paths.open}/{id}`, audience: 'anyone' }),
  writeOpen: route({ ...nothing, method: 'POST', path: paths.open, audience: 'anyone', body: NewItem }),
  readUnchecked: route({
    ...nothing,
    method: 'GET',
    path: `${paths.unchecked}/{id}`,
    audience: 'member',
  }),
  writeUnchecked: route({ ...nothing, method: 'POST', path: paths.unchecked, audience: 'member' }),
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

export const itemPath = (path: string, method: 'GET' | 'POST') => (method === 'GET' ? `${path}/${id}` : path)

/** Answers the questions of the benchmark's own process about what this one has spent. */
export function tellProcessorTime(url: string, token?: string): void {
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.({ microseconds: user + system })
  })
  process.send?.({ url, token })
}
