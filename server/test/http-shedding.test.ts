import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { accountRoutes } from '@atom/contract/accounts.ts'
import { errorTable } from '@atom/contract/errors.ts'
import { type Route, route } from '@atom/contract/route.ts'
import sql from 'sql-template-tag'
import { Type } from 'typebox'
import { openDatabase } from '#foundation/database/pool.ts'
import { MemoryRateLimits } from '#foundation/rate-limit/memory-rate-limit.ts'
import { Callers } from '#http/callers.ts'
import { Edge } from '#http/edge.ts'
import { LoadShedding } from '#http/load-shedding.ts'
import { PolicyLimits } from '#http/policy-limits.ts'
import { assertProblem, call } from './support/calls.ts'
import { openDoors } from './support/doors.ts'
import { PlainClient, roomOf, somebody, startLive } from './support/live.ts'
import { testDatabase, testLog } from './support/postgres.ts'
import { until } from './support/until.ts'

/** Shedding that a test has put into overload, and that lets in next to nobody. */
async function overloaded() {
  const state = { used: 1 }
  const shedding = new LoadShedding({
    log: testLog,
    utilisation: () => state.used,
    knock: async () => 1_000,
  })
  shedding[Symbol.dispose]()
  const flood = async (ticks: number) => {
    for (let tick = 0; tick < ticks; tick++) {
      for (let request = 0; request < 2_000; request++) shedding.admits('people', () => 'the flood')
      shedding.tick()
      await Promise.resolve()
    }
  }
  await flood(30)
  assert.ok(shedding.admitting < 0.01, `${shedding.admitting}`)
  return { shedding, state }
}

const megabytes = route({
  method: 'GET',
  path: '/v1/megabytes',
  summary: 'Much to read',
  audience: 'anyone',
  answers: { 200: Type.Object({ text: Type.String() }) },
  errors: [],
} as const satisfies Route)

test('[LS7] an overloaded server says so at once, to people with the time to come back, and answers probes and sign-in', async () => {
  await using db = await testDatabase()
  const { shedding } = await overloaded()
  const limits = new PolicyLimits(new MemoryRateLimits())
  await using doors = await openDoors(db.database, { edge: { limits, shedding } })
  const statuses: number[] = []
  for (let asked = 0; asked < 20; asked++) {
    const answer = await call(doors.url, 'GET', '/v1/me')
    statuses.push(answer.status)
    if (answer.status !== 503) continue
    const problem = assertProblem(answer, 'busy')
    assert.equal(problem.retryable, true)
    const retryAfter = Number(answer.headers.get('retry-after'))
    assert.ok(retryAfter * 1_000 >= (problem.retryAfterMs ?? Infinity) && retryAfter <= 4)
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
  }
  assert.ok(statuses.filter((status) => status === 503).length >= 17, statuses.join(' '))
  for (const probe of ['/live', '/ready', '/status', '/health'])
    assert.equal((await call(doors.url, 'GET', probe)).status, 200, probe)
  for (const { method, path } of [accountRoutes.login, accountRoutes.refresh])
    assert.notEqual((await call(doors.url, method, path, { body: {} })).status, 503, path)
  // Counted, and not a line of the log each.
  assert.ok(shedding.shed.people >= 17)
  const told = doors.lines.filter((line) => line.includes('"status":503'))
  assert.ok(
    told.every((line) => JSON.parse(line).level === 'debug'),
    told[0],
  )
})

test('[LS8] sockets as well: a handshake is refused with its time, a frame is acknowledged with `busy`, and a renewed token is taken', async () => {
  await using db = await testDatabase()
  const ada = somebody()
  const { shedding } = await overloaded()
  const callers = new Callers()
  const limits = new PolicyLimits(new MemoryRateLimits())
  const edge = new Edge({ limits, callers, shedding })
  const open = { yes: true }
  const entry = {
    requireEntry: (...of: Parameters<Edge['requireEntry']>) => {
      if (!open.yes) edge.requireEntry(...of)
    },
    requireAccount: (id: string) => edge.requireAccount(id),
    requireTime: (...of: Parameters<Edge['requireTime']>) => edge.requireTime(...of),
  }
  await using live = await startLive(db.database, { entry })
  const roomId = await roomOf(db.database, live, ada)
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  await client.hello()
  const refusals = new Set<string>()
  let sent = 0
  for (let at = 0; at < 12; at++) {
    const answer = await client.ask('message.send', { roomId, clientId: `message-${at}`, text: 'hello' })
    if (answer.ok) sent++
    else {
      refusals.add(answer.error.code)
      const { retryable, retryAfterMs = 0 } = answer.error
      assert.ok(retryable && retryAfterMs >= 1_000, JSON.stringify(answer))
    }
  }
  assert.deepEqual([...refusals], ['busy'])
  assert.ok(sent <= 2, `${sent}`)
  for (let times = 0; times < 5; times++)
    assert.equal((await client.ask('auth.refresh', { token: await live.token(ada) })).ok, true)
  open.yes = false
  const { status } = errorTable.busy
  const answers = await Promise.all(Array.from({ length: 6 }, () => upgrade(live.url)))
  assert.ok(answers.filter((head) => head.startsWith(`HTTP/1.1 ${status} `)).length >= 5, answers.join())
  assert.match(answers.find((head) => head.includes('503')) ?? '', /Retry-After: [1-4]\r\n/)
})

test('[LS9] who is kept out gets no socket, by address or by account', async () => {
  await using db = await testDatabase()
  const [ada, bob] = [somebody(), somebody()]
  const callers = new Callers()
  using shedding = new LoadShedding({ log: testLog })
  const edge = new Edge({ limits: new PolicyLimits(new MemoryRateLimits()), callers, shedding })
  await using live = await startLive(db.database, { entry: edge })
  const expiresAt = new Date(Date.now() + 60_000)
  callers.rule([{ verdict: 'block', network: null, accountId: ada.id, expiresAt }])
  using adas = new PlainClient(live.url, { token: await live.token(ada) })
  assert.equal((await adas.refused()).code, 'blocked')
  using bobs = new PlainClient(live.url, { token: await live.token(bob) })
  await bobs.hello()
  callers.rule([{ verdict: 'block', network: '127.0.0.0/8', accountId: null, expiresAt }])
  assert.match(await upgrade(live.url), /^HTTP\/1.1 403 /)
})

test('[LS10] who asks and does not read is cut off, who reads slowly and steadily is not', async () => {
  await using db = await testDatabase()
  const text = 'x'.repeat(32 * 1024 * 1024)
  await using doors = await openDoors(db.database, {
    http: { drainRate: { overMs: 2_000, bytes: 8 * 1024 } },
    register: ({ guards: { guard } }) => {
      guard(megabytes, async () => ({ status: 200, body: { text } }))
    },
  })
  const ask = (): Socket => {
    const { hostname, port } = new URL(doors.url)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => socket.destroy())
    socket.write('GET /v1/megabytes HTTP/1.1\r\nHost: a\r\n\r\n')
    return socket
  }
  let read = 0
  let paused = 0
  using steady = disposable(ask())
  steady.socket.on('data', (chunk: Buffer) => {
    read += chunk.length
    if (read - paused < 256 * 1024) return
    paused = read
    steady.socket.pause()
    setTimeout(() => steady.socket.resume(), 10)
  })
  using stalled = disposable(ask())
  stalled.socket.pause()
  await until(() => doors.http.slowReaders.ended > 0)
  await until(() => read >= text.length || steady.socket.destroyed)
  assert.equal(doors.http.slowReaders.ended, 1)
  // A connection that has read everything may be silent for as long as it likes.
  assert.equal(steady.socket.destroyed, false)
})

test('[LS11] so many connections from one address, and so many in all; the rest are closed before they say a word', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database, { http: { mostConnections: { inAll: 6, perAddress: 4 } } })
  const { port } = new URL(doors.url)
  const sockets: Socket[] = []
  const open = async (localAddress: string): Promise<boolean> => {
    const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress })
    sockets.push(socket)
    return await new Promise((resolve) => {
      socket.on('error', () => resolve(false))
      socket.once('close', () => resolve(false))
      socket.once('data', () => resolve(true))
      socket.write('GET /live HTTP/1.1\r\nHost: a\r\n\r\n')
    })
  }
  try {
    const outcomes: boolean[] = []
    for (let at = 0; at < 6; at++) outcomes.push(await open('127.0.0.1'))
    assert.deepEqual(outcomes, [true, true, true, true, false, false])
    for (const expected of [true, true, false]) assert.equal(await open('127.0.0.2'), expected)
    assert.equal(doors.http.connections.refused, 3)
    sockets[0]?.destroy()
    await until(() => doors.http.connections.open.size === 5)
    assert.equal(await open('127.0.0.1'), true)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
})

function disposable(socket: Socket) {
  return { socket, [Symbol.dispose]: () => void socket.destroy() }
}

test('[RL29] handshakes of sockets count against their address, so that one does not get all the turns of a process', async () => {
  await using db = await testDatabase()
  using shedding = new LoadShedding({ log: testLog })
  const limits = new PolicyLimits(new MemoryRateLimits())
  const edge = new Edge({ limits, callers: new Callers(), shedding })
  await using live = await startLive(db.database, { entry: edge })
  limits.of('address').change({ burst: 10, everyUs: 3_600_000_000 })
  const answers: string[] = []
  for (let at = 0; at < 8; at++) answers.push(await upgrade(live.url))
  assert.deepEqual(
    answers.map((head) => head.split(' ')[1]),
    ['101', '101', '101', '101', '101', '429', '429', '429'],
  )
  assert.match(answers.at(-1) ?? '', /Retry-After: \d+\r\n/)
  assert.deepEqual(
    limits.refusals.recent(1).map(({ policy, subject }) => [policy, subject]),
    [['address', '127.0.0.1']],
  )
})

const rows = route({
  method: 'GET',
  path: '/v1/rows',
  summary: 'Something of the database',
  audience: 'anyone',
  answers: { 200: Type.Object({ rows: Type.Integer() }) },
  errors: [],
} as const satisfies Route)

test('[RL44] while those who were let in wait for the database, who comes is told so at once; sign-in goes on, who was let in is served, and then everybody', async () => {
  await using db = await testDatabase()
  const { connection } = db
  await using scarce = await openDatabase({ connection, poolSize: 2, log: testLog, acquireTimeoutMs: 60_000 })
  using shedding = new LoadShedding({ log: testLog, utilisation: () => 0.5, queue: () => scarce.queue })
  const limits = new PolicyLimits(new MemoryRateLimits())
  limits.of('address').change({ burst: 1_000_000, everyUs: 1 })
  await using doors = await openDoors(db.database, {
    edge: { limits, shedding },
    register: ({ guards: { guard } }) => {
      guard(rows, async () => {
        const found = await scarce.query<{ one: number }>(sql`select 1 as one`)
        return { status: 200, body: { rows: found.length } }
      })
    },
  })
  const ask = async () => (await call(doors.url, rows.method, rows.path)).status
  const released = Promise.withResolvers<void>()
  const holders = [1, 2].map(() => scarce.transaction(() => released.promise))
  await until(() => scarce.load.inUse === 2)
  const asked: Promise<number>[] = []
  const flood = setInterval(() => {
    for (let each = 0; each < 10; each++) asked.push(ask())
  }, 20)
  try {
    await until(() => shedding.shed.people > 0)
    assert.ok(scarce.queue.waiting >= 80, `${scarce.queue.waiting}`)
    const { method, path } = accountRoutes.login
    for (let times = 0; times < 3; times++)
      assert.notEqual((await call(doors.url, method, path, { body: {} })).status, 503)
  } finally {
    clearInterval(flood)
    released.resolve()
  }
  await Promise.all(holders)
  const statuses = await Promise.all(asked)
  const served = statuses.filter((status) => status === 200).length
  const refused = statuses.filter((status) => status === 503).length
  assert.ok(served >= 80, `${served}`)
  assert.equal(refused, shedding.shed.people)
  assert.equal(served + refused, statuses.length)
  await until(() => !shedding.shedding)
  assert.equal(await ask(), 200)
})

/** The head of what a request for a WebSocket is answered with. */
async function upgrade(url: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(
    'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  return await new Promise((resolve, reject) => {
    let head = ''
    socket.on('data', (chunk: Buffer) => {
      head += chunk
      if (!head.includes('\r\n\r\n')) return
      socket.destroy()
      resolve(head)
    })
    socket.once('error', reject)
  })
}
