import { AtomClient, isMessage, type Room } from '@atom/client'
import { connectionRoutes } from '@atom/contract/connections.ts'
import { failureRoutes } from '@atom/contract/failures.ts'
import { type RoomEvent, roomRoutes } from '@atom/contract/rooms.ts'
import { Metrics } from '#foundation/telemetry/metrics.ts'
import { OtlpExport } from '#foundation/telemetry/otlp-export.ts'
import { testLog } from './log.ts'
import { visitSandbox } from './sandbox-visitor.ts'
import type { ApplicationSettings, ApplicationTold } from './traced-application.ts'
import { until } from './until.ts'

// An application of its own that uses the client and traces itself, as one in a browser does. It tells what it was answered.

const { url, collectorUrl, founder } = JSON.parse(
  process.env['ATOM_TEST_APPLICATION'] ?? '{}',
) as ApplicationSettings
const exporter = new OtlpExport(
  {
    endpoint: collectorUrl,
    headers: {},
    resource: { 'service.name': 'the-page' },
    metricIntervalMs: 60_000,
    spanDelayMs: 50,
  },
  new Metrics(),
  testLog,
)
let active: string | undefined

/** In a span of its own, whose context ends with the synchronous part, as browsers have it. @returns its trace */
async function click(name: string, work: () => Promise<unknown>): Promise<string> {
  const span = exporter.begin(
    { name, kind: 'internal' },
    { parent: undefined, startedAt: Date.now(), leave: () => undefined },
  )
  active = span.traceparent
  const begun = work()
  active = undefined
  await begun
  span.end()
  return span.traceId
}

/** Consents at the sandbox, as a person in a browser does. */
async function connectGitHub(): Promise<void> {
  const cookies: string[] = []
  using browser = new AtomClient({
    baseUrl: url,
    fetch: async (address, init) => {
      const answer = await fetch(address, init)
      for (const line of answer.headers.getSetCookie()) cookies.push(line.split(';', 1)[0] ?? '')
      return answer
    },
  })
  await browser.session.login({ email: founder.email, password: founder.password })
  const begun = await browser.call(connectionRoutes.connect, { body: { provider: 'github' } })
  if (!('authorizeUrl' in begun)) throw new Error('no consent is asked for')
  const back = await visitSandbox(new URL(begun.authorizeUrl), { person: 'ada', decision: 'agree' })
  await fetch(back, { redirect: 'manual', headers: { accept: 'text/html', cookie: cookies.join('; ') } })
}

async function answered(room: Room, count: number): Promise<void> {
  const ends = (event: RoomEvent) => isMessage(event) && event.actor.kind === 'agent'
  await until(() => room.getSnapshot().events.filter(ends).length === count)
}

using client = new AtomClient({ baseUrl: url, traceparent: () => active })
await client.session.setup(founder)
await connectGitHub()
const [first] = await client.rooms.list()
if (first === undefined) throw new Error('there is no room')
const room = client.rooms.room(first.id)
using _open = room.open()

const overSocket = await click('show my issues', () => room.send('list'))
await answered(room, 1)
const overHttp = await click('say it over HTTP', () =>
  client.call(roomRoutes.sendMessage, {
    params: { id: first.id },
    body: { clientId: crypto.randomUUID(), text: 'list' },
  }),
)
await answered(room, 2)
const failed = await click('ask for too much', () => room.send('fail'))
const errors = () => client.call(failureRoutes.errors)
await until(async () => (await errors()).items.some(({ place }) => place === 'model'))
const { items } = await errors()
await exporter[Symbol.asyncDispose]()
const told: ApplicationTold = { overSocket, overHttp, failed, errors: items }
process.stdout.write(`${JSON.stringify(told)}\n`)
