import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type EventPage, limits, type Member, type Room } from '@atom/contract/rooms.ts'
import { newId } from '#foundation/ids.ts'
import { PlainClient, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase } from './support/postgres.ts'
import { startRoomHouse } from './support/room-house.ts'

test('[RM40] a direct room is one room, whoever opens it, however often, at once; it stays between two', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const eve = await house.person('Eve')
  const ref = (id: string) => ({ direct: { kind: 'account', id } })
  const opened = await Promise.all(
    [ada, bob, ada, bob, ada, bob].map((who) =>
      who.call<Room>('POST', '/v1/rooms', ref(who === ada ? bob.me.id : ada.me.id)),
    ),
  )
  assert.equal(new Set(opened.map(({ body }) => body.id)).size, 1)
  assert.deepEqual(
    opened
      .map(({ status }) => status)
      .sort()
      .slice(0, 2),
    [200, 200],
  )
  assert.equal(opened.filter(({ status }) => status === 201).length, 1)
  const id = opened[0]?.body.id
  assert.deepEqual(
    opened.slice(0, 2).map(({ body }) => [body.kind, body.name]),
    [
      ['direct', 'Bob'],
      ['direct', 'Ada'],
    ],
    'each sees it by the name of the other',
  )
  assert.equal(await ada.refused('POST', '/v1/rooms', ref(ada.me.id)), 'validation_failed')
  assert.equal(await ada.refused('POST', '/v1/rooms', ref(newId())), 'not_found')
  assert.equal(
    await ada.refused('POST', `/v1/rooms/${id}/members`, { kind: 'account', id: eve.me.id }),
    'forbidden',
  )
  assert.equal(await ada.refused('DELETE', `/v1/rooms/${id}/members/${ada.me.id}`), 'forbidden')
  assert.equal(await ada.refused('PATCH', `/v1/rooms/${id}`, { name: 'Ours' }), 'forbidden')
  assert.equal(await eve.refused('GET', `/v1/rooms/${id}`), 'not_a_member')
  const withAgent = await ada.call<Room>('POST', '/v1/rooms', {
    direct: { kind: 'agent', id: house.agent.id },
  })
  assert.deepEqual([withAgent.status, withAgent.body.name], [201, 'Atom'])
})

test('[RM41] roles: what each may do is done, everything else is refused and changes nothing', async () => {
  await using house = await startRoomHouse()
  const [ada, bob, cy, dan] = [
    await house.person('Ada'),
    await house.person('Bob'),
    await house.person('Cy'),
    await house.person('Dan'),
  ]
  const members = [bob, cy].map(({ me }) => ({ kind: 'account', id: me.id }))
  const { id } = await ada.room({ name: 'Team', members })
  const room = `/v1/rooms/${id}`
  const roles = async () =>
    Object.fromEntries(
      (await ada.call<Room>('GET', room)).body.members.map((member) => [member.name, member.role]),
    )
  assert.deepEqual(await roles(), { Ada: 'owner', Bob: 'member', Cy: 'member' })
  const give = (who: typeof ada, whom: typeof ada, role: string) =>
    who.call('PATCH', `${room}/members/${whom.me.id}`, { role })
  assert.equal((await give(bob, bob, 'admin')).body.code, 'forbidden', 'nobody lifts themselves')
  assert.equal((await give(ada, ada, 'member')).body.code, 'forbidden', 'a room has an owner')
  assert.equal((await give(ada, bob, 'admin')).status, 200)
  assert.equal((await give(bob, cy, 'owner')).body.code, 'forbidden', 'an admin makes no owner')
  assert.equal((await give(bob, ada, 'member')).body.code, 'forbidden', 'an admin unmakes no owner')
  assert.equal(await cy.refused('PATCH', room, { name: 'Mine' }), 'forbidden')
  assert.equal((await bob.call<Room>('PATCH', room, { name: ' The team ' })).body.name, 'The team')
  assert.equal(await cy.refused('DELETE', `${room}/members/${bob.me.id}`), 'forbidden')
  assert.equal(await bob.refused('DELETE', `${room}/members/${ada.me.id}`), 'forbidden')
  assert.equal(await bob.refused('DELETE', room), 'forbidden', 'only the owner ends a room')
  assert.equal(await bob.refused('DELETE', `${room}/members/${dan.me.id}`), 'not_found')
  assert.deepEqual(await roles(), { Ada: 'owner', Bob: 'admin', Cy: 'member' })
  assert.equal((await bob.call('DELETE', `${room}/members/${cy.me.id}`)).status, 204)
  assert.equal(await cy.refused('GET', room), 'not_a_member')
  assert.equal((await ada.call('DELETE', `${room}/members/${ada.me.id}`)).status, 204)
  const left = await bob.call<Room>('GET', room)
  assert.deepEqual(
    left.body.members.map((member) => [member.name, member.role]),
    [['Bob', 'owner']],
    'where the last owner leaves, the longest-serving admin owns it',
  )
  const { events } = (await bob.call<EventPage>('GET', `${room}/events?after=0`)).body
  assert.deepEqual(
    events.map((event) => event.type),
    ['member.changed', 'room.changed', 'member.left', 'member.left', 'member.changed'],
  )
})

test('[RM42] a room holds its limit of members and not one more, also where two are added at once', async () => {
  await using own = await testDatabase()
  const ada = somebody()
  const others = Array.from({ length: limits.roomMembers + 3 }, (_, n) =>
    somebody(ada.workspaceId, `Person ${n}`),
  )
  await using live = await startLive(own.database, { people: [ada, ...others] })
  const ref = ({ id }: { id: string }) => ({ kind: 'account' as const, id })
  const room = await live.rooms.found(ada, 'Crowd', others.slice(0, limits.roomMembers - 2).map(ref))
  const results = await Promise.allSettled(
    others.slice(limits.roomMembers - 2).map((other) => live.rooms.addMember(ada, room.id, ref(other))),
  )
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  assert.equal((await live.rooms.get(ada, room.id)).members.length, limits.roomMembers)
  await assert.rejects(live.rooms.found(ada, 'Too many', others.map(ref)), { code: 'room_full' })
})

test('[RM43] an edit changes the message for who comes later and tells who has it; only its author may; a repeated edit undoes no later one', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const { id } = await ada.room({ name: 'Team', members: [{ kind: 'account', id: bob.me.id }] })
  const messages = `/v1/rooms/${id}/messages`
  const seq = await ada.say(id, 'Helo')
  const first = { clientId: 'edit-number-one', text: 'Hello' }
  assert.equal((await ada.call('PATCH', `${messages}/${seq}`, first)).status, 200)
  assert.equal((await ada.call('PATCH', `${messages}/${seq}`, { text: 'Hello, Bob' })).status, 200)
  const again = await ada.call<{ text: string }>('PATCH', `${messages}/${seq}`, first)
  assert.deepEqual([again.status, again.body.text], [200, 'Hello'], 'answered with the first edit')
  const { events } = (await bob.call<EventPage>('GET', `/v1/rooms/${id}/events?after=0`)).body
  assert.deepEqual(
    events.map((event) => [event.type, 'text' in event && event.text]),
    [
      ['message.created', 'Hello, Bob'],
      ['message.edited', 'Hello'],
      ['message.edited', 'Hello, Bob'],
    ],
  )
  assert.ok(events[0]?.type === 'message.created' && events[0].editedAt !== undefined)
  assert.equal(await bob.refused('PATCH', `${messages}/${seq}`, { text: 'no' }), 'forbidden')
  assert.equal(
    await ada.refused('PATCH', `${messages}/2`, { text: 'no' }),
    'not_found',
    'an edit is no message',
  )
  assert.equal(await ada.refused('PATCH', `${messages}/99`, { text: 'no' }), 'not_found')
  const long = 'a'.repeat(limits.messageBytes + 1)
  assert.equal(await ada.refused('PATCH', `${messages}/${seq}`, { text: long }), 'message_too_large')
  const resent = await ada.call<{ text: string }>('POST', messages, {
    clientId: 'client-1-of-the-test',
    text: 'Helo',
  })
  assert.deepEqual([resent.status, resent.body.text], [200, 'Hello, Bob'])
})

test('[RM44] a deleted message leaves nothing of what it said, also not in its edits, reactions, pins and the search', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const { id } = await ada.room({ name: 'Team', members: [{ kind: 'account', id: bob.me.id }] })
  const message = (seq: number) => `/v1/rooms/${id}/messages/${seq}`
  const seq = await bob.say(id, 'the password is swordfish', { mentions: [ada.me.id] })
  await bob.call('PATCH', message(seq), { text: 'the password is marlin', mentions: [ada.me.id] })
  await ada.call('PUT', `${message(seq)}/reactions/${encodeURIComponent('😱')}`)
  await ada.call('PUT', `/v1/rooms/${id}/pins/${seq}`)
  const other = await ada.say(id, 'something else')
  assert.equal(await bob.refused('DELETE', message(other)), 'forbidden', 'not another one’s')
  assert.equal((await ada.call('DELETE', message(seq))).status, 204, 'the owner of the room may')
  assert.equal((await bob.call('DELETE', message(seq))).status, 204, 'deleting it twice is deleting it once')
  await house.live.search.settled()
  const everything = JSON.stringify([
    (await bob.call('GET', `/v1/rooms/${id}/events?after=0`)).body,
    (await bob.call('GET', `/v1/rooms/${id}/pins`)).body,
    (await bob.call('GET', '/v1/messages/search?q=password')).body,
    (await bob.call('GET', '/v1/rooms')).body,
  ])
  assert.doesNotMatch(everything, /password|swordfish|marlin|😱.*😱/)
  const { events } = (await bob.call<EventPage>('GET', `/v1/rooms/${id}/events?after=0`)).body
  const [gone] = events
  assert.ok(gone?.type === 'message.created' && gone.deletedAt !== undefined && gone.text === '')
  assert.equal(gone.mentions, undefined)
  assert.equal(gone.reactions, undefined)
  assert.equal(events.filter((event) => event.type === 'message.deleted').length, 1)
  for (const [method, path, body] of [
    ['PATCH', message(seq), { text: 'again' }],
    ['PUT', `${message(seq)}/reactions/${encodeURIComponent('👍')}`, undefined],
    ['PUT', `/v1/rooms/${id}/pins/${seq}`, undefined],
  ] as const) {
    assert.equal(await bob.refused(method, path, body), 'not_found', `${method} ${path}`)
  }
})

test('[RM45] a reaction counts once for each person, is told once, and ends at the limit of different ones', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const { id } = await ada.room({ name: 'Team', members: [{ kind: 'account', id: bob.me.id }] })
  const seq = await ada.say(id, 'Shipped')
  const reaction = (emoji: string) => `/v1/rooms/${id}/messages/${seq}/reactions/${encodeURIComponent(emoji)}`
  await Promise.all([ada, bob, ada, bob, bob].map((who) => who.call('PUT', reaction('🎉'))))
  await bob.call('PUT', reaction('👍🏽'))
  await bob.call('PUT', reaction('🇩🇪'))
  await bob.call('DELETE', reaction('🇩🇪'))
  await bob.call('DELETE', reaction('🇩🇪'))
  const { events } = (await ada.call<EventPage>('GET', `/v1/rooms/${id}/events?after=0`)).body
  const [said] = events
  assert.ok(said?.type === 'message.created')
  assert.deepEqual(
    said.reactions?.map(({ emoji, by }) => [emoji, by.length]),
    [
      ['🎉', 2],
      ['👍🏽', 1],
    ],
  )
  assert.deepEqual(
    events.slice(1).map((event) => event.type),
    ['reaction.added', 'reaction.added', 'reaction.added', 'reaction.added', 'reaction.removed'],
  )
  for (const wrong of ['a', '1', '🎉🎉', 'ok', '⁠', ':)']) {
    assert.equal(await ada.refused('PUT', reaction(wrong)), 'validation_failed', wrong)
  }
  const faces = Array.from({ length: limits.reactions - 2 }, (_, n) => String.fromCodePoint(0x1f600 + n))
  for (const face of faces) assert.equal((await ada.call('PUT', reaction(face))).status, 204)
  assert.equal(await ada.refused('PUT', reaction('🐙')), 'too_many_reactions')
  assert.equal((await bob.call('PUT', reaction('😀'))).status, 204, 'one that is there already may')
})

test('[RM46] pins: everybody’s, latest first, with the message as it is; the limit holds', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const { id } = await ada.room({ name: 'Team', members: [] })
  const pins = async () =>
    (await ada.call<{ items: { message: { seq: number; text: string } }[] }>('GET', `/v1/rooms/${id}/pins`))
      .body.items
  const first = await ada.say(id, 'one')
  const second = await ada.say(id, 'two')
  for (const seq of [first, second, first]) await ada.call('PUT', `/v1/rooms/${id}/pins/${seq}`)
  await ada.call('PATCH', `/v1/rooms/${id}/messages/${second}`, { text: 'two, corrected' })
  assert.deepEqual(
    (await pins()).map(({ message }) => [message.seq, message.text]),
    [
      [second, 'two, corrected'],
      [first, 'one'],
    ],
  )
  await ada.call('DELETE', `/v1/rooms/${id}/pins/${first}`)
  assert.deepEqual(
    (await pins()).map(({ message }) => message.seq),
    [second],
  )
  for (let pinned = 1; pinned < limits.pins; pinned++) {
    await ada.call('PUT', `/v1/rooms/${id}/pins/${await ada.say(id, `pin ${pinned}`)}`)
  }
  const beyond = await ada.say(id, 'one too many')
  assert.equal(await ada.refused('PUT', `/v1/rooms/${id}/pins/${beyond}`), 'too_many_pins')
  assert.equal((await pins()).length, limits.pins)
})

test('[RM47] unread messages and mentions are counted for each member; marking as unread moves back; muted and pinned are mine alone', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const { id } = await ada.room({ name: 'Team', members: [{ kind: 'account', id: bob.me.id }] })
  const mine = async (who: typeof ada) => {
    const { body } = await who.call<Room>('GET', `/v1/rooms/${id}`)
    return [body.unread, body.unreadMentions, body.muted, body.pinned]
  }
  const one = await ada.say(id, 'one')
  await ada.say(id, 'two', { mentions: [bob.me.id] })
  const gone = await ada.say(id, 'gone', { mentions: [bob.me.id] })
  await bob.say(id, 'my own does not count')
  await ada.call('DELETE', `/v1/rooms/${id}/messages/${gone}`)
  assert.deepEqual(await mine(bob), [2, 1, false, false])
  assert.deepEqual(await mine(ada), [1, 0, false, false])
  const place = (body: object) => bob.call<Room>('PATCH', `/v1/rooms/${id}/me`, body)
  assert.equal((await place({ readSeq: 99, muted: true })).body.unread, 0)
  assert.deepEqual(await mine(bob), [0, 0, true, false])
  assert.equal((await place({ readSeq: one })).body.unread, 0, 'a read mark moves forward')
  assert.equal((await place({ unreadFrom: one, pinned: true })).body.unread, 2)
  assert.deepEqual(await mine(bob), [2, 1, true, true])
  assert.deepEqual(await mine(ada), [1, 0, false, false])
  const { body } = await bob.call<{ items: Room[] }>('GET', '/v1/rooms')
  assert.equal(body.items[0]?.lastMessage?.text, 'my own does not count')
  assert.equal(await bob.refused('PATCH', `/v1/rooms/${id}/me`, {}), 'validation_failed')
  const reader = (await ada.call<Room>('GET', `/v1/rooms/${id}`)).body.members.find(
    (member: Member) => member.name === 'Bob',
  )
  assert.equal(reader?.readSeq, 0, 'how far others have read is seen')
})

test('[RM48] who is mentioned or answered is there; a message that was stored is answered again all the same', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const eve = await house.person('Eve')
  const { id } = await ada.room({ name: 'Team', members: [{ kind: 'account', id: bob.me.id }] })
  const messages = `/v1/rooms/${id}/messages`
  const seq = await bob.say(id, 'a question')
  const named = { clientId: 'named-somebody', text: '@Bob yes', replyTo: seq, mentions: [bob.me.id] }
  assert.equal((await ada.call('POST', messages, named)).status, 201)
  for (const wrong of [{ mentions: [eve.me.id] }, { replyTo: 99 }, { mentions: ['nobody'] }]) {
    const body = { clientId: newId(), text: 'hi', ...wrong }
    assert.equal(await ada.refused('POST', messages, body), 'validation_failed', JSON.stringify(wrong))
  }
  assert.equal(
    await eve.refused('POST', messages, { clientId: newId(), text: 'hi', mentions: [newId()] }),
    'not_a_member',
    'who is not in the room learns nothing about who is',
  )
  await bob.call('DELETE', `/v1/rooms/${id}/members/${bob.me.id}`)
  assert.equal((await ada.call('POST', messages, named)).status, 200)
  const { events } = (await ada.call<EventPage>('GET', `/v1/rooms/${id}/events?after=0`)).body
  const answer = events[1]
  assert.ok(answer?.type === 'message.created')
  assert.deepEqual([answer.replyTo, answer.mentions], [seq, [bob.me.id]])
})

test('[RM49] what was said is found by its words, in my rooms alone, while it is typed, with the place of the match, page by page', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const ours = await ada.room({ name: 'Ours', members: [{ kind: 'account', id: bob.me.id }] })
  const adas = await ada.room({ name: 'Ada’s', members: [] })
  const said = await ada.say(ours.id, 'The quarterly invoices for Zürich are ready — see the folder')
  await bob.say(ours.id, 'Invoice number 7 is missing')
  await ada.say(adas.id, 'my secret invoices')
  for (let n = 0; n < 25; n++) await ada.say(ours.id, `status report number ${n}`)
  await house.live.search.settled()
  interface Hits {
    items: {
      message: { seq: number; text: string }
      excerpt: string
      matches: { start: number; end: number }[]
    }[]
    next: string | null
  }
  const find = async (who: typeof ada, query: string) =>
    (await who.call<Hits>('GET', `/v1/messages/search?${query}`)).body
  const texts = async (who: typeof ada, query: string) =>
    (await find(who, query)).items.map(({ message }) => message.text.slice(0, 20)).sort()
  assert.deepEqual(await texts(bob, 'q=invoices'), ['Invoice number 7 is ', 'The quarterly invoic'])
  assert.deepEqual(await texts(ada, 'q=invo'), [
    'Invoice number 7 is ',
    'The quarterly invoic',
    'my secret invoices',
  ])
  assert.deepEqual(await texts(bob, 'q=invoices+-number'), ['The quarterly invoic'])
  assert.deepEqual(await texts(bob, 'q=%22invoices+for%22'), ['The quarterly invoic'])
  assert.deepEqual(await texts(bob, 'q=z%C3%BCrich'), ['The quarterly invoic'])
  assert.deepEqual(await texts(bob, `q=invoices&from=${bob.me.id}`), ['Invoice number 7 is '])
  assert.deepEqual(
    await texts(bob, 'q=%27+%26+%7C+%21+%28+%3A*'),
    [],
    'signs alone find nothing and break nothing',
  )
  const [hit] = (await find(bob, 'q=folder')).items
  assert.equal(hit?.message.seq, said)
  assert.deepEqual(
    hit?.matches.map(({ start, end }) => hit.excerpt.slice(start, end)),
    ['folder'],
  )
  assert.equal(await bob.refused('GET', `/v1/messages/search?q=invoices&roomId=${adas.id}`), 'not_a_member')
  assert.equal(await bob.refused('GET', '/v1/messages/search?q=+'), 'validation_failed')
  assert.equal(await bob.refused('GET', '/v1/messages/search?q=a&cursor=zzz'), 'validation_failed')
  for (const order of ['newest', 'best']) {
    const seqs: number[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const page: Hits = await find(
        bob,
        `q=status+report&order=${order}&limit=10${cursor === '' ? '' : `&cursor=${cursor}`}`,
      )
      seqs.push(...page.items.map(({ message }) => message.seq))
      cursor = page.next
    }
    assert.equal(seqs.length, 25, order)
    assert.equal(new Set(seqs).size, 25, order)
    if (order === 'newest')
      assert.deepEqual(
        seqs,
        seqs.toSorted((a, b) => b - a),
      )
  }
  await ada.call('PATCH', `/v1/rooms/${ours.id}/messages/${said}`, { text: 'nothing to see' })
  await house.live.search.settled()
  assert.deepEqual(await texts(bob, 'q=quarterly'), [], 'an edit is found by its new words alone')
  assert.deepEqual(await texts(bob, 'q=nothing+to'), ['nothing to see'])
})

test('[RM50] a room that ends is gone for everybody, with everything in it', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const { id } = await ada.room({ name: 'Team', members: [{ kind: 'account', id: bob.me.id }] })
  await bob.say(id, 'to be forgotten')
  await house.live.search.settled()
  using client = new PlainClient(house.live.url, { token: bob.token })
  assert.equal((await client.ask('room.join', { roomId: id })).ok, true)
  assert.equal((await ada.call('DELETE', `/v1/rooms/${id}`)).status, 204)
  await until(() => client.first('room.left'), 'the socket is told')
  assert.equal(await bob.refused('GET', `/v1/rooms/${id}/events`), 'not_found')
  assert.deepEqual(
    (await bob.call<{ items: unknown[] }>('GET', '/v1/messages/search?q=forgotten')).body.items,
    [],
  )
  assert.deepEqual((await bob.call<{ items: unknown[] }>('GET', '/v1/rooms')).body.items, [])
  const sent = await client.ask('message.send', { roomId: id, clientId: newId(), text: 'hello?' })
  assert.ok(!sent.ok && sent.error.code === 'not_found')
})

test('[RM51] who is taken out of a room hears nothing after it, on every process, live, reading pages, or coming back', async () => {
  await using own = await testDatabase()
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  await using live = await startLive(own.database, { people: [ada, bob] })
  await using other = await startLive(own.database, { people: [ada, bob] })
  const roomId = await roomOf(own.database, live, ada, bob)
  const say = (text: string) => live.messages.send(ada, roomId, { clientId: newId(), text })
  using here = new PlainClient(live.url, { token: await live.token(bob), deviceId: 'device-here' })
  using there = new PlainClient(other.url, { token: await other.token(bob), deviceId: 'device-there' })
  using witness = new PlainClient(other.url, { token: await other.token(ada) })
  const epoch = await here.ask('room.join', { roomId })
  for (const client of [there, witness]) assert.equal((await client.ask('room.join', { roomId })).ok, true)
  await say('before')
  await live.rooms.removeMember(ada, roomId, bob.id)
  await say('after')
  for (const client of [here, there]) await until(() => client.first('room.left'), 'it is told')
  await until(() => witness.texts().includes('after'), 'the others hear it')
  for (const client of [here, there]) {
    assert.deepEqual(client.texts(), ['before', 'member.left'])
    assert.deepEqual(client.problems, [])
    assert.equal((await client.ask('room.join', { roomId })).ok, false)
    assert.equal((await client.ask('room.fetch', { roomId, after: 0 })).ok, false)
    assert.equal((await client.ask('signal', { roomId, kind: 'typing' })).ok, false)
  }
  assert.ok(epoch.ok)
  using back = new PlainClient(other.url, {
    token: await other.token(bob),
    cursors: { [roomId]: { epoch: epoch.epoch, seq: 0 } },
  })
  const hello = await back.hello()
  assert.deepEqual(hello.rooms[roomId]?.ok, false)
  await live.rooms.addMember(ada, roomId, { kind: 'account', id: bob.id })
  const joined = await back.ask('room.join', { roomId, after: 0 })
  assert.ok(joined.ok, 'whoever is in again is in, although the page tells that they were out')
  assert.ok(joined.events.some((event) => event.type === 'member.left'))
})
