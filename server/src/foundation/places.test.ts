import assert from 'node:assert/strict'
import { test } from 'node:test'
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
