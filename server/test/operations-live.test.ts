import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { LogLine } from '@atom/contract/log.ts'
import type {
  LiveHistory,
  LiveNode,
  LiveRoom,
  LiveSummary,
  OpenSocket,
  SilentNode,
} from '@atom/contract/operations.ts'
import parsePrometheus from 'parse-prometheus-text-format'
import sql from 'sql-template-tag'
import type { AccountPrincipal } from '#access/principal.ts'
import { newId } from '#foundation/ids.ts'
import { assertProblem, call } from './support/calls.ts'
import { PlainClient, range, roomOf, somebody, until } from './support/live.ts'
import { type OperatorHouse, scraperToken, startOperatorHouse } from './support/operator-house.ts'

interface Listed {
  readonly summary: LiveSummary
  readonly items: readonly OpenSocket[]
  readonly next: string | null
}

async function listed(house: OperatorHouse, query = ''): Promise<Listed> {
  const answer = await house.ask<Listed>('GET', `/v1/operations/sockets${query}`)
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body
}

async function nodesOf(house: OperatorHouse): Promise<{ items: LiveNode[]; silent: SilentNode[] }> {
  const answer = await house.ask<{ items: LiveNode[]; silent: SilentNode[] }>('GET', '/v1/operations/nodes')
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body
}

async function connected(
  house: OperatorHouse,
  person: AccountPrincipal,
  more: object = {},
): Promise<PlainClient> {
  const client = new PlainClient(house.live.url, { token: await house.live.token(person), ...more })
  await client.hello()
  return client
}

/** While it is paused nothing is read, so the kernel's buffers fill up. */
function tcpOf(client: PlainClient): Socket {
  const engine = client.socket.io.engine as unknown as { transport: { ws: { _socket: Socket } } }
  return engine.transport.ws._socket
}

async function eventually(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`did not happen: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

test('[OP1] after a known load every number is what was done, neither more nor less', async () => {
  await using house = await startOperatorHouse()
  const ada = somebody(house.operator.workspaceId)
  const roomId = await roomOf(house.database, house.live, ada)
  using one = await connected(house, ada, { deviceId: 'device-1' })
  using two = await connected(house, ada, { deviceId: 'device-2' })
  for (const client of [one, two]) assert.ok((await client.ask('room.join', { roomId })).ok)
  const send = (number: number) =>
    one.ask('message.send', { roomId, clientId: `client-${number}`, text: `message ${number}` })
  const answers = await Promise.all(range(1, 40).map(send))
  assert.ok(answers.every((answer) => answer.ok))
  await Promise.all(range(1, 5).map(send))
  assert.ok(!(await one.ask('message.send', { roomId: newId(), clientId: 'client-41', text: 'nowhere' })).ok)
  assert.ok(!(await one.askAnything('no.such.frame', {})).ok)
  await until(() => one.events.length === 40 && two.events.length === 40, 'everything arrived')

  const told = await house.metrics()
  const number = (name: string) => told.get(name) ?? 0
  assert.equal(number('atom_sockets_open'), 2)
  assert.equal(number('atom_socket_handshakes_accepted_total'), 2)
  assert.equal(number('atom_socket_handshakes_returned_total'), 0)
  assert.equal(number('atom_socket_rooms_followed'), 1)
  assert.equal(number('atom_room_events_committed_total'), 40)
  assert.equal(number('atom_room_publishes_total{verdict="stored"}'), 40)
  assert.equal(number('atom_room_publishes_total{verdict="repeated"}'), 5)
  assert.equal(number('atom_room_publishes_total{verdict="not_found"}'), 1)
  assert.equal(number('atom_room_acknowledgement_seconds'), 45)
  // Two joins, 40 messages, 5 again, one to nowhere, one unknown.
  assert.equal(number('atom_socket_frames_received_total'), 49)
  assert.equal(number('atom_socket_frames_refused_total{code="not_found"}'), 1)
  assert.equal(number('atom_socket_frames_refused_total{code="frame_malformed"}'), 1)
  // Hello, what arrived in as many frames as it took, and the acknowledgements.
  const received = [one, two].flatMap((client) => client.frames).length
  assert.equal(number('atom_socket_frames_sent_total'), received + 49)
  assert.equal(number('atom_room_lane_events{lane="0"}') + number('atom_room_lane_events{lane="1"}'), 0)
  assert.equal(number('atom_socket_unsent_bytes'), 0)

  const { summary } = await listed(house)
  assert.equal(summary.node, house.node)
  assert.deepEqual(
    [summary.sockets, summary.people, summary.rooms, summary.behind, summary.moving],
    [2, 1, 1, 0, 0],
  )
  const { acknowledgedP50Ms: p50, acknowledgedP99Ms: p99 } = summary
  assert.ok(p50 !== null && p99 !== null && p50 > 0 && p50 <= p99)
})

test('[OP2] what a scraper reads is Prometheus’ text format: every family typed once, histograms cumulative up to their count', async () => {
  await using house = await startOperatorHouse()
  const ada = somebody(house.operator.workspaceId)
  const roomId = await roomOf(house.database, house.live, ada)
  await Promise.all(
    range(1, 30).map((number) =>
      house.live.messages.send(ada, roomId, { clientId: `client-${number}`, text: 'message' }),
    ),
  )
  const answer = await fetch(`${house.url}/metrics`, {
    headers: { authorization: `Bearer ${scraperToken}` },
  })
  assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  assert.equal(answer.headers.get('cache-control'), 'no-store')
  const text = await answer.text()
  assert.ok(text.endsWith('\n'))
  const families = parsePrometheus(text)
  assert.equal(families.length, text.match(/^# TYPE /gm)?.length)
  assert.equal(new Set(families.map(({ name }) => name)).size, families.length)
  for (const { name, help, type } of families) {
    assert.match(name, /^atom_[a-z_]+$/)
    assert.ok(help.length > 10, name)
    assert.equal(type === 'COUNTER', name.endsWith('_total'), name)
  }
  const histograms = families.filter(({ type }) => type === 'HISTOGRAM')
  assert.equal(histograms.length, 2)
  for (const { name, metrics } of histograms) {
    const [{ buckets = {}, count, sum } = {}] = metrics
    const counts = Object.entries(buckets)
      .map(([bound, value]) => [bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound), Number(value)])
      .toSorted(([one = 0], [other = 0]) => one - other)
      .map(([, value]) => value ?? 0)
    assert.deepEqual(
      counts,
      counts.toSorted((one, other) => one - other),
      name,
    )
    assert.equal(counts.at(-1), Number(count), name)
    assert.ok(Number(count) > 0 && Number(sum) > 0, name)
  }
})

test('[OP3] the metrics open to an operator and to the scraper’s token, and to nobody else, wherever they ask from', async () => {
  await using house = await startOperatorHouse()
  assertProblem(await call(house.url, 'GET', '/metrics'), 'unauthenticated')
  for (const wrong of ['wrong', `${scraperToken}x`, scraperToken.slice(1)]) {
    assertProblem(await call(house.url, 'GET', '/metrics', { token: wrong }), 'unauthenticated')
  }
  const member = await house.live.token(somebody(house.operator.workspaceId))
  assertProblem(await call(house.url, 'GET', '/metrics', { token: member }), 'forbidden')
  for (const token of [scraperToken, await house.live.token(house.operator)]) {
    const answer = await fetch(`${house.url}/metrics`, { headers: { authorization: `Bearer ${token}` } })
    assert.equal(answer.status, 200)
  }
})

test('[OP4] whoever is no operator sees no socket, no room and no number, and sends nobody away', async () => {
  await using house = await startOperatorHouse()
  const ada = somebody(house.operator.workspaceId)
  using client = await connected(house, ada)
  const [socket] = (await listed(house)).items
  assert.ok(socket)
  const doors = [
    ['GET', '/v1/operations/sockets', undefined],
    ['GET', '/v1/operations/rooms/live', undefined],
    ['GET', '/v1/operations/live/history', undefined],
    ['POST', `/v1/operations/sockets/${socket.id}/disconnect`, { comeBack: true }],
    ['POST', '/v1/operations/drain', { confirm: house.node }],
  ] as const
  for (const [method, path, body] of doors) {
    assertProblem(await house.ask(method, path, body, ada), 'forbidden')
    assertProblem(await call(house.url, method, path, body === undefined ? {} : { body }), 'unauthenticated')
  }
  assert.ok(client.socket.connected)
})

test('[OP5] the list tells who is connected since when, finds a person by a part of the name, and pages without doubles', async () => {
  await using house = await startOperatorHouse()
  const { workspaceId } = house.operator
  const people = range(1, 7).map((number) => somebody(workspaceId, `Person ${number} of the list`))
  await using release = new AsyncDisposableStack()
  for (const [index, person] of people.entries()) {
    release.use(await connected(house, person, { deviceId: `device-${index}` }))
  }
  const all = await listed(house)
  assert.equal(all.next, null)
  assert.equal(all.items.length, 7)
  const paged: OpenSocket[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page: Listed = await listed(house, `?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`)
    paged.push(...page.items)
    cursor = page.next
  }
  assert.deepEqual(
    paged.map(({ id }) => id),
    all.items.map(({ id }) => id),
  )
  const [found, ...others] = (await listed(house, '?q=PERSON%205')).items
  assert.equal(others.length, 0)
  assert.equal(found?.account.id, people[4]?.id)
  assert.equal(found?.deviceId, 'device-4')
  assert.equal(found?.state, 'live')
  assert.match(found?.address ?? '', /127\.0\.0\.1/)
  assert.ok(Math.abs(Date.now() - Date.parse(found?.since ?? '')) < 60_000)
  assert.equal((await listed(house, '?q=device-2')).items[0]?.account.name, 'Person 3 of the list')
  assert.deepEqual((await listed(house, '?state=behind')).items, [])
  assertProblem(await house.ask('GET', '/v1/operations/sockets?cursor=nonsense'), 'validation_failed')
})

test('[OP6] a reader that stands still stands first, with what waits for it; what it is spared is counted, and when it has read it is as live as the others', async () => {
  await using house = await startOperatorHouse({
    // A page of what it missed is more than the hard bound, so that one that stands still is behind and stays it.
    bounds: { soft: 64 * 1024, hard: 192 * 1024, stalledMs: 60_000 },
  })
  const ada = somebody(house.operator.workspaceId)
  const roomId = await roomOf(house.database, house.live, ada)
  using slow = await connected(house, ada, { deviceId: 'slow-reader' })
  using quick = await connected(house, ada, { deviceId: 'quick-reader' })
  for (const client of [slow, quick]) assert.ok((await client.ask('room.join', { roomId })).ok)
  tcpOf(slow).pause()
  const text = 'x'.repeat(16_000)
  let said = 0
  while ((await listed(house)).summary.behind === 0) {
    await Promise.all(
      range(said + 1, said + 40).map((number) =>
        house.live.messages.send(ada, roomId, { clientId: `client-${number}`, text }),
      ),
    )
    said += 40
  }
  const actor = { kind: 'account' as const, id: ada.id, name: ada.name }
  house.live.signals.tell({ roomId, kind: 'typing', actor })
  house.live.signals.tell({ roomId, kind: 'typing', actor })
  const [first, second] = (await listed(house)).items
  assert.equal(first?.deviceId, 'slow-reader')
  assert.equal(first?.state, 'behind')
  // Since it went over the hard bound the kernel may have taken some of it; it is not below the soft one.
  assert.ok((first?.unsentBytes ?? 0) > 64 * 1024)
  assert.equal(second?.state, 'live')
  for (const state of ['behind', 'slow'])
    assert.equal((await listed(house, `?state=${state}`)).items.length, 1)
  const during = await house.metrics()
  assert.equal(during.get('atom_socket_slow_readers{state="behind"}'), 1)
  // While the kernel's buffers fill up it may recover for a moment.
  for (const state of ['crowded', 'behind'])
    assert.ok((during.get(`atom_socket_slow_reads_total{state="${state}"}`) ?? 0) >= 1, state)
  assert.equal(during.get('atom_socket_signals_dropped_total'), 2)
  tcpOf(slow).resume()
  await until(() => slow.seqs().at(-1) === said, 'it has caught up', 40_000)
  await eventually(async () => (await listed(house)).summary.behind === 0, 'nobody is behind')
  assert.ok(((await house.metrics()).get('atom_socket_resume_pages_total') ?? 0) > 0)
})

test('[OP7] an operator ends one socket within a second, so that it stays away or comes back, and the log names who did it', async () => {
  await using house = await startOperatorHouse()
  const ada = somebody(house.operator.workspaceId)
  for (const [comeBack, reason, seen] of [
    [false, 'disconnected', 'io server disconnect'],
    [true, 'moved', 'transport close'],
  ] as const) {
    using client = await connected(house, ada)
    using other = await connected(house, somebody(house.operator.workspaceId, 'Grace'))
    const ended = new Promise((resolve) => client.socket.once('disconnect', resolve))
    const [socket] = (await listed(house, '?q=ada')).items
    const path = `/v1/operations/sockets/${socket?.id}/disconnect`
    assert.equal((await house.ask('POST', path, { comeBack })).status, 200)
    assert.equal(await ended, seen)
    assert.equal(client.first('closing')?.reason, reason)
    assert.ok(other.socket.connected)
    const line = house.lines.map((text) => JSON.parse(text)).find((said) => said.reason === reason)
    assert.equal(line.operatorId, house.operator.id)
    assert.equal(line.accountId, ada.id)
    assert.equal((await house.metrics()).get(`atom_sockets_closed_total{reason="${reason}"}`), 1)
    assertProblem(await house.ask('POST', path, { comeBack }), 'not_found')
  }
})

test('[OP8] a drain needs the name of the process; then every socket is moved, in waves, and who comes back is taken in and stays', async () => {
  await using house = await startOperatorHouse({ drain: { handshakesPerSecond: 40, graceMs: 300 } })
  const people = range(1, 60).map((number) => somebody(house.operator.workspaceId, `Person ${number}`))
  using release = new DisposableStack()
  const clients = await Promise.all(people.map(async (person) => release.use(await connected(house, person))))
  assertProblem(
    await house.ask('POST', '/v1/operations/drain', { confirm: 'another-node' }),
    'validation_failed',
  )
  assert.equal((await listed(house)).summary.sockets, 60)
  const began = await house.ask<{ moving: number; withinMs: number }>('POST', '/v1/operations/drain', {
    confirm: house.node,
  })
  assert.equal(began.status, 202)
  assert.equal(began.body.moving, 60)
  // Waves of 10, a quarter of a second between, and the last one's grace.
  assert.equal(began.body.withinMs, 6 * 250 + 300)
  // Who comes back while others are still to go is not moved again.
  using back = await connected(house, somebody(house.operator.workspaceId, 'Newcomer'))
  await until(() => clients.every((client) => !client.socket.connected), 'all are moved')
  // None of them opens another one when it is asked to.
  assert.ok(clients.every((client) => (client.first('drain')?.afterMs ?? -1) >= 0))
  assert.ok(clients.every((client) => client.first('closing')?.reason === 'moved'))
  await eventually(async () => {
    const { summary } = await listed(house)
    return summary.moving === 0 && summary.sockets === 1
  }, 'only the newcomer is left')
  assert.ok(back.socket.connected)
  assert.equal((await house.metrics()).get('atom_sockets_closed_total{reason="moved"}'), 60)
})

test('[OP9] the history holds every event and handshake in exactly one second, and gives only what is newer than asked', async () => {
  await using house = await startOperatorHouse()
  const history = async (query = '') => {
    const answer = await house.ask<LiveHistory>('GET', `/v1/operations/live/history${query}`)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body
  }
  const ada = somebody(house.operator.workspaceId)
  const roomId = await roomOf(house.database, house.live, ada)
  using _client = await connected(house, ada)
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
  for (const part of range(0, 2)) {
    await Promise.all(
      range(1, 30).map((number) =>
        house.live.messages.send(ada, roomId, { clientId: `client-${part}-${number}`, text: 'message' }),
      ),
    )
    await eventually(async () => sum((await history()).published) === (part + 1) * 30, 'it is sampled')
  }
  const all = await history()
  assert.equal(sum(all.handshakes), 1)
  assert.equal(all.sockets.at(-1), 1)
  for (const [place, published] of all.published.entries()) {
    assert.equal(published > 0, all.acknowledgedP50Ms[place] !== null)
    assert.ok((all.acknowledgedP50Ms[place] ?? 0) <= (all.acknowledgedP99Ms[place] ?? 0))
  }
  assert.deepEqual(all.at, [...new Set(all.at)].toSorted())
  const middle = all.at[0] ?? 0
  const newer = await history(`?after=${middle}`)
  assert.ok(newer.at.every((at) => at > middle) && newer.at.length >= all.at.length - 1)
  assertProblem(await house.ask('GET', '/v1/operations/live/history?minutes=16'), 'validation_failed')
})

test('[OP10] the busiest rooms come first, by name only where the operator is in them; another workspace’s rooms and people are not there', async () => {
  await using house = await startOperatorHouse()
  const { operator } = house
  const ada = somebody(operator.workspaceId)
  const stranger = somebody()
  const quiet = await roomOf(house.database, house.live, ada, operator)
  const busy = await roomOf(house.database, house.live, ada)
  const elsewhere = await roomOf(house.database, house.live, stranger)
  using client = await connected(house, ada)
  using strange = await connected(house, stranger)
  assert.ok((await client.ask('room.join', { roomId: quiet })).ok)
  assert.ok((await client.ask('room.join', { roomId: busy })).ok)
  assert.ok((await strange.ask('room.join', { roomId: elsewhere })).ok)
  let count = 0
  let rooms: readonly LiveRoom[] = []
  await eventually(async () => {
    count++
    await house.live.messages.send(ada, busy, { clientId: `client-${count}`, text: 'message' })
    rooms = (await house.ask<{ items: LiveRoom[] }>('GET', '/v1/operations/rooms/live')).body.items
    return (rooms[0]?.perSecond ?? 0) > 0
  }, 'the rate of the busy room is known')
  assert.deepEqual(
    rooms.map(({ roomId, name, followers }) => ({ roomId, name, followers })),
    [
      { roomId: busy, name: null, followers: 1 },
      { roomId: quiet, name: 'The room', followers: 1 },
    ],
  )
  const { items } = await listed(house)
  assert.deepEqual(
    items.map(({ account }) => account.id),
    [ada.id],
  )
  const foreign = [...house.live.sockets.open()].find((socket) => socket.accountId === stranger.id)
  assertProblem(
    await house.ask('POST', `/v1/operations/sockets/${foreign?.id}/disconnect`, { comeBack: false }),
    'not_found',
  )
  assert.ok(strange.socket.connected)
})

test('[OP11] who comes back, with what outcome, who is refused, and why sockets end, is counted by name', async () => {
  await using house = await startOperatorHouse()
  const ada = somebody(house.operator.workspaceId)
  const rooms = await Promise.all(range(1, 3).map(() => roomOf(house.database, house.live, ada)))
  const closed = await roomOf(house.database, house.live, somebody(ada.workspaceId))
  const [quiet = '', news = '', reset = ''] = rooms
  await house.live.messages.send(ada, news, { clientId: 'client-of-the-news', text: 'news' })
  const epochs = await Promise.all(
    rooms.map(async (roomId) => (await house.live.rooms.get(ada, roomId)).epoch),
  )
  using client = await connected(house, ada, {
    deviceId: 'the-device',
    cursors: {
      [quiet]: { epoch: epochs[0], seq: 0 },
      [news]: { epoch: epochs[1], seq: 0 },
      [reset]: { epoch: newId(), seq: 0 },
      [closed]: { epoch: newId(), seq: 0 },
    },
  })
  await until(() => client.events.length === 1, 'the news')
  using refused = new PlainClient(house.live.url, { token: 'no-token' })
  assert.equal((await refused.refused()).code, 'unauthenticated')
  // A newer socket of the same device.
  using newer = await connected(house, ada, { deviceId: 'the-device' })
  await until(() => !client.socket.connected, 'the older one is gone')
  newer.socket.disconnect()
  await eventually(async () => (await listed(house)).summary.sockets === 0, 'nobody is left')
  const told = await house.metrics()
  for (const outcome of ['quiet', 'news', 'reset', 'refused']) {
    assert.equal(told.get(`atom_socket_rooms_resumed_total{outcome="${outcome}"}`), 1, outcome)
  }
  assert.equal(told.get('atom_socket_handshakes_returned_total'), 1)
  assert.equal(told.get('atom_socket_handshakes_accepted_total'), 2)
  assert.equal(told.get('atom_socket_handshakes_refused_total{code="unauthenticated"}'), 1)
  assert.equal(told.get('atom_sockets_closed_total{reason="replaced"}'), 1)
  assert.equal(told.get('atom_sockets_closed_total{reason="client_namespace_disconnect"}'), 1)
})

test('[OP12] every process of the installation tells how it is, whichever of them is asked', async () => {
  await using house = await startOperatorHouse({ node: 'one' })
  await using other = await startOperatorHouse({ node: 'two', beside: house })
  const ada = somebody(house.operator.workspaceId)
  using _here = await connected(house, ada, { deviceId: 'device-1' })
  using _there = await connected(other, ada, { deviceId: 'device-2' })
  using _too = await connected(other, ada, { deviceId: 'device-3' })
  for (const [asked, first, second] of [
    [house, { node: 'one', sockets: 1 }, { node: 'two', sockets: 2 }],
    [other, { node: 'two', sockets: 2 }, { node: 'one', sockets: 1 }],
  ] as const) {
    const { items, silent } = await nodesOf(asked)
    assert.deepEqual(
      items.map(({ summary, answers }) => ({ node: summary.node, sockets: summary.sockets, answers })),
      [
        { ...first, answers: true },
        { ...second, answers: false },
      ],
    )
    assert.deepEqual(silent, [])
    assert.equal(new Set(items.map(({ id }) => id)).size, 2)
    for (const { version, since, draining } of items) {
      assert.equal(version, '0.0.0-test')
      assert.ok(Date.parse(since) <= Date.now())
      assert.equal(draining, false)
    }
  }
  const member = somebody(house.operator.workspaceId)
  const refused = await house.ask('GET', '/v1/operations/nodes', undefined, member)
  assertProblem(refused, 'forbidden')
})

test('[OP13] an operator reads the sockets, rooms and history of another process, and ends a socket or drains it, through any', async () => {
  await using house = await startOperatorHouse({ node: 'one' })
  await using other = await startOperatorHouse({ node: 'two', beside: house })
  const ada = somebody(house.operator.workspaceId)
  const roomId = await roomOf(house.database, house.live, ada)
  using here = await connected(house, ada, { deviceId: 'device-1' })
  using there = await connected(other, ada, { deviceId: 'device-2' })
  using too = await connected(other, ada, { deviceId: 'device-3' })
  assert.ok((await there.ask('room.join', { roomId })).ok)

  const { summary, items } = await listed(house, '?node=two&q=device-2')
  assert.equal(summary.node, 'two')
  const [socket] = items
  assert.deepEqual(
    items.map(({ deviceId }) => deviceId),
    ['device-2'],
  )
  const rooms = await house.ask<{ node: string; items: LiveRoom[] }>(
    'GET',
    '/v1/operations/rooms/live?node=two',
  )
  assert.deepEqual([rooms.body.node, rooms.body.items.map((room) => room.roomId)], ['two', [roomId]])
  const history = await house.ask<LiveHistory>('GET', '/v1/operations/live/history?node=two')
  assert.equal(history.body.node, 'two')

  // By its id, too.
  const twos = (await nodesOf(house)).items.find((node) => node.summary.node === 'two')?.id
  const ended = await house.ask('POST', `/v1/operations/sockets/${socket?.id}/disconnect`, {
    comeBack: false,
    node: twos,
  })
  assert.equal(ended.status, 200, JSON.stringify(ended.body))
  await until(() => there.first('closing')?.reason === 'disconnected', 'the socket was ended')
  assert.match(other.lines.join(''), /an operator closed a socket/)
  // What the other process refuses is refused here, in its words.
  assertProblem(
    await house.ask('POST', '/v1/operations/drain', { confirm: 'one', node: 'two' }),
    'validation_failed',
  )
  const drained = await house.ask<{ moving: number }>('POST', '/v1/operations/drain', {
    confirm: 'two',
    node: 'two',
  })
  assert.deepEqual([drained.status, drained.body.moving], [202, 1])
  await until(() => too.first('closing')?.reason === 'moved', 'the socket was moved')
  assert.equal(here.first('closing'), undefined)
})

test('[OP14] [MO61] a process that died a moment ago is named as silent, one that drained before is not, one that never was is not found, and a long answer comes whole', async () => {
  await using house = await startOperatorHouse({ node: 'one' })
  const ada = somebody(house.operator.workspaceId)
  {
    await using other = await startOperatorHouse({ node: 'two', beside: house })
    const clients: PlainClient[] = []
    for (const number of range(1, 20)) {
      clients.push(await connected(other, ada, { deviceId: `device-${newId()}-${number}` }))
    }
    const { items } = await listed(house, '?node=two&limit=200')
    assert.equal(items.length, 20)
    for (const client of clients) client.socket.disconnect()
    await other.drain()
    await eventually(
      async () => (await nodesOf(house)).items.some(({ draining }) => draining),
      'it says that it drains',
    )
  }
  // As it would be for its lease, had it been killed.
  await house.database.query(sql`insert into nodes (id, beat_at) values (${newId()}, now())`)
  await eventually(async () => {
    const { items, silent } = await nodesOf(house)
    return items.every(({ summary }) => summary.node === 'one') && silent.some(({ node }) => node === null)
  }, 'the one that is left answers, and the dead one is named')
  assert.ok(!(await nodesOf(house)).silent.some(({ node }) => node === 'two'))
  assertProblem(await house.ask('GET', '/v1/operations/sockets?node=three'), 'not_found')
})

test('[MO28] an operator reads the last lines of another process’s log, page by page, whichever answers', async () => {
  await using house = await startOperatorHouse({ node: 'one' })
  await using other = await startOperatorHouse({ node: 'two', beside: house })
  const ada = somebody(house.operator.workspaceId)
  for (const deviceId of ['device-1', 'device-2']) {
    using there = await connected(other, ada, { deviceId })
    const [socket] = (await listed(house, `?node=two&q=${deviceId}`)).items
    const path = `/v1/operations/sockets/${socket?.id}/disconnect`
    assert.equal((await house.ask('POST', path, { comeBack: false, node: 'two' })).status, 200)
    await until(() => there.first('closing') !== undefined, 'the socket was ended')
  }
  const read = async (query: string) => {
    const { body } = await house.ask<{ node: string; items: LogLine[]; next: string | null }>(
      'GET',
      `/v1/operations/log?q=an%20operator%20closed${query}`,
    )
    return body
  }
  const newest = await read('&node=two&limit=1')
  assert.deepEqual([newest.node, newest.items.length], ['two', 1])
  const older = await read(`&node=two&limit=1&cursor=${newest.next}`)
  assert.equal(older.items[0]?.message, newest.items[0]?.message)
  assert.ok((older.items[0]?.number ?? 0) < (newest.items[0]?.number ?? 0))
  const own = await read('')
  assert.deepEqual([own.node, own.items], ['one', []])
  assertProblem(await house.ask('GET', '/v1/operations/log?node=three'), 'not_found')
  assertProblem(await house.ask('GET', '/v1/operations/log?node=two&cursor=none'), 'validation_failed')
})
