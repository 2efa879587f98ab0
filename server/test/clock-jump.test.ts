import assert from 'node:assert/strict'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { parseKeyring } from '#foundation/crypto/keyring.ts'
import { AtomError } from '#foundation/errors.ts'
import { Failures } from '#foundation/failure-groups.ts'
import { createOutbound } from '#foundation/outbound.ts'
import { FineHistogram } from '#foundation/telemetry/fine-histogram.ts'
import { Alerts } from '#operations/alerts.ts'
import { ErrorsSeen } from '#operations/errors-seen.ts'
import type { HistoryRow } from '#operations/history-store.ts'
import { MetricHistory } from '#operations/metric-history.ts'
import { Objectives } from '#operations/objectives.ts'
import { masterKeys, TestClock } from './support/doors.ts'
import { testDatabase, testLog } from './support/postgres.ts'
import { ranAlone } from './support/ran-alone.ts'

const day = 24 * 3_600_000
const hour = 3_600_000
const each = 10

test('[HE31] after a clock that was ahead for a while the history goes on at once, and objectives are judged', async () => {
  await using own = await testDatabase()
  await using outbound = createOutbound({ allowLoopback: () => [], log: testLog })
  const clock = new TestClock()
  clock.pass(hour - (clock.now().getTime() % hour))
  const began = clock.now()
  const fine = new FineHistogram()
  await using history = new MetricHistory({
    ...{ database: own.database, clock, log: testLog, node: 'one', inFlight: () => new Map(), everyMs: 0 },
    read: async (): Promise<HistoryRow[]> => {
      for (let n = 0; n < each; n++) fine.record(5)
      return [{ metric: 'class.duration', label: 'api', ...(fine.take() ?? assert.fail()) }]
    },
  })
  await using alerts = new Alerts({
    ...{ database: own.database, outbound, clock, log: testLog, pollMs: hour },
    envelope: new Envelope({ keyring: parseKeyring(masterKeys, 'the test') }),
    say: async () => assert.fail('nothing is wrong'),
    requireMember: async () => undefined,
  })
  await using objectives = new Objectives({
    ...{ database: own.database, history, alerts, clock, log: testLog, everyMs: 0 },
  })
  const goOn = async (minutes: number) => {
    for (let n = 0; n < 6 * minutes; n++) {
      clock.pass(10_000)
      await history.tick()
      await objectives.tick()
    }
  }
  /** Five minutes, from the first whole one after it was set back. */
  const counted = async () => {
    const [from, to] = [5, 10].map((minute) => new Date(began.getTime() + minute * 60_000).toISOString())
    const { count } = await history.history({
      ...{ metric: 'class.duration', label: 'api', from, to, step: 60 },
    })
    return count.reduce((sum, one) => sum + one, 0)
  }
  const judged = async () =>
    (await objectives.list()).find(({ class: of, kind }) => of === 'api' && kind === 'availability')
      ?.requests ?? assert.fail('nothing was judged')
  await goOn(2)
  clock.pass(day)
  await goOn(2)
  clock.pass(-day)
  await goOn(3)
  const before = await judged()
  await goOn(6)
  assert.equal(await counted(), 5 * 6 * each)
  assert.ok((await judged()) > before, `${before}`)
  // Long after, when the finest rows are gone.
  clock.pass(3 * hour)
  await goOn(2)
  assert.equal(await counted(), 5 * 6 * each)
})

test('[HE42] a clock that is set years forward deletes nothing that is young: only what is old by the clock and by how long the installation has run is', async () => {
  await using own = await testDatabase()
  await using outbound = createOutbound({ allowLoopback: () => [], log: testLog })
  const { database } = own
  const clock = new TestClock()
  const failures = new Failures()
  await using history = new MetricHistory({
    ...{ database, clock, log: testLog, node: 'one', inFlight: () => new Map(), everyMs: 0 },
    read: async () => [{ metric: 'sockets.open', label: '', count: 1, sum: 1, peak: 1, counts: [] }],
  })
  await using alerts = new Alerts({
    ...{ database, outbound, clock, log: testLog, pollMs: hour },
    envelope: new Envelope({ keyring: parseKeyring(masterKeys, 'the test') }),
    say: async () => assert.fail('nobody is told'),
    requireMember: async () => undefined,
  })
  const ranSince = (ms: number) => history.ranSince(ms)
  await using errors = new ErrorsSeen({
    ...{ failures, database, clock, log: testLog, keepMs: hour, tell: () => undefined, ranSince },
  })
  const goOn = async (minutes: number) => {
    for (let n = 0; n < 6 * minutes; n++) {
      clock.pass(10_000)
      await history.tick()
    }
    await errors.keep()
    await alerts.prune(ranSince)
  }
  failures.note({ door: 'http', place: 'GET /v1/fails', error: new AtomError('unavailable') }, clock.now())
  await alerts.raise({
    ...{ kind: 'test', subject: 'one', severity: 'ticket', title: 'One', why: 'One.', lookAt: 'nothing.' },
  })
  await alerts.resolve('test', 'one', 'It is over.')
  await goOn(15)
  const began = clock.now()
  /** What is there of the time before. */
  const young = async () => {
    const [row] = await database.query<Record<string, number>>(sql`
      select (select count(*)::int from metric_history where step = 10 and at < ${began}) as finest,
        (select count(*)::int from metric_history where step = 60 and at < ${began}) as minutes,
        (select count(*)::int from error_counts) as counts,
        (select count(*)::int from error_groups) as groups,
        (select count(*)::int from alerts) as alerts`)
    return row ?? assert.fail()
  }
  const before = await young()
  assert.deepEqual([before['counts'], before['groups'], before['alerts']], [1, 1, 1])
  assert.ok((before['finest'] ?? 0) > 80 && (before['minutes'] ?? 0) > 10)

  clock.pass(2 * 365 * day)
  await goOn(3)
  // The interval that was open has been written by now, and what was not merged yet has been.
  const after = await young()
  for (const [name, count] of Object.entries(before)) assert.ok((after[name] ?? 0) >= count, name)

  // So long later it is old.
  const until = clock.now()
  await ranAlone(database, { step: 10, places: 2 * 360, until })
  await ranAlone(database, { step: 60, places: 2 * 1_440, until })
  await ranAlone(database, { step: 3_600, places: 366 * 24, until })
  clock.pass(hour)
  await goOn(1)
  assert.deepEqual(await young(), { finest: 0, minutes: 0, counts: 0, groups: 0, alerts: 0 })
})
