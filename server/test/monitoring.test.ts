import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import type {
  Alert,
  AlertTargets,
  History,
  Objective,
  ObjectiveHistory,
  RouteTraffic,
} from '@atom/contract/monitoring.ts'
import sql from 'sql-template-tag'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { parseKeyring } from '#foundation/crypto/keyring.ts'
import { AtomError } from '#foundation/errors.ts'
import { createOutbound } from '#foundation/outbound.ts'
import { registerCacheMetrics } from '#foundation/telemetry/cache-counts.ts'
import { FineHistogram } from '#foundation/telemetry/fine-histogram.ts'
import { Metrics } from '#foundation/telemetry/metrics.ts'
import { RuntimeReadings } from '#foundation/telemetry/runtime-readings.ts'
import { registerRouteMetrics, type RouteTraffic as Traffic } from '#http/route-traffic.ts'
import { Alerts } from '#operations/alerts.ts'
import { historyReader } from '#operations/history-sources.ts'
import type { HistoryRow } from '#operations/history-store.ts'
import * as historyStore from '#operations/history-store.ts'
import { MetricHistory } from '#operations/metric-history.ts'
import { monitoringDoors } from '#operations/monitoring-routes.ts'
import { Objectives } from '#operations/objectives.ts'
import { PublishTraffic } from '#rooms/publish-traffic.ts'
import { assertProblem, call } from './support/calls.ts'
import { type Doors, founder, masterKeys, openDoors, TestClock } from './support/doors.ts'
import { type TestDatabase, testDatabase, testLog } from './support/postgres.ts'
import { ranAlone } from './support/ran-alone.ts'
import { until } from './support/until.ts'

interface House extends AsyncDisposable {
  readonly own: TestDatabase
  readonly doors: Doors
  readonly clock: TestClock
  readonly history: MetricHistory
  readonly objectives: Objectives
  readonly alerts: Alerts
  readonly metrics: Metrics
  readonly said: { roomId: string; clientId: string; text: string }[]
  readonly traffic: Traffic
  token(): Promise<string>
}

/** The doors of accounts and of monitoring, on time that the test moves. */
async function openHouse(options: { reach?: () => string[]; slow?: Promise<void> } = {}): Promise<House> {
  await using born = new AsyncDisposableStack()
  const own = born.use(await testDatabase())
  const clock = new TestClock()
  const said: House['said'] = []
  const runtime = born.use(new RuntimeReadings())
  const metrics = new Metrics()
  const publishing = new PublishTraffic()
  const outbound = born.use(createOutbound({ allowLoopback: options.reach ?? (() => []), log: testLog }))
  const alerts = born.use(
    new Alerts({
      database: own.database,
      envelope: new Envelope({ keyring: parseKeyring(masterKeys, 'the test') }),
      outbound,
      clock,
      log: testLog,
      say: async (message) => void said.push(message),
      requireMember: async (_principal, roomId) => {
        if (roomId !== aRoom) throw new AtomError('not_found')
      },
      pollMs: 20,
      againMs: 20,
    }),
  )
  let parts: Pick<House, 'history' | 'objectives'> | undefined
  const doors = born.use(
    await openDoors(own.database, {
      clock,
      register: ({ guards, http }) => {
        const history = new MetricHistory({
          database: own.database,
          clock,
          log: testLog,
          node: 'node-1',
          inFlight: () => http.traffic.inFlight(),
          everyMs: 0,
          read: historyReader({
            routes: http.traffic,
            runtime,
            database: own.database,
            providers: () => [],
            publishing,
            sockets: () => 3,
            turns: async () => ({ waiting: 1, running: 0, latenessMs: 250 }),
            log: testLog,
          }),
        })
        const objectives = new Objectives({
          database: own.database,
          history,
          alerts,
          clock,
          log: testLog,
          everyMs: 0,
        })
        monitoringDoors(guards.guard, { history, objectives, alerts })
        registerRouteMetrics(metrics, http.traffic)
        http.get('/v1/fails', async () => {
          throw new Error('on purpose')
        })
        http.get('/v1/waits', async (_request, reply) => {
          await options.slow
          return reply.send('late')
        })
        parts = { history, objectives }
      },
    }),
  )
  assert.ok(parts)
  const alive = born.move()
  let token: string | undefined
  return {
    own,
    doors,
    clock,
    ...parts,
    alerts,
    metrics,
    said,
    traffic: doors.http.traffic,
    token: async () => {
      // Its access ends while the test moves time.
      const route = token === undefined ? '/v1/setup' : '/v1/auth/login'
      const { email, password } = founder
      const body = token === undefined ? founder : { email, password }
      const answer = await call<{ accessToken: string }>(doors.url, 'POST', route, { body })
      token = answer.body.accessToken
      return token
    },
    [Symbol.asyncDispose]: () => alive.disposeAsync(),
  }
}

const aRoom = '0199e000-0000-7000-8000-00000000000a'
const minuteMs = 60_000

async function lines(metrics: Metrics, name: string): Promise<string[]> {
  return (await metrics.text()).split('\n').filter((line) => line.startsWith(name))
}

test('[MO6] every request is counted once, by route template and status, errors by code; whoever leaves early leaves nothing in flight', async () => {
  const slow = Promise.withResolvers<void>()
  await using house = await openHouse({ slow: slow.promise })
  const { url } = house.doors
  const token = await house.token()
  for (let n = 0; n < 7; n++) await call(url, 'GET', '/v1/me', { token })
  for (let n = 0; n < 3; n++) assertProblem(await call(url, 'GET', '/v1/me'), 'unauthenticated')
  assertProblem(await call(url, 'GET', '/v1/fails'), 'internal')
  assertProblem(await call(url, 'DELETE', `/v1/auth/sessions/${aRoom}`, { token }), 'not_found')
  const waiting = get(`${url}/v1/waits`)
  waiting.on('error', () => undefined)
  await until(() => house.traffic.inFlight().get('GET /v1/waits') === 1)
  waiting.destroy()
  await until(() => house.traffic.inFlight().size === 0)
  slow.resolve()

  const counted = await lines(house.metrics, 'http_server_request_duration_seconds_count')
  const count = (method: string, route: string, status: number) => {
    const labels = `http_request_method="${method}",http_route="${route}",http_response_status_code="${status}"`
    return counted
      .find((line) => line.includes(`{${labels}}`))
      ?.split(' ')
      .at(-1)
  }
  assert.equal(count('GET', '/v1/me', 200), '7')
  assert.equal(count('GET', '/v1/me', 401), '3')
  assert.equal(count('GET', '/v1/fails', 500), '1')
  assert.equal(count('GET', '/v1/waits', 499), '1')
  assert.equal(count('DELETE', '/v1/auth/sessions/{id}', 404), '1')
  const errors = await lines(house.metrics, 'atom_http_errors_total')
  assert.ok(errors.some((line) => line.includes('code="unauthenticated",category="access"} 3')))
  assert.ok(errors.some((line) => line.includes('code="internal",category="internal"} 1')))
  const sent = await lines(house.metrics, 'http_server_request_body_size_bytes_sum')
  assert.ok(
    sent.includes(
      `http_server_request_body_size_bytes_sum{http_request_method="POST",http_route="/v1/setup"} ${JSON.stringify(founder).length}`,
    ),
  )
  const received = await lines(house.metrics, 'http_server_response_body_size_bytes_sum')
  assert.ok(received.every((line) => Number(line.split(' ').at(-1)) > 0 || line.includes('waits')))
})

test('[MO7] thousands of unknown addresses and odd methods add no series', async () => {
  await using house = await openHouse()
  const { url } = house.doors
  assertProblem(await call(url, 'GET', '/v1/nothing'), 'not_found')
  const before = (await house.metrics.text()).split('\n').length
  for (let batch = 0; batch < 20; batch++)
    await Promise.all(
      Array.from({ length: 100 }, async (_, n) => {
        const answer = await fetch(`${url}/v1/nothing/${batch}/${n}?x=${n}`)
        await answer.body?.cancel()
      }),
    )
  assert.equal((await house.metrics.text()).split('\n').length, before)
  const [line] = await lines(house.metrics, 'http_server_request_duration_seconds_count')
  assert.match(line ?? '', /http_route="unmatched",http_response_status_code="404"\} 2001$/)
})

test('[MO8] the history of two processes merges into coarser steps with true percentiles, is pruned, and is written once however often it is tried', async () => {
  await using own = await testDatabase()
  const clock = new TestClock()
  // Whole hours make the steps easy to name.
  clock.pass(3_600_000 - (clock.now().getTime() % 3_600_000))
  const began = clock.now().getTime()
  const exact: number[] = []
  const node = (name: string, base: number) => {
    const fine = new FineHistogram()
    const history = new MetricHistory({
      database: own.database,
      clock,
      log: testLog,
      node: name,
      inFlight: () => new Map(),
      everyMs: 0,
      read: async (): Promise<HistoryRow[]> => {
        for (let n = 1; n <= 20; n++) {
          fine.record(base * n)
          exact.push(base * n)
        }
        const taken = fine.take()
        return [
          { metric: 'http.duration', label: 'GET /v1/me', ...(taken ?? assert.fail()) },
          { metric: 'process.cpu', label: '', count: 1, sum: base, peak: base, counts: [] },
          { metric: 'http.failed', label: 'GET /v1/me', count: 0, sum: 2, peak: 2, counts: [] },
        ]
      },
    })
    return history
  }
  const nodes = [node('one', 1), node('two', 10)]
  const tick = async () => {
    clock.pass(10_000)
    for (const each of nodes) await each.tick()
  }
  for (let n = 0; n < 6 * 25; n++) await tick()
  const [one] = nodes
  assert.ok(one)
  const rowsOf = async (step: number) => {
    const [found] = await own.database.query<{ count: number; from: Date; nodes: string }>(
      sql`select count(*), min(at) as from, string_agg(distinct node, ',') as nodes from metric_history where step = ${step}`,
    )
    return found
  }
  const tenMinutes = await rowsOf(600)
  assert.deepEqual([tenMinutes?.count, tenMinutes?.nodes, tenMinutes?.from.getTime()], [6, '', began])
  const minutes = await rowsOf(60)
  assert.deepEqual([minutes?.count, minutes?.nodes], [24 * 3, ''])

  // One range over all three steps: nothing is missing and nothing counts twice.
  const from = new Date(began).toISOString()
  const whole = await one.history({ metric: 'http.duration', from, step: 3_600 })
  assert.deepEqual(whole.count, [exact.length])
  const sorted = exact.toSorted((a, b) => a - b)
  for (const [percent, told] of [
    [50, whole.p50?.[0]],
    [95, whole.p95?.[0]],
    [99, whole.p99?.[0]],
  ] as const) {
    const truly = sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? 0
    assert.ok(Math.abs((told ?? 0) - truly) <= truly * 0.01, `p${percent}: ${told} for ${truly}`)
  }
  const cpu = await one.history({ metric: 'process.cpu', from, step: 3_600 })
  assert.deepEqual([cpu.value, cpu.peak], [[5.5], [10]])
  const failed = await one.history({ metric: 'http.failed', from, step: 3_600 })
  assert.deepEqual(failed.count, [25 * 6 * 2 * 2])

  // Written again, as after a lost answer, it is there once.
  const at = new Date(began + 3_600_000)
  const row = { metric: 'http.failed', label: 'again', count: 0, sum: 1, peak: 1, counts: [] }
  for (let n = 0; n < 2; n++) await historyStore.write(own.database, { step: 10, at, node: 'one' }, [row])
  const spans = [{ step: 10, from: at, to: new Date(at.getTime() + 1) }]
  const [again] = await historyStore.merged(own.database, {
    label: 'again',
    spans,
    places: 10,
    byLabel: true,
  })
  assert.equal(again?.sum, 1)

  // Three hours on, in which another process wrote, the finest rows of the beginning are gone and what they said is not; one
  // interval was still open.
  clock.pass(3 * 3_600_000)
  await ranAlone(own.database, { step: 10, places: 720, until: clock.now() })
  for (let n = 0; n < 6; n++) await tick()
  assert.ok(((await rowsOf(10))?.from.getTime() ?? 0) > began + 3_600_000)
  const later = await one.history({
    metric: 'http.duration',
    from,
    to: new Date(began + 1_800_000).toISOString(),
    step: 600,
  })
  assert.equal(
    later.count.reduce((sum, count) => sum + count, 0),
    (25 * 6 + 1) * 40,
  )
})

test('[MO9] an operator reads each route’s rate, failures and latencies, and any metric over time; nobody else does', async () => {
  await using house = await openHouse()
  const { url } = house.doors
  const token = await house.token()
  for (let n = 0; n < 4; n++) await call(url, 'GET', '/v1/me', { token })
  assertProblem(await call(url, 'GET', '/v1/fails'), 'internal')
  house.clock.pass(11_000)
  await house.history.tick()
  const traffic = await call<{ total: RouteTraffic; items: RouteTraffic[] }>(
    url,
    'GET',
    '/v1/operations/traffic?minutes=15',
    { token },
  )
  assert.equal(traffic.status, 200, JSON.stringify(traffic.body))
  const of = (route: string) => traffic.body.items.find((item) => item.route === route)
  const me = of('/v1/me')
  assert.ok(me !== undefined && me.p50Ms !== null && me.p99Ms !== null && me.p50Ms > 0)
  assert.deepEqual([me.method, me.requests, me.failed, me.failedShare], ['GET', 4, 0, 0])
  assert.equal(of('/v1/fails')?.failedShare, 1)
  assert.equal(traffic.body.items[0]?.route, '/v1/me')
  assert.equal(of('/v1/operations/traffic')?.inFlight, 1)
  assert.equal(traffic.body.total.requests, 6)
  const history = await call<History>(
    url,
    'GET',
    '/v1/operations/history?metric=http.duration&label=GET%20%2Fv1%2Fme',
    { token },
  )
  assert.deepEqual([history.body.kind, history.body.unit, history.body.count], ['duration', 'ms', [4]])
  for (const metric of ['turns.lateness', 'sockets.open', 'process.memory', 'database.duration']) {
    const { body } = await call<History>(url, 'GET', `/v1/operations/history?metric=${metric}`, { token })
    assert.ok((body.value[0] ?? 0) > 0, metric)
  }
  const path = '/v1/operations/history?metric='
  assertProblem(await call(url, 'GET', `${path}no.such`, { token }), 'validation_failed')
  const wrong = `${path}http.duration&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z`
  assertProblem(await call(url, 'GET', wrong, { token }), 'validation_failed')
  for (const each of ['traffic', 'history?metric=http.duration', 'objectives', 'alerts', 'alert-targets'])
    assertProblem(await call(url, 'GET', `/v1/operations/${each}`), 'unauthenticated')
})

test('[MO10] an objective that is missed fires one alert, however many processes judge, in plain words, and it resolves; an operator changes it', async () => {
  await using house = await openHouse()
  const { url, clock } = house.doors
  const { database } = house.own
  clock.pass(minuteMs - (clock.now().getTime() % minuteMs))
  await using second = new Objectives({
    database,
    history: house.history,
    alerts: house.alerts,
    clock,
    log: testLog,
    everyMs: 0,
  })
  const fine = new FineHistogram()
  const minute = async (total: number, bad: number) => {
    for (let n = 0; n < total; n++) fine.record(20)
    const rows = [
      { metric: 'class.duration', label: 'api', ...(fine.take() ?? assert.fail()) },
      { metric: 'class.failed', label: 'api', count: 0, sum: bad, peak: bad, counts: [] },
    ]
    await historyStore.write(database, { step: 10, at: clock.now(), node: 'node-1' }, rows)
    clock.pass(minuteMs)
    // Half a minute later everybody has written.
    clock.pass(30_000)
    await Promise.all([house.objectives.tick(), second.tick()])
    clock.pass(-30_000)
  }
  const firing = () => house.alerts.firing('objective', 'api availability')
  for (let n = 0; n < 10; n++) await minute(100, 0)
  assert.equal(await firing(), undefined)
  // Ten good minutes and then 20 %: an hour of 14.4 times needs 1.44 %; five minutes hold 4 % with the first bad one.
  await minute(100, 20)
  const raised = await firing()
  assert.ok(raised !== undefined)
  assert.deepEqual([raised.severity, raised.state, raised.title], ['page', 'firing', 'Requests fail'])
  assert.match(raised.why, /^In the last hour 1\.82 % did not hold to it: 99\.9 % of requests are answered/)
  assert.match(raised.lookAt, /Traffic/)
  for (let n = 0; n < 4; n++) await minute(100, 20)
  const alerts = async () =>
    (await house.alerts.list({})).items.filter(({ subject }) => subject === 'api availability')
  assert.equal((await alerts()).length, 1)

  const token = await house.token()
  const listed = await call<{ items: Objective[] }>(url, 'GET', '/v1/operations/objectives', { token })
  const objective = listed.body.items.find((each) => each.class === 'api' && each.kind === 'availability')
  assert.ok(objective !== undefined)
  assert.deepEqual([objective.firing, objective.requests], ['page', 1_500])
  assert.equal(objective.burns.length, 3)
  // 99 % is held by 6.7 % bad no better; with 60 % as the target it is.
  const changed = await call<Objective>(url, 'PATCH', `/v1/operations/objectives/${objective.id}`, {
    token,
    body: { target: 0.6 },
  })
  assert.deepEqual([changed.status, changed.body.target], [200, 0.6])
  const latency = { token, body: { thresholdMs: 100 } }
  assertProblem(
    await call(url, 'PATCH', `/v1/operations/objectives/${objective.id}`, latency),
    'validation_failed',
  )
  for (let n = 0; n < 5; n++) await minute(100, 0)
  const [over] = await alerts()
  assert.deepEqual([over?.state, (await alerts()).length], ['resolved', 1])
  assert.match(over?.resolution ?? '', /within its budget/)
})

test('[MO11] news of an alert reach the room once and the webhook signed, again after a failure, under the same id', async () => {
  const heard: { id: string; signature: string; timestamp: string; body: string }[] = []
  let refuse = 2
  const receiver = createServer(async (request, response) => {
    const body = await text(request)
    const field = (name: string) => String(request.headers[name])
    heard.push({
      id: field('webhook-id'),
      signature: field('webhook-signature'),
      timestamp: field('webhook-timestamp'),
      body,
    })
    response.statusCode = refuse-- > 0 ? 500 : 204
    response.end()
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  const origin = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`
  await using house = await openHouse({ reach: () => [origin] })
  const { url } = house.doors
  const token = await house.token()
  const put = (roomId: string | null, webhookUrl: string | null) =>
    call<{ targets: AlertTargets; webhookSecret: string | null }>(
      url,
      'PUT',
      '/v1/operations/alert-targets',
      {
        token,
        body: { roomId, webhookUrl },
      },
    )
  assertProblem(await put('0199e000-0000-7000-8000-00000000000b', null), 'not_found')
  assertProblem(await put(null, 'no address'), 'validation_failed')
  const { body } = await put(aRoom, `${origin}/alerts`)
  const secret = body.webhookSecret ?? assert.fail()
  assert.equal((await put(aRoom, `${origin}/alerts`)).body.webhookSecret, null)
  const [stored] = await house.own.database.query<{ sealed: Buffer }>(
    sql`select webhook_secret as sealed from alert_targets`,
  )
  assert.ok(stored !== undefined && !stored.sealed.includes(secret))

  const alert = {
    kind: 'component',
    subject: 'database',
    severity: 'page',
    title: 'The database does not answer',
    why: 'Three checks in a row failed.',
    lookAt: 'Operations, Health.',
  } as const
  await house.alerts.raise(alert)
  await house.alerts.raise({ ...alert, why: 'Four checks in a row failed.' })
  await until(() => heard.length === 3)
  await house.alerts.resolve('component', 'database', 'It answers again.')
  await house.alerts.resolve('component', 'database', 'It answers again.')
  await until(() => heard.length === 4)
  await until(async () => (await house.alerts.targets()).waiting === 0)
  assert.equal(new Set(heard.slice(0, 3).map(({ id }) => id)).size, 1)
  assert.notEqual(heard[3]?.id, heard[0]?.id)
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
  for (const { id, signature, timestamp, body: sent } of heard) {
    const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${sent}`).digest('base64')
    assert.equal(signature, `v1,${expected}`)
  }
  const parsed = heard.map((each) => JSON.parse(each.body) as { type: string; data: Alert })
  assert.deepEqual(
    parsed.map(({ type }) => type),
    ['alert.firing', 'alert.firing', 'alert.firing', 'alert.resolved'],
  )
  assert.equal(parsed[3]?.data.resolution, 'It answers again.')
  assert.equal(house.said.length, 2)
  assert.equal(new Set(house.said.map(({ clientId }) => clientId)).size, 2)
  assert.match(house.said[0]?.text ?? '', /^Alert: The database does not answer\n\n/)
  assert.match(house.said[1]?.text ?? '', /^Over: The database does not answer/)

  // The test of the targets is an alert like any other, and leaves none behind.
  assert.equal((await call(url, 'POST', '/v1/operations/alert-targets/test', { token })).status, 202)
  await until(() => house.said.length === 4)
  const listed = await call<{ items: Alert[]; next: string | null }>(
    url,
    'GET',
    '/v1/operations/alerts?limit=1',
    { token },
  )
  assert.deepEqual([listed.body.items[0]?.kind, listed.body.items[0]?.state], ['test', 'resolved'])
  const rest = await call<{ items: Alert[] }>(
    url,
    'GET',
    `/v1/operations/alerts?cursor=${listed.body.next}`,
    { token },
  )
  assert.deepEqual(
    rest.body.items.map(({ kind, why }) => [kind, why]),
    [['component', 'Four checks in a row failed.']],
  )
  receiver.close()
  receiver.closeAllConnections()
})

test('[MO25] how an objective was kept over time is told in steps, by what is promised now', async () => {
  await using house = await openHouse()
  const { url, clock } = house.doors
  clock.pass(3_600_000 - (clock.now().getTime() % 3_600_000))
  const fine = new FineHistogram()
  for (const [ms, failed] of [
    [20, 0],
    [20, 5],
    [700, 0],
  ] as const) {
    for (let n = 0; n < 50; n++) fine.record(ms)
    await historyStore.write(house.own.database, { step: 10, at: clock.now(), node: 'node-1' }, [
      { metric: 'class.duration', label: 'api', ...(fine.take() ?? assert.fail()) },
      { metric: 'class.failed', label: 'api', count: 0, sum: failed, peak: failed, counts: [] },
      { metric: 'class.failed', label: 'proxy', count: 0, sum: 9, peak: 9, counts: [] },
    ])
    clock.pass(10 * minuteMs)
  }
  const token = await house.token()
  const { body } = await call<{ items: Objective[] }>(url, 'GET', '/v1/operations/objectives', { token })
  const kept = async (kind: Objective['kind'], hours: number) => {
    const of = body.items.find((each) => each.class === 'api' && each.kind === kind)?.id
    return await call<ObjectiveHistory>(
      url,
      'GET',
      `/v1/operations/objectives/${of}/history?hours=${hours}`,
      {
        token,
      },
    )
  }
  const availability = (await kept('availability', 2)).body
  assert.deepEqual(
    [availability.total, availability.bad],
    [
      [50, 50, 50],
      [0, 5, 0],
    ],
  )
  assert.equal(availability.at[1], (availability.at[0] ?? 0) + 10 * minuteMs)
  const latency = (await kept('latency', 2)).body
  assert.deepEqual(
    [latency.total, latency.bad],
    [
      [50, 50, 50],
      [0, 0, 50],
    ],
  )
  const slow = body.items.find((each) => each.class === 'api' && each.kind === 'latency')
  const change = { token, body: { thresholdMs: 1_000 } }
  assert.equal((await call(url, 'PATCH', `/v1/operations/objectives/${slow?.id}`, change)).status, 200)
  assert.deepEqual((await kept('latency', 720)).body.bad, [0])
  assertProblem(await call(url, 'GET', `/v1/operations/objectives/${aRoom}/history`, { token }), 'not_found')
  assertProblem(await call(url, 'GET', `/v1/operations/objectives/${slow?.id}/history`), 'unauthenticated')
})

test('[MO26] each cache says how often something was there and how much is', async () => {
  await using own = await testDatabase()
  await using doors = await openDoors(own.database)
  const metrics = new Metrics()
  registerCacheMetrics(metrics, { access_tokens: doors.tokens.cache })
  const { body } = await call<{ accessToken: string }>(doors.url, 'POST', '/v1/setup', { body: founder })
  const read = async () => {
    const told = await lines(metrics, 'atom_cache_')
    return ['hits_total', 'misses_total', 'entries'].map((name) =>
      told
        .find((line) => line.startsWith(`atom_cache_${name}{cache="access_tokens"}`))
        ?.split(' ')
        .at(-1),
    )
  }
  assert.deepEqual(await read(), ['0', '0', '0'])
  for (let n = 0; n < 3; n++) await call(doors.url, 'GET', '/v1/me', { token: body.accessToken })
  assert.deepEqual(await read(), ['2', '1', '1'])
})

test('[MO27] pages and files of the dashboard have few names in the log and the metrics, and none of them is that of an address where nothing is', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'atom-pages-'))
  await mkdir(join(folder, 'assets'))
  await writeFile(join(folder, 'index.html'), '<!doctype html>')
  for (const name of ['one', 'two']) await writeFile(join(folder, 'assets', `${name}.js`), '')
  await using own = await testDatabase()
  await using doors = await openDoors(own.database, { dashboard: folder })
  const metrics = new Metrics()
  registerRouteMetrics(metrics, doors.http.traffic)
  const navigation = { 'sec-fetch-mode': 'navigate', accept: 'text/html' }
  for (const [path, headers] of [
    ['/rooms/some-room', navigation],
    ['/operations/overview?x=1', navigation],
    ['/', {}],
    ['/assets/one.js', {}],
    ['/assets/two.js', {}],
    ['/v1/nothing', {}],
  ] as const) {
    // `fetch` says of itself that it is none that goes to pages.
    const [answer] = (await once(get(`${doors.url}${path}`, { headers }), 'response')) as [IncomingMessage]
    answer.resume()
    assert.equal(answer.statusCode, path === '/v1/nothing' ? 404 : 200, path)
  }
  const expected = { pages: 3, '/assets/*': 2, unmatched: 1 }
  const logged = () =>
    doors.lines
      .map((line) => JSON.parse(line) as { msg?: string; route?: string })
      .filter(({ route }) => route !== undefined)
      .map(({ route = '' }) => route)
  await until(() => logged().length === 6)
  assert.deepEqual(tally(logged()), expected)
  const counted = await lines(metrics, 'http_server_request_duration_seconds_count')
  const names = counted.flatMap((line) => {
    const count = Number(line.split(' ').at(-1))
    return Array.from({ length: count }, () => /http_route="([^"]+)"/.exec(line)?.[1] ?? '')
  })
  assert.deepEqual(tally(names), expected)
  await rm(folder, { recursive: true })
})

function tally(names: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    [...new Set(names)].map((name) => [name, names.filter((each) => each === name).length]),
  )
}
