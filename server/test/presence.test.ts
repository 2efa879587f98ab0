import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { newId } from '#foundation/ids.ts'
import { insertMember } from '#rooms/membership-store.ts'
import { PlainClient, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase } from './support/postgres.ts'

/** A lease that ends soon, and a grace that a slow machine keeps. */
const times = { beatMs: 300, leaseMs: 1_500, graceMs: 400, diffMs: 50 }
const patient = { ...times, leaseMs: 20_000, graceMs: 4_000 }

/** What a client that watches a room knows of it. */
class Watched {
  readonly states = new Map<string, string>()
  diffs = 0

  constructor(client: PlainClient, roomId: string) {
    client.socket.on('room.signal', (signal) => {
      if (signal.kind !== 'presence' || signal.roomId !== roomId) return
      this.diffs++
      for (const { id, state } of signal.changes) {
        if (state === 'offline') this.states.delete(id)
        else this.states.set(id, state)
      }
    })
  }
}

async function watching(client: PlainClient, roomId: string): Promise<Watched> {
  const watched = new Watched(client, roomId)
  const answer = await client.ask('presence.watch', { roomIds: [roomId] })
  assert.ok(answer.ok)
  for (const { id, state } of answer.rooms[roomId] ?? []) watched.states.set(id, state)
  return watched
}

test('[RT77] who watches a room hears who comes, goes and looks away: the best of all sockets of a person at all nodes, after a moment of grace', async () => {
  await using own = await testDatabase()
  await using one = await startLive(own.database, { times: patient })
  await using other = await startLive(own.database, { times: patient })
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const roomId = await roomOf(own.database, one, ada, bob)
  using watcher = new PlainClient(one.url, { token: await one.token(ada) })
  using idle = new PlainClient(one.url, { token: await one.token(ada), deviceId: 'another-device' })
  const watched = await watching(watcher, roomId)
  assert.deepEqual([...watched.states], [[ada.id, 'active']])

  using here = new PlainClient(one.url, { token: await one.token(bob), deviceId: 'bob-laptop' })
  await until(() => watched.states.get(bob.id) === 'active', 'Bob here')
  using there = new PlainClient(other.url, { token: await other.token(bob), deviceId: 'bob-phone' })
  await there.hello()
  const farther = new PlainClient(other.url, { token: await other.token(ada), deviceId: 'ada-phone' })
  using _farther = farther
  const fromThere = await watching(farther, roomId)
  await until(() => fromThere.states.get(bob.id) === 'active', 'Bob seen at the other node')
  assert.ok((await here.ask('presence.set', { state: 'away' })).ok)
  await there.ask('presence.set', { state: 'away' })
  await until(
    () => watched.states.get(bob.id) === 'away' && fromThere.states.get(bob.id) === 'away',
    'away from both',
  )
  await there.ask('presence.set', { state: 'active' })
  await until(
    () => watched.states.get(bob.id) === 'active' && fromThere.states.get(bob.id) === 'active',
    'back at one',
  )
  // A tab that is reloaded is nobody who left.
  const before = watched.diffs
  here.socket.disconnect()
  there.socket.disconnect()
  using reloaded = new PlainClient(one.url, { token: await one.token(bob), deviceId: 'bob-laptop' })
  await reloaded.hello()
  await new Promise((resolve) => setTimeout(resolve, patient.graceMs + 500))
  assert.equal(watched.states.get(bob.id), 'active')
  assert.ok(watched.diffs <= before + 1, `${watched.diffs - before} diffs`)
  reloaded.socket.disconnect()
  await until(() => !watched.states.has(bob.id) && !fromThere.states.has(bob.id), 'Bob gone, everywhere')
  assert.deepEqual(
    [...watcher.problems, ...idle.problems, ...idle.signals, ...farther.problems],
    [],
    'who does not watch hears nothing',
  )
})

test('[RT78] a node that is killed takes its people with it, everywhere, when its lease ends', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { times })
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const roomId = await roomOf(own.database, live, ada, bob)
  const victim = spawn(
    process.execPath,
    [fileURLToPath(new URL('support/live-process.ts', import.meta.url))],
    {
      env: {
        ...process.env,
        ATOM_TEST_LIVE: JSON.stringify(own.connection),
        ATOM_TEST_PRESENCE: JSON.stringify({ ...times, leaseMs: 3_000 }),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const exited = once(victim, 'exit')
  try {
    const [url] = (await once(createInterface(victim.stdout), 'line')) as [string]
    using watcher = new PlainClient(live.url, { token: await live.token(ada) })
    const watched = await watching(watcher, roomId)
    using ghost = new PlainClient(url, { token: await live.token(bob) })
    await ghost.hello()
    await until(() => watched.states.get(bob.id) === 'active', 'Bob at the other node')
    victim.kill('SIGKILL')
    await exited
    await until(() => !watched.states.has(bob.id), 'no ghost')
    using late = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'ada-phone' })
    assert.deepEqual([...(await watching(late, roomId)).states.keys()], [ada.id])
  } finally {
    victim.kill('SIGKILL')
    await exited
  }
})

test('[RT79] only members watch a room: others get nothing of it, and who is taken out hears no more', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { times })
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const eve = somebody(ada.workspaceId, 'Eve')
  const roomId = await roomOf(own.database, live, ada, bob)
  using stranger = new PlainClient(live.url, { token: await live.token(eve) })
  const answer = await stranger.ask('presence.watch', { roomIds: [roomId, newId()] })
  assert.deepEqual(answer, { ok: true, rooms: {} })
  using watcher = new PlainClient(live.url, { token: await live.token(ada) })
  using leaving = new PlainClient(live.url, { token: await live.token(bob) })
  const watched = await watching(watcher, roomId)
  const his = await watching(leaving, roomId)
  await until(() => watched.states.size === 2 && his.states.size === 2, 'both of them')
  await live.rooms.removeMember(ada, roomId, bob.id)
  await until(() => watched.states.size === 1, 'Bob out of the room')
  const before = leaving.signals.length
  await watcher.ask('presence.set', { state: 'away' })
  await until(() => watched.states.get(ada.id) === 'away', 'a change')
  assert.equal(leaving.signals.length, before)
  assert.equal(stranger.signals.length, 0)
})

test('[RT80] an agent is `working` while it has a turn in the room', async () => {
  await using own = await testDatabase()
  const agent = newId()
  let busy = false
  await using live = await startLive(own.database, {
    times,
    working: async (roomIds) => (busy ? roomIds.map((roomId) => ({ roomId, agentId: agent })) : []),
  })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  await own.database.transaction(async (tx) => {
    await insertMember(tx, roomId, { kind: 'agent', id: agent, name: 'Atom' })
  })
  const tell = async (type: 'turn.started' | 'turn.ended') => {
    await own.database.transaction(async (tx) => {
      await live.timeline.append(tx, [
        {
          roomId,
          workspaceId: ada.workspaceId,
          type,
          actor: { kind: 'agent', id: agent },
          clientId: newId(),
          body:
            type === 'turn.started'
              ? { turnId: agent, messageId: newId(), triggerSeq: 0, onBehalfOf: ada.id, model: 'rules' }
              : { turnId: agent, status: 'succeeded' },
        },
      ])
    })
  }
  using watcher = new PlainClient(live.url, { token: await live.token(ada) })
  const watched = await watching(watcher, roomId)
  assert.deepEqual([...watched.states.keys()], [ada.id])
  busy = true
  await tell('turn.started')
  await until(() => watched.states.get(agent) === 'working', 'the agent at work')
  busy = false
  await tell('turn.ended')
  await until(() => !watched.states.has(agent), 'the agent done')
  assert.deepEqual(watcher.problems, [])
})
