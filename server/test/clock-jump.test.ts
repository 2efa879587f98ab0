import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { parseKeyring } from '#foundation/crypto/keyring.ts'
import { createOutbound } from '#foundation/outbound.ts'
import { FineHistogram } from '#foundation/telemetry/fine-histogram.ts'
import { Alerts } from '#operations/alerts.ts'
import type { HistoryRow } from '#operations/history-store.ts'
import { MetricHistory } from '#operations/metric-history.ts'
import { Objectives } from '#operations/objectives.ts'
import { masterKeys, TestClock } from './support/doors.ts'
import { testDatabase, testLog } from './support/postgres.ts'

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
