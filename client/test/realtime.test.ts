import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type CloseReason, closeReasons, protocolVersion } from '@atom/contract/socket.ts'
import { Http } from '../src/http.ts'
import { Realtime } from '../src/realtime/realtime.ts'
import { Reconnect } from '../src/realtime/reconnect.ts'
import { Session } from '../src/session.ts'
import type { Happening, Surroundings } from '../src/surroundings.ts'
import { loneTab } from '../src/tabs.ts'
import { ScriptedServer, tokenDoors } from './support/scripted-server.ts'
import { eventually, until } from './support/until.ts'

class Machine implements Surroundings {
  isOnline = true
  readonly #heard = new Set<(happening: Happening) => void>()

  online(): boolean {
    return this.isOnline
  }

  watch(heard: (happening: Happening) => void): () => void {
    this.#heard.add(heard)
    return () => {
      this.#heard.delete(heard)
    }
  }

  happens(happening: Happening): void {
    for (const heard of this.#heard) heard(happening)
  }
}

async function open(server: ScriptedServer, random: () => number = () => 0) {
  const doors = tokenDoors()
  const http = new Http({ baseUrl: 'http://atom.test', fetch: doors.fetch, transport: 'cookie' })
  const session = new Session({ http, tabs: loneTab(), transport: 'cookie' })
  await session.resume()
  const machine = new Machine()
  const realtime = new Realtime({
    url: server.url,
    session,
    surroundings: machine,
    deviceId: 'a-test-device',
    policy: () => new Reconnect({ random }),
  })
  const states: string[] = []
  realtime.subscribe(() => states.push(realtime.getSnapshot().state))
  return { realtime, session, machine, states, doors, [Symbol.dispose]: () => realtime.close() }
}

const connected = ({ state }: { state: string }) => state === 'connected'

suite('the live line', () => {
  test('[CL39] nothing is opened until somebody needs it, and then with token, device, version and cursors', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    assert.equal(house.realtime.getSnapshot().state, 'idle')
    const epoch = '01890000-0000-7000-8000-000000000001'
    house.realtime.listen({ cursors: () => ({ room: { epoch, seq: 7 } }) })
    house.realtime.need()
    await until(house.realtime, connected)
    assert.deepEqual(server.handshakes, [
      {
        token: 'token-1',
        deviceId: 'a-test-device',
        v: protocolVersion,
        cursors: { room: { epoch, seq: 7 } },
      },
    ])
  })

  test('[CL40] before its token ends the socket gets a new one, and stays the same socket', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    server.last.emit('auth.expiring', { inMs: 60_000 })
    await eventually(() => server.frames.length === 1)
    assert.deepEqual(server.frames, [{ name: 'auth.refresh', body: { token: 'token-2' } }])
    assert.equal(server.sockets.length, 1)
    assert.equal(house.realtime.connected, true)
  })

  test('[CL40] a socket closed for its expired token comes back with a new one, at once', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server, () => 1)
    house.realtime.need()
    await until(house.realtime, connected)
    server.close(server.last, 'token_expired')
    await eventually(() => server.handshakes.length === 2)
    assert.deepEqual(
      server.handshakes.map(({ token }) => token),
      ['token-1', 'token-2'],
    )
    await until(house.realtime, connected)
  })

  test('[CL40] a token that the handshake refuses is not tried twice', async () => {
    await using server = await ScriptedServer.open()
    server.refusals.push({ code: 'token_expired', detail: '', retryable: false })
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    assert.deepEqual(
      server.handshakes.map(({ token }) => token),
      ['token-1', 'token-2'],
    )
  })

  test('[CL33] a draining server loses its client only when the next socket has said hello', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    let losses = 0
    house.realtime.listen({ lost: () => (losses += 1) })
    const [old] = server.sockets
    assert.ok(old)
    old.emit('drain', { afterMs: 5 })
    await until(house.realtime, ({ state }) => state === 'draining')
    await house.realtime.request('signal', { roomId: 'r', kind: 'typing' })
    await eventually(() => server.sockets.length === 2 && !old.connected)
    await until(house.realtime, connected)
    assert.equal(losses, 0)
    await house.realtime.request('signal', { roomId: 'r', kind: 'typing' })
    assert.ok(server.last.connected)
    assert.equal(house.states.includes('suspended'), false)
  })

  test('[CL60] what was asked on the old socket is answered there, while the new one already carries', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    const [old] = server.sockets
    assert.ok(old)
    server.holding = true
    const asked = house.realtime.request('signal', { roomId: 'asked-before', kind: 'typing' })
    await eventually(() => server.held.length === 1)
    old.emit('drain', { afterMs: 5 })
    await eventually(() => server.sockets.length === 2)
    await until(house.realtime, connected)
    const later = house.realtime.request('signal', { roomId: 'asked-after', kind: 'typing' })
    await eventually(() => server.held.length === 2)
    assert.equal(old.connected, true)
    const [first, second] = server.held
    second?.()
    await later
    assert.equal(old.connected, true)
    first?.()
    await asked
    await eventually(() => !old.connected)
    assert.deepEqual(
      server.frames.map(({ body }) => (body as { roomId: string }).roomId),
      ['asked-before', 'asked-after'],
    )
  })

  test('[CL60] an old socket that closes without an answer says so, and what it still says after the handover is not heard', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    const heard: string[] = []
    house.realtime.listen({
      frame: (frame) => frame.name === 'room.left' && heard.push(frame.body.roomId),
    })
    house.realtime.need()
    await until(house.realtime, connected)
    const [old] = server.sockets
    assert.ok(old)
    server.holding = true
    const asked = house.realtime.request('signal', { roomId: 'r', kind: 'typing' })
    await eventually(() => server.held.length === 1)
    old.emit('drain', { afterMs: 5 })
    old.emit('room.left', { roomId: 'before' })
    await eventually(() => server.sockets.length === 2)
    await until(house.realtime, connected)
    old.emit('room.left', { roomId: 'stale' })
    server.last.emit('room.left', { roomId: 'after' })
    await eventually(() => heard.includes('after'))
    server.close(old, 'draining')
    await assert.rejects(asked, { code: 'offline' })
    assert.deepEqual(heard, ['before', 'after'])
    assert.equal(house.realtime.getSnapshot().state, 'connected')
  })

  test('[CL60] while nobody else takes it, a draining socket is used on; it is suspended only when that is gone', async () => {
    await using server = await ScriptedServer.open()
    const refusal = { code: 'draining', detail: '', retryable: true, retryAfterMs: 20 } as const
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    server.refusals.push(refusal, refusal, { ...refusal, retryAfterMs: 3_600_000 })
    const [old] = server.sockets
    assert.ok(old)
    old.emit('drain', { afterMs: 5 })
    await eventually(() => server.handshakes.length === 4)
    assert.equal(house.states.includes('suspended'), false)
    await house.realtime.request('signal', { roomId: 'r', kind: 'typing' })
    server.close(old, 'draining')
    const { reason, retryAt } = await until(house.realtime, ({ state }) => state === 'suspended')
    assert.equal(reason, 'draining')
    assert.ok(retryAt !== undefined && retryAt > Date.now() + 3_000_000)
    house.realtime.retryNow()
    await until(house.realtime, connected)
  })

  test('[CL60] a server that closes at once after telling is come back to when it said', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    const told = Date.now()
    server.last.emit('drain', { afterMs: 300 })
    server.close(server.last, 'draining')
    const { retryAt } = await until(house.realtime, ({ state }) => state === 'suspended')
    assert.ok(retryAt !== undefined && retryAt >= told + 290)
    await until(house.realtime, connected)
    assert.ok(Date.now() >= told + 290)
    assert.equal(server.handshakes.length, 2)
  })

  test('[CL60] that its own new socket replaces the old one is no loss', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    let losses = 0
    house.realtime.listen({ lost: () => (losses += 1) })
    const [old] = server.sockets
    assert.ok(old)
    server.onHandshake = async () => {
      server.close(old, 'replaced')
      await eventually(() => !old.connected)
    }
    old.emit('drain', { afterMs: 5 })
    await eventually(() => server.sockets.length === 2)
    await until(house.realtime, connected)
    assert.equal(losses, 0)
    assert.equal(house.states.includes('suspended'), false)
  })

  test('[CL3] a socket that a newer one of the same device has replaced does not fight back; a person may', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    server.close(server.last, 'replaced')
    const { reason } = await until(house.realtime, ({ state }) => state === 'failed')
    assert.equal(reason, 'replaced')
    assert.equal(server.handshakes.length, 1)
    house.realtime.retryNow()
    await until(house.realtime, connected)
  })

  test('[CL3] a server of another protocol version is not asked again', async () => {
    await using server = await ScriptedServer.open()
    server.refusals.push({ code: 'protocol_unsupported', detail: '', retryable: false })
    using house = await open(server)
    house.realtime.need()
    const { reason } = await until(house.realtime, ({ state }) => state === 'failed')
    assert.equal(reason, 'protocol_unsupported')
    assert.equal(server.handshakes.length, 1)
  })

  test('[CL67] for each reason the server closes with, it comes back or stays away as the contract says', async () => {
    for (const [reason, { comeBack }] of Object.entries(closeReasons) as [
      CloseReason,
      { comeBack: boolean },
    ][]) {
      await using server = await ScriptedServer.open()
      using house = await open(server)
      house.realtime.need()
      await until(house.realtime, connected)
      server.close(server.last, reason)
      if (comeBack) {
        await eventually(() => server.handshakes.length === 2)
        await until(house.realtime, connected)
      } else {
        const told = await until(house.realtime, ({ state }) => state === 'failed')
        assert.equal(told.reason, reason)
        assert.equal(server.handshakes.length, 1)
      }
    }
  })

  test('[CL67] a handshake refused as busy is tried again when the server said, not before', async () => {
    await using server = await ScriptedServer.open()
    server.refusals.push({ code: 'busy', detail: '', retryable: true, retryAfterMs: 400 })
    using house = await open(server)
    const began = Date.now()
    house.realtime.need()
    const { reason, retryAt } = await until(house.realtime, ({ state }) => state === 'suspended')
    assert.equal(reason, 'busy')
    assert.ok(retryAt !== undefined && retryAt >= began + 400)
    await until(house.realtime, connected)
    assert.ok(Date.now() >= began + 390)
    assert.equal(server.handshakes.length, 2)
  })

  test('[CL34] a revoked session ends the line and the session', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    server.close(server.last, 'session_revoked')
    await until(house.session, ({ state }) => state === 'signed_out')
    assert.equal(house.realtime.getSnapshot().reason, 'session_revoked')
    assert.equal(server.handshakes.length, 1)
  })

  test('[CL41] it says when the next attempt is due, and a person need not wait for it', async () => {
    await using server = await ScriptedServer.open()
    server.spreadMs = 3_600_000
    using house = await open(server, () => 1)
    house.realtime.need()
    await until(house.realtime, connected)
    server.last.conn.close()
    const { retryAt, reason } = await until(house.realtime, ({ state }) => state === 'suspended')
    assert.equal(reason, 'offline')
    assert.ok(retryAt !== undefined && retryAt > Date.now() + 3_000_000)
    await assert.rejects(house.realtime.request('signal', { roomId: 'r', kind: 'typing' }), {
      code: 'offline',
    })
    house.realtime.retryNow()
    await until(house.realtime, connected)
  })

  test('[CL41] without a network it does not try; with the network it is back at once', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    house.machine.isOnline = false
    house.machine.happens('offline')
    server.last.conn.close()
    await until(house.realtime, ({ state }) => state === 'suspended')
    const { retryAt, reason } = house.realtime.getSnapshot()
    assert.deepEqual([retryAt, reason], [undefined, 'offline'])
    await new Promise((resolve) => setTimeout(resolve, 30))
    assert.equal(server.handshakes.length, 1)
    house.machine.isOnline = true
    house.machine.happens('online')
    await until(house.realtime, connected)
  })

  test('[CL42] a line that only looks alive after sleep is found out in seconds and replaced', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    house.machine.happens('online')
    await eventually(() => server.frames.length === 1)
    assert.equal(server.sockets.length, 1)
    server.mute = true
    const began = performance.now()
    house.machine.happens('online')
    await eventually(() => server.sockets.length === 2, 8_000)
    assert.ok(performance.now() - began < 7_000)
  })

  test('[RT94] a line that swallows a question is looked at, and replaced when it stays silent', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    server.mute = true
    const roomId = '01890a5d-ac96-774b-bcce-b302099a8057'
    await assert.rejects(house.realtime.request('room.read', { roomId, seq: 1 }, 100), { code: 'timeout' })
    await eventually(() => server.sockets.length === 2, 8_000)
  })

  test('[CL39] closing leaves nothing behind that would come back', async () => {
    await using server = await ScriptedServer.open()
    using house = await open(server)
    house.realtime.need()
    await until(house.realtime, connected)
    house.realtime.close()
    await eventually(() => !server.last.connected)
    house.realtime.need()
    house.realtime.retryNow()
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.equal(server.handshakes.length, 1)
    assert.equal(house.realtime.getSnapshot().state, 'closed')
  })
})
