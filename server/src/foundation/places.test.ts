import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Places } from './places.ts'

test('[DB3] places are given out in the order in which they were asked for', async () => {
  const slots = new Places({ size: 1, maxWaiting: 10, timeoutMs: 10_000 })
  const order: number[] = []
  await slots.take()
  const waiting = [1, 2, 3].map(async (caller) => {
    await slots.take()
    order.push(caller)
    slots.give()
  })
  slots.give()
  await Promise.all(waiting)
  assert.deepEqual(order, [1, 2, 3])
})

test('[DB3] who waits longest for a place says for how long; nobody where nobody waits', async () => {
  const slots = new Places({ size: 1, maxWaiting: 10, timeoutMs: 10_000 })
  await slots.take()
  assert.equal(slots.longestWaitMs, 0)
  const first = slots.take()
  await delay(30)
  const second = slots.take()
  // A timer may come a moment before its time.
  assert.ok(slots.longestWaitMs >= 25, `${slots.longestWaitMs}`)
  await delay(30)
  slots.give()
  await first
  const left = slots.longestWaitMs
  assert.ok(left >= 25, `${left}`)
  slots.give()
  await second
  assert.equal(slots.longestWaitMs, 0)
})
