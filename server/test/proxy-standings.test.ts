import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConnectionStore } from '#connections/connection-store.ts'
import { believedMs, ConnectionStandings } from '#connections/proxy/connection-standings.ts'
import { proxyScene } from './support/proxy-scene.ts'
import { until } from './support/until.ts'

/** What is promised of another process, in ms; it needs half of it. */
const withinMs = 1_000

test('[CN229] a connection that is disconnected is refused at once in this process, and within a second in one that has just used it', async () => {
  await using it = await proxyScene()
  const elsewhere = await it.elsewhere()
  for (const person of [it.ada, elsewhere])
    assert.equal((await person.call('GET', `${it.proxy}/user`)).status, 200)
  const gone = await it.ada.call('DELETE', `/v1/connections/${it.connection.id}`)
  assert.equal(gone.status, 200)
  const goneAt = performance.now()
  assert.equal((await it.ada.call('GET', `${it.proxy}/user`)).status, 404)
  // Counted to where a call begins, so that a slow machine has no part in it.
  let lastServedMs = 0
  await until(async () => {
    const startedMs = performance.now() - goneAt
    const { status } = await elsewhere.call('GET', `${it.proxy}/user`)
    if (status !== 404) lastServedMs = startedMs
    return status === 404
  })
  assert.ok(lastServedMs < withinMs, `${lastServedMs} ms`)
})

test('[CN230] a renewed token is used by the next call in this process, and within a second in another', async () => {
  await using it = await proxyScene('google')
  const elsewhere = await it.elsewhere()
  const seen: string[] = []
  it.provider.on('www.googleapis.com', '/see', ({ headers }) => {
    seen.push(String(headers.authorization))
    return { body: {} }
  })
  await it.ada.call('GET', `${it.proxy}/see`)
  await elsewhere.call('GET', `${it.proxy}/see`)
  const renewed = await it.ada.call('POST', `/v1/connections/${it.connection.id}/refresh`)
  assert.equal(renewed.status, 200)
  const renewedAt = performance.now()
  await it.ada.call('GET', `${it.proxy}/see`)
  assert.equal(new Set(seen.slice(0, 2)).size, 1)
  assert.notEqual(seen[2], seen[0], 'the process that renewed it uses the new token at once')
  let lastOldMs = 0
  await until(async () => {
    const startedMs = performance.now() - renewedAt
    await elsewhere.call('GET', `${it.proxy}/see`)
    if (seen.at(-1) === seen[0]) lastOldMs = startedMs
    return seen.at(-1) === seen[2]
  })
  assert.ok(lastOldMs < withinMs, `${lastOldMs} ms`)
})

test('[CN231] one look serves the requests of half a second, and no longer; what is not there is looked for each time', async () => {
  await using it = await proxyScene()
  const store = new ConnectionStore({ database: it.database.database })
  let looks = 0
  using standings = new ConnectionStandings({
    store: {
      standings: async (ids) => {
        looks++
        return await store.standings(ids)
      },
      subscribe: (heard) => store.subscribe(heard),
    },
  })
  const { id } = it.connection
  assert.equal(standings.known(id), undefined)
  const lookedAt = performance.now()
  const both = await Promise.all([standings.look(id), standings.look(id)])
  assert.deepEqual(
    both.map((state) => state?.generation),
    [1, 1],
  )
  const before = looks
  const answeredMs = performance.now() - lookedAt
  const known = standings.known(id)
  // Where the machine was busy elsewhere for that long, there is nothing left to be known.
  if (performance.now() - lookedAt < believedMs) assert.equal(known?.generation, 1)
  let lastKnownMs = 0
  await until(() => {
    const askedMs = performance.now() - lookedAt
    if (standings.known(id) === undefined) return true
    lastKnownMs = askedMs
    return false
  })
  assert.ok(lastKnownMs <= answeredMs + believedMs)
  assert.ok(performance.now() - lookedAt >= believedMs)
  assert.equal(looks, before)
  const nobody = '01890000-0000-7000-8000-000000000000'
  assert.equal(await standings.look(nobody), undefined)
  assert.equal(await standings.look(nobody), undefined)
  assert.equal(looks, before + 2)
})

test('[CN231] a look that a change has overtaken is believed by nobody who comes after the change', async () => {
  await using it = await proxyScene()
  const store = new ConnectionStore({ database: it.database.database })
  const held = Promise.withResolvers<void>()
  const read = Promise.withResolvers<void>()
  using standings = new ConnectionStandings({
    store: {
      standings: async (ids) => {
        const found = await store.standings(ids)
        read.resolve()
        await held.promise
        return found
      },
      subscribe: (heard) => store.subscribe(heard),
    },
  })
  const { id } = it.connection
  const asked = standings.look(id)
  await read.promise
  const connection = await store.live(it.ada.principal.workspaceId, id)
  assert.ok(connection)
  assert.equal(await store.remove(connection), true)
  held.resolve()
  assert.equal((await asked)?.id, id, 'who asked before the change hears what was true then')
  assert.equal(standings.known(id), undefined)
  assert.equal(await standings.look(id), undefined)
})
