import assert from 'node:assert/strict'
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { DataKeyCache } from './data-key-cache.ts'
import type { Binding } from './sealed-bytes.ts'

const place = { kind: 'connection', id: 'c1' }

async function made(): Promise<KeyObject> {
  return createSecretKey(randomBytes(32))
}

/** As an envelope uses it. */
async function get(cache: DataKeyCache, wrapped: Buffer, binding: Binding = place): Promise<KeyObject> {
  return await (cache.find(wrapped, binding) ?? cache.ask(wrapped, binding, made))
}

test('[CR21] the memory of data keys is bounded in number, the oldest go first, and what failed is not kept', async () => {
  const cache = new DataKeyCache({ size: 3 })
  const keys = []
  for (const n of [1, 2, 3, 4]) keys.push(await get(cache, Buffer.from([n])))
  assert.equal(cache.size, 3)
  assert.equal(await cache.find(Buffer.from([4]), place), keys[3])
  assert.equal(cache.find(Buffer.from([1]), place), undefined)
  const away = () => Promise.reject(new Error('away'))
  await assert.rejects(cache.ask(Buffer.from([1]), place, away), /away/)
  assert.equal(cache.find(Buffer.from([1]), place), undefined)
  assert.notEqual(await get(cache, Buffer.from([1])), keys[0])
})

test('[CR21] a data key in memory serves its own place alone, and asking for another takes it from nobody', async () => {
  const cache = new DataKeyCache()
  const key = await get(cache, Buffer.from([1]))
  const elsewhere = { ...place, id: 'c2' }
  assert.equal(cache.find(Buffer.from([1]), elsewhere), undefined)
  assert.equal(cache.find(Buffer.from([1]), { kind: 'connection' }), undefined)
  const refused = cache.ask(Buffer.from([1]), elsewhere, () => Promise.reject(new Error('moved')))
  await assert.rejects(refused, /moved/)
  assert.equal(await cache.find(Buffer.from([1]), { ...place, field: 'access_token' }), key)
})

test('[CR21] a data key leaves the memory when its time is over, asked for or not, but not the hand that holds its row', async () => {
  const cache = new DataKeyCache({ lifeMs: 20 })
  const row = Buffer.from([1])
  const key = await get(cache, row)
  cache.put(Buffer.from([2]), place, await made())
  assert.equal(cache.size, 2)
  while (cache.size > 0) await pause(5)
  assert.equal(await cache.find(row, place), key)
  assert.equal(cache.find(Buffer.from([1]), place), undefined)
  assert.equal(cache.find(row, { ...place, id: 'c2' }), undefined)
})
