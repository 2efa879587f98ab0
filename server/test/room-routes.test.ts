import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Problem } from '@atom/contract/errors.ts'
import type { EventPage, Room } from '@atom/contract/rooms.ts'
import { createGuards } from '#access/guarded-route.ts'
import { newId } from '#foundation/ids.ts'
import { HttpServer } from '#http/server.ts'
import { roomRoutes } from '#rooms/room-routes.ts'
import { range, somebody, startLive } from './support/live.ts'
import { testDatabase, testLog } from './support/postgres.ts'

test('[RM14] over HTTP: a room is made, talked in, read by page and shared; each wrong request has its status and code', async () => {
  await using own = await testDatabase()
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const atom = somebody(ada.workspaceId, 'Atom')
  const agent = { kind: 'agent' as const, id: atom.id }
  await using live = await startLive(own.database, { people: [ada, bob, atom] })
  await using http = new HttpServer({ log: testLog })
  const { guard } = createGuards({ http, tokens: live.tokens, log: testLog })
  roomRoutes(guard, { ...live, companions: async () => [agent] })
  const url = await http.listen({ host: '127.0.0.1', port: 0 })
  const tokens = new Map([
    [ada, await live.token(ada)],
    [bob, await live.token(bob)],
  ])
  const call = async <T>(person: typeof ada, method: string, path: string, body?: object) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${tokens.get(person)}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return { status: answer.status, body: (await answer.json()) as T }
  }
  const made = await call<Room>(ada, 'POST', '/v1/rooms', { name: '  Plans ' })
  assert.equal(made.status, 201)
  assert.equal(made.body.name, 'Plans')
  assert.deepEqual(made.body.members.map((member) => member.name).sort(), ['Ada', 'Atom'])
  const room = `/v1/rooms/${made.body.id}`
  assert.equal((await call<Problem>(bob, 'GET', room)).body.code, 'not_a_member')
  assert.equal((await call(ada, 'POST', `${room}/members`, { kind: 'account', id: bob.id })).status, 201)
  assert.equal((await call(ada, 'POST', `${room}/members`, { kind: 'account', id: bob.id })).status, 200)
  const message = { clientId: newId(), text: 'hello' }
  const sent = await call<{ seq: number }>(bob, 'POST', `${room}/messages`, message)
  const again = await call(bob, 'POST', `${room}/messages`, message)
  assert.deepEqual([sent.status, again.status], [201, 200])
  assert.deepEqual(again.body, sent.body)
  assert.equal(sent.body.seq, 2)
  for (const number of range(3, 12)) {
    await call(ada, 'POST', `${room}/messages`, { clientId: `client-${number}`, text: `${number}` })
  }
  const seqs = async (query: string) => {
    const page = await call<EventPage>(ada, 'GET', `${room}/events${query}`)
    assert.equal(page.status, 200)
    return [page.body.events.map((event) => event.seq), page.body.more]
  }
  assert.deepEqual(await seqs('?after=0&limit=5'), [range(1, 5), true])
  assert.deepEqual(await seqs('?after=10'), [[11, 12], false])
  assert.deepEqual(await seqs('?before=4&limit=2'), [[2, 3], true])
  assert.deepEqual(await seqs(''), [range(1, 12), false])
  assert.equal((await call<{ items: Room[] }>(bob, 'GET', '/v1/rooms')).body.items[0]?.head, 12)
  const wrong: readonly (readonly [string, string, object | undefined, number, string])[] = [
    ['POST', `${room}/messages`, { clientId: newId(), text: 'a'.repeat(16_385) }, 413, 'message_too_large'],
    ['POST', `${room}/messages`, { clientId: newId(), text: ' ' }, 400, 'validation_failed'],
    ['POST', `/v1/rooms/${newId()}/messages`, message, 404, 'not_found'],
    ['GET', `/v1/rooms/${newId()}/events`, undefined, 404, 'not_found'],
    ['GET', '/v1/rooms/somewhere', undefined, 400, 'validation_failed'],
    ['GET', '/v1/rooms?cursor=nonsense', undefined, 400, 'validation_failed'],
    ['POST', `${room}/members`, { kind: 'account', id: newId() }, 404, 'not_found'],
    ['POST', '/v1/rooms', { name: '' }, 400, 'validation_failed'],
  ]
  for (const [method, path, body, status, code] of wrong) {
    const answer = await call<Problem>(ada, method, path, body)
    assert.deepEqual([answer.status, answer.body.code], [status, code], `${method} ${path}`)
  }
})
