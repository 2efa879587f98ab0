import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { DataKeyCache } from './data-key-cache.ts'

const place = Buffer.from('place')
const away = () => Promise.reject(new Error('away'))

async function made() {
  return createSecretKey(randomBytes(32))
}

test('[CR21] the memory of data keys is bounded in number, the oldest go first, and what failed is not kept', async () => {
  const cache = new DataKeyCache({ size: 3 })
  const keys = []
  for (const n of [1, 2, 3, 4]) keys.push(await cache.get(Buffer.from([n]), place, made))
  assert.equal(cache.size, 3)
  assert.equal(await cache.get(Buffer.from([4]), place, away), keys[3])
  await assert.rejects(cache.get(Buffer.from([1]), place, away), /away/)
  assert.notEqual(await cache.get(Buffer.from([1]), place, made), keys[0])
})

test('[CR21] a data key leaves the memory when its time is over, asked for or not, but not the hand that holds its row', async () => {
  const cache = new DataKeyCache({ lifeMs: 20 })
  const row = Buffer.from([1])
  const key = await cache.get(row, place, made)
  cache.put(Buffer.from([2]), place, await made())
  assert.equal(cache.size, 2)
  while (cache.size > 0) await pause(5)
  assert.equal(await cache.get(row, place, away), key)
  await assert.rejects(cache.get(Buffer.from([1]), place, away), /away/)
  await assert.rejects(cache.get(row, Buffer.from('elsewhere'), away), /away/)
})
