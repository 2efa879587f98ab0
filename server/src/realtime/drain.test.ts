import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { sendAway } from './drain.ts'

interface Told {
  readonly at: number
  readonly afterMs: number
}

/** Sends this many away under a clock of the test's own. */
async function drained(
  context: TestContext,
  count: number,
  plan: { handshakesPerSecond: number; graceMs: number; deadlineMs: number },
): Promise<{ told: Told[]; retired: number[]; took: number }> {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let now = 0
  let over = false
  const told: Told[] = []
  const retired: number[] = []
  const sockets = Array.from({ length: count }, () => ({
    move: (afterMs: number) => void told.push({ at: now, afterMs }),
    retire: () => void retired.push(now),
  }))
  const done = sendAway(sockets, plan, new Promise(() => undefined)).then(() => {
    over = true
  })
  while (!over) {
    context.mock.timers.tick(1)
    now++
    for (let turn = 0; turn < 5; turn++) await undefined
    assert.ok(now < 600_000, 'it ends')
  }
  await done
  return { told, retired, took: now }
}

test('[RT44] clients are sent away as fast as the others take them and no faster, each has its grace, and everybody is told once', async (context) => {
  const plan = { handshakesPerSecond: 400, graceMs: 5_000, deadlineMs: 60_000 }
  const { told, retired, took } = await drained(context, 2_000, plan)
  assert.equal(told.length, 2_000)
  assert.equal(retired.length, 2_000)
  const arrivals = told.map(({ at, afterMs }) => at + afterMs)
  for (let second = 0; second < 10; second++) {
    const within = arrivals.filter((at) => at >= second * 1_000 && at < (second + 1) * 1_000).length
    assert.ok(within <= 1.1 * 400, `${within} in second ${second}`)
  }
  assert.ok(took >= 10_000 - 250 && took <= 10_500, `${took} ms`)
})

test('[RT45] a drain meets its deadline, whatever its pace would be', async (context) => {
  const { told, took } = await drained(context, 2_000, {
    handshakesPerSecond: 10,
    graceMs: 1_000,
    deadlineMs: 5_000,
  })
  assert.equal(told.length, 2_000)
  assert.ok(took <= 6_500, `${took} ms`)
})
