import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { test } from 'node:test'
import type { HealthComponent, HealthStatus } from '@atom/contract/health.ts'
import type { Alert } from '@atom/contract/monitoring.ts'
import sql from 'sql-template-tag'
import type { AccountPrincipal } from '#access/principal.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { parseKeyring } from '#foundation/crypto/keyring.ts'
import { openDatabase } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { Failures } from '#foundation/failure-groups.ts'
import { createLog } from '#foundation/log.ts'
import { createOutbound } from '#foundation/outbound.ts'
import { Alerts, type Raised } from '#operations/alerts.ts'
import { errorAlerts } from '#operations/error-alerts.ts'
import { ErrorsSeen } from '#operations/errors-seen.ts'
import { HealthAlerts } from '#operations/health-alerts.ts'
import { masterKeys, TestClock } from './support/doors.ts'
import { somebody } from './support/live.ts'
import { Network } from './support/network.ts'
import { testDatabase, testLog } from './support/postgres.ts'
import { until } from './support/until.ts'

const aRoom = '0199e000-0000-7000-8000-00000000000a'
const olga: AccountPrincipal = { ...somebody(undefined, 'Olga Operator'), role: 'admin' }

interface Heard {
  readonly id: string
  readonly type: string
  readonly data: Alert
}

/** Processes that share one database, which can be taken away, on time that the test moves; a room and a webhook listen. */
async function scene(options: { readonly pollMs?: number } = {}) {
  await using born = new AsyncDisposableStack()
  const own = born.use(await testDatabase())
  const network = born.use(await Network.before(own.connection))
  const clock = new TestClock()
  const heard: Heard[] = []
  const receiver = createServer(async (request, response) => {
    const body = (await json(request)) as Omit<Heard, 'id'>
    heard.push({ ...body, id: String(request.headers['webhook-id']) })
    response.writeHead(204).end()
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  born.defer(() => {
    receiver.close()
    receiver.closeAllConnections()
  })
  const origin = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`
  const outbound = born.use(createOutbound({ allowLoopback: () => [origin], log: testLog }))
  const envelope = new Envelope({ keyring: parseKeyring(masterKeys, 'the test') })
  const said: string[] = []
  const lines: string[] = []
  const nodes = born.use(new AsyncDisposableStack())
  const node = async (pollMs = 10) => {
    const log = createLog({ level: 'info', write: (line) => void lines.push(line) })
    const database = nodes.use(
      await openDatabase({
        connection: { ...own.connection, ...network.address },
        poolSize: 2,
        log: testLog,
      }),
    )
    const alerts = nodes.use(
      new Alerts({
        ...{ database, envelope, outbound, clock, log },
        say: async ({ text }) => void said.push(text.split('\n', 1)[0] ?? ''),
        requireMember: async (principal, roomId) => {
          if (roomId !== aRoom || principal.id !== olga.id) throw new AtomError('not_a_member')
        },
        pollMs,
        againMs: 10,
      }),
    )
    return { database, alerts, log }
  }
  const one = await node(options.pollMs)
  await one.alerts.setTargets(olga, { roomId: aRoom, webhookUrl: `${origin}/alerts` })
  const alive = born.move()
  return {
    ...{ clock, network, heard, said, lines, origin, node, one },
    /** Whatever fires, or is over, the latest first. */
    all: async () => (await one.alerts.list({})).items,
    [Symbol.asyncDispose]: () => alive.disposeAsync(),
  }
}

type Scene = Awaited<ReturnType<typeof scene>>

function part(status: HealthStatus, required = false): HealthComponent {
  const at = new Date().toISOString()
  const detail = status === 'up' ? {} : { detail: 'It does not answer.' }
  return { status, ...detail, required, since: at, checkedAt: at, latencyMs: 1 }
}

/** Two processes look at the same parts, every five seconds. */
function watchers({ clock, one }: Pick<Scene, 'clock' | 'one'>, alerts: readonly Alerts[]) {
  let parts: Record<string, HealthComponent> = {}
  const watching = alerts.map(
    (each, at) =>
      new HealthAlerts({
        ...{ node: `node-${at}`, alerts: each, clock, log: one.log, everyMs: 0 },
        parts: () => parts,
      }),
  )
  return async (seconds: number, now: Record<string, HealthComponent>) => {
    parts = now
    for (let passed = 0; passed < seconds; passed += 5) {
      clock.pass(5_000)
      for (const each of watching) await each.look()
    }
  }
}

test('[MO20] a part that stays down or unwell is one alert however many processes see it, what goes away or comes back between raises none, and it is over when nobody finds it any more', async () => {
  await using it = await scene()
  const other = await it.node()
  const firing = async () =>
    (await it.all())
      .filter(({ state }) => state === 'firing')
      .map(({ subject, severity }) => `${subject} ${severity}`)
  const see = watchers(it, [it.one.alerts, other.alerts])
  const well = { database: part('up', true), queue: part('up'), cache: part('up'), providers: part('up') }
  await see(60, well)
  // Not long enough, and less than half of the time.
  await see(55, { ...well, queue: part('down') })
  await see(120, well)
  for (let n = 0; n < 10; n++) {
    await see(20, { ...well, queue: part('down') })
    await see(25, well)
  }
  await see(590, { ...well, providers: part('degraded') })
  await see(600, well)
  assert.deepEqual(await it.all(), [])

  // Down most of the time, though it comes back in between.
  for (let n = 0; n < 6; n++) {
    await see(40, { ...well, queue: part('down') })
    await see(20, well)
  }
  const [queue, ...more] = await it.all()
  assert.deepEqual(more, [])
  assert.deepEqual(
    [queue?.kind, queue?.subject, queue?.severity, queue?.state, queue?.title],
    ['component', 'queue', 'page', 'firing', 'Queue is down'],
  )
  assert.match(queue?.why ?? '', /^It does not answer\. .* as node-[01] sees it\.$/)
  await see(240, well)
  await until(async () => (await it.all())[0]?.state === 'resolved')
  assert.equal((await it.all())[0]?.resolution, 'No process finds it any more.')

  // Not well for long can wait, and so can what is done without.
  await see(620, { ...well, providers: part('degraded'), cache: part('down') })
  assert.deepEqual((await firing()).sort(), ['cache ticket', 'providers ticket'])
  // One process still finds it: it goes on.
  const still = watchers(it, [other.alerts])
  await still(620, { ...well, cache: part('down') })
  await until(async () => (await firing()).length === 1)
  assert.deepEqual(await firing(), ['cache ticket'])
  // Without the database everything else is unwell too, and one alert says so.
  const down = { ...well, database: part('down', true), queue: part('down'), providers: part('degraded') }
  await see(900, down)
  await until(async () => (await firing()).length === 1)
  assert.deepEqual(await firing(), ['database page'])
})

test('[MO21] while the database is away its alert is a line of the log and reaches the webhook; when it is back it becomes a row, is told in the room, and ends', async () => {
  await using it = await scene()
  const see = watchers(it, [it.one.alerts])
  await see(10, { database: part('up', true) })
  await it.network.cut()
  const from = it.clock.now()
  await see(90, { database: part('down', true) })
  assert.equal(it.heard.length, 1)
  const [told] = it.heard
  assert.deepEqual(
    [told?.type, told?.data.subject, told?.data.severity, told?.data.title],
    ['alert.firing', 'database', 'page', 'Database is down'],
  )
  const said = it.lines.filter((line) => line.includes('Database is down'))
  assert.equal(said.length, 1)
  assert.match(said[0] ?? '', /"level":"error"/)
  assert.deepEqual(it.said, [])

  await it.network.open()
  await until(() => it.said.length === 1)
  const [row] = await it.all()
  assert.deepEqual([row?.id, row?.state, row?.since], [told?.data.id, 'firing', told?.data.since])
  assert.equal(new Date(row?.since ?? 0).getTime() - from.getTime(), 60_000)
  // Everybody else has had the time to say what they find; then it ends.
  await see(300, { database: part('up', true) })
  await until(() => it.said.length === 2 && it.heard.length === 2)
  assert.deepEqual(it.said, ['Alert: Database is down', 'Over: Database is down'])
  assert.deepEqual([it.heard[1]?.type, it.heard[1]?.data.id], ['alert.resolved', told?.data.id])
  assert.equal((await it.all()).length, 1)
})

test('[MO22] an alert whose process has ended is ended by whoever goes on, and not before everybody has had the time to say that it holds; what still holds goes on', async () => {
  // Whoever is there from the beginning only reads.
  await using it = await scene({ pollMs: 3_600_000 })
  const error = new AtomError('provider_unavailable')
  const process = ({ alerts, database }: Scene['one']) => {
    const failures = new Failures()
    const errors = new ErrorsSeen({
      ...{ failures, database, clock: it.clock, log: testLog, keepMs: 3_600_000 },
      tell: errorAlerts(alerts, testLog),
      ranSince: async () => undefined,
    })
    const happen = async (place: string) => {
      for (let n = 0; n < 60; n++) failures.note({ door: 'http', place, error }, it.clock.now())
      await errors.keep()
    }
    return { errors, happen }
  }
  const away = await it.node()
  const gone = process(away)
  await gone.happen('GET /v1/gone')
  await until(async () => (await it.all()).length === 1)
  const [left] = await it.all()
  await gone.errors[Symbol.asyncDispose]()
  await away.alerts[Symbol.asyncDispose]()
  it.clock.pass(6 * 60_000)

  const began = it.clock.now().getTime()
  const next = process(await it.node())
  const renewed = async () => {
    const [row] = await it.one.database.query<{ until: Date | null }>(
      sql`select max(believed_until) as until from alerts where resolved_at is null`,
    )
    return row?.until?.getTime() === it.clock.now().getTime() + 4 * 60_000
  }
  const state = async (id: string | undefined) => (await it.all()).find((alert) => alert.id === id)
  for (let minute = 0; (await state(left?.id))?.state === 'firing'; minute++) {
    assert.ok(minute < 500, 'it was never ended')
    await next.happen('GET /v1/goes-on')
    await until(renewed)
    it.clock.pass(60_000)
  }
  const over = await state(left?.id)
  assert.ok(Date.parse(over?.resolvedAt ?? '') - began >= 3 * 60_000)
  assert.equal(over?.resolution, 'No process finds it any more.')
  const [goesOn, ...more] = (await it.all()).filter((alert) => alert.state === 'firing')
  assert.deepEqual(more, [])
  assert.ok(Date.parse(goesOn?.since ?? '') - began <= 60_000)
  // And where the process is there it says itself that it is over.
  it.clock.pass(3_600_000)
  await next.errors.keep()
  await until(async () => (await state(goesOn?.id))?.state === 'resolved')
  await next.errors[Symbol.asyncDispose]()
})

test('[MO23] what could wait and cannot any more is told again, once; what gets better is not', async () => {
  await using it = await scene()
  const alert: Raised = {
    ...{ kind: 'objective', subject: 'api latency', severity: 'ticket', title: 'Requests are slow' },
    ...{ why: 'Slowly.', lookAt: 'Traffic' },
  }
  for (const [severity, heard] of [
    ['ticket', 1],
    ['ticket', 1],
    ['page', 2],
    ['page', 2],
    ['ticket', 2],
    ['page', 2],
  ] as const) {
    await it.one.alerts.raise({ ...alert, severity })
    await until(() => it.said.length === heard && it.heard.length === heard)
  }
  await it.one.alerts.resolve('objective', 'api latency', 'It is calm.')
  await until(() => it.said.length === 3 && it.heard.length === 3)
  assert.deepEqual(it.said, [
    'To be looked at: Requests are slow',
    'Alert: Requests are slow',
    'Over: Requests are slow',
  ])
  assert.deepEqual(
    it.heard.map(({ type }) => type),
    ['alert.firing', 'alert.firing', 'alert.resolved'],
  )
  assert.equal(it.heard[1]?.data.severity, 'page')
  assert.equal(new Set(it.heard.map(({ id }) => id)).size, 3)
  assert.equal(new Set(it.heard.map(({ data }) => data.id)).size, 1)
})

test('[MO24] whoever changes where the webhook goes need not be in the room that another operator chose, and cannot choose a room without being in it', async () => {
  await using it = await scene()
  const oscar: AccountPrincipal = { ...somebody(undefined, 'Oscar Operator'), role: 'admin' }
  const { alerts } = it.one
  const { targets, webhookSecret } = await alerts.setTargets(oscar, {
    roomId: aRoom,
    webhookUrl: `${it.origin}/elsewhere`,
  })
  assert.deepEqual([targets.roomId, targets.webhookUrl], [aRoom, `${it.origin}/elsewhere`])
  assert.match(webhookSecret ?? '', /^whsec_/)
  await alerts.setTargets(oscar, { roomId: null, webhookUrl: null })
  await assert.rejects(
    alerts.setTargets(oscar, { roomId: aRoom, webhookUrl: null }),
    (thrown) => thrown instanceof AtomError && thrown.code === 'not_a_member',
  )
})
