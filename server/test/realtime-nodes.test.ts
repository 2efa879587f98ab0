import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { Redis } from 'ioredis'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Broadcast } from '#foundation/broadcast/broadcast.ts'
import { RedisBroadcast } from '#foundation/broadcast/redis.ts'
import { openDatabase } from '#foundation/database/pool.ts'
import { Secret } from '#foundation/secret.ts'
import {
  type Live,
  type LiveOptions,
  PlainClient,
  range,
  roomOf,
  somebody,
  startLive,
  until,
} from './support/live.ts'
import { Network } from './support/network.ts'
import { asOperator, type TestDatabase, testDatabase, testLog } from './support/postgres.ts'
import { TestRedis } from './support/redis.ts'

/** News that do not come are found by nothing but what the test is about. */
const never = 3_600_000

/** Several nodes on one database, each with sessions of its own, and a client on each. */
class Cluster implements AsyncDisposable {
  readonly own: TestDatabase
  readonly ada = somebody()
  readonly nodes: readonly Live[]
  readonly #carriers: readonly Broadcast[]
  readonly #release: AsyncDisposableStack

  private constructor(
    own: TestDatabase,
    nodes: readonly Live[],
    carriers: readonly Broadcast[],
    release: AsyncDisposableStack,
  ) {
    this.own = own
    this.nodes = nodes
    this.#carriers = carriers
    this.#release = release
  }

  static async of(
    size: number,
    carriers: (node: number) => Promise<Broadcast> | undefined,
    options: Pick<LiveOptions, 'recheckMs' | 'patienceMs'> = {},
  ): Promise<Cluster> {
    await using release = new AsyncDisposableStack()
    const own = release.use(await testDatabase())
    const nodes: Live[] = []
    const inUse: Broadcast[] = []
    for (const number of range(0, size - 1)) {
      const { connection } = own
      const database = release.use(await openDatabase({ connection, poolSize: 4, log: testLog }))
      const carrier = await carriers(number)
      if (carrier !== undefined) inUse.push(release.use(carrier))
      const broadcast = carrier && { broadcast: carrier }
      nodes.push(release.use(await startLive(database, { recheckMs: never, ...broadcast, ...options })))
    }
    return new Cluster(own, nodes, inUse, release.move())
  }

  node(number: number): Live {
    const node = this.nodes[number]
    if (node === undefined) throw new Error(`there is no node ${number}`)
    return node
  }

  room(...others: readonly AccountPrincipal[]): Promise<string> {
    return roomOf(this.own.database, this.node(0), this.ada, ...others)
  }

  /** A client on a node, in the room, live. */
  async client(number: number, roomId: string): Promise<PlainClient> {
    const node = this.node(number)
    const client = new PlainClient(node.url, {
      token: await node.token(this.ada),
      deviceId: `device-${number}`,
    })
    const joined = await client.ask('room.join', { roomId, after: 0 })
    assert.ok(joined.ok)
    return client
  }

  /** Resolves when Redis brings these nodes what is written in the room: a moment after their first socket has joined. */
  async carries(roomId: string, ...nodes: readonly number[]): Promise<void> {
    const hear = () => nodes.every((node) => this.#carriers[node]?.hears(`events:${roomId}`))
    await until(hear, 'Redis carries the room', 30_000)
  }

  async say(number: number, roomId: string, from: number, to: number): Promise<void> {
    for (const said of range(from, to)) {
      await this.node(number).messages.send(this.ada, roomId, {
        clientId: `client-${said}`,
        text: `message ${said}`,
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release.disposeAsync()
  }
}

function overRedis(redis: TestRedis): () => Promise<RedisBroadcast> {
  return () => RedisBroadcast.open({ url: redis.url, log: testLog, beatMs: 100 })
}

/** Every client has everything up to `last`, once and in order. */
async function complete(clients: readonly PlainClient[], last: number): Promise<void> {
  for (const client of clients) await until(() => client.seqs().includes(last), `event ${last}`, 30_000)
  for (const client of clients) {
    assert.deepEqual(client.seqs(), range(1, last))
    assert.deepEqual(client.problems, [])
  }
}

/** Resolves when this many nodes are subscribed to the room. */
async function subscribed(redis: TestRedis, roomId: string, nodes: number): Promise<void> {
  const asking = new Redis(redis.url.reveal())
  try {
    for (;;) {
      const counts = (await asking.call('PUBSUB', 'SHARDNUMSUB', `atom:events:${roomId}`)) as unknown[]
      if (Number(counts[1]) === nodes) return
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  } finally {
    asking.disconnect()
  }
}

test('[RT50] with Redis a message reaches the sockets of every node once and in order, and a node that is told of it reads nothing from the database', async () => {
  await using redis = await TestRedis.started()
  await using cluster = await Cluster.of(3, overRedis(redis), { patienceMs: never })
  const roomId = await cluster.room()
  using one = await cluster.client(1, roomId)
  using two = await cluster.client(2, roomId)
  await cluster.carries(roomId, 1, 2)
  const reads = [cluster.node(1), cluster.node(2)].map(({ timeline }) => mock.method(timeline, 'since'))
  await cluster.say(0, roomId, 1, 200)
  await complete([one, two], 200)
  for (const read of reads) assert.equal(read.mock.callCount(), 0)
})

test('[RT51] a node is subscribed to the rooms that its sockets are in, and to no others', async () => {
  await using redis = await TestRedis.started()
  await using cluster = await Cluster.of(2, overRedis(redis))
  const [busy, quiet] = [await cluster.room(), await cluster.room()]
  using one = await cluster.client(0, busy)
  using two = await cluster.client(1, busy)
  await subscribed(redis, busy, 2)
  await subscribed(redis, quiet, 0)
  assert.ok((await two.ask('room.leave', { roomId: busy })).ok)
  await subscribed(redis, busy, 1)
  one.socket.disconnect()
  await subscribed(redis, busy, 0)
})

test('[RT52] Redis is killed in mid-conversation and comes back: every message arrives once and in order on every node, and Redis carries again', async () => {
  await using redis = await TestRedis.started()
  await using cluster = await Cluster.of(3, overRedis(redis))
  const roomId = await cluster.room()
  using zero = await cluster.client(0, roomId)
  using one = await cluster.client(1, roomId)
  using two = await cluster.client(2, roomId)
  const clients = [zero, one, two]
  await cluster.carries(roomId, 0, 1, 2)
  const talking = cluster.say(0, roomId, 1, 150)
  await until(() => one.seqs().length > 30, 'the conversation is under way')
  await redis.kill()
  await talking
  await complete(clients, 150)
  await cluster.say(1, roomId, 151, 200)
  await complete(clients, 200)
  await redis.start()
  await cluster.carries(roomId, 0, 1, 2)
  await cluster.say(2, roomId, 201, 250)
  await complete(clients, 250)
})

test('[RT53] a node that Redis does not reach any more, without a word, misses nothing', async () => {
  await using redis = await TestRedis.started()
  await using network = await Network.beforePort(redis.port)
  const cutOff = new Secret(`redis://127.0.0.1:${network.address.port}`)
  await using cluster = await Cluster.of(2, (node) =>
    RedisBroadcast.open({ url: node === 1 ? cutOff : redis.url, log: testLog }),
  )
  const roomId = await cluster.room()
  using zero = await cluster.client(0, roomId)
  using one = await cluster.client(1, roomId)
  await cluster.carries(roomId, 0, 1)
  await cluster.say(0, roomId, 1, 20)
  network.freeze()
  await Promise.all([cluster.say(0, roomId, 21, 60), cluster.say(1, roomId, 61, 100)])
  await complete([zero, one], 100)
})

test('[RT54] what Redis loses, the last message too, is read from the database; what it delivers twice or late is not delivered twice', async () => {
  await using redis = await TestRedis.started()
  await using cluster = await Cluster.of(2, async (node) => {
    const carrier = await overRedis(redis)()
    if (node === 1) return carrier
    // Every third message is lost, every fifth comes twice, every seventh late.
    let number = 0
    const late: [string, string][] = []
    const tell = carrier.tell.bind(carrier)
    mock.method(carrier, 'tell', (topic: string, message: string) => {
      number++
      if (number % 3 === 0) return
      if (number % 7 === 0) {
        late.push([topic, message])
        return
      }
      tell(topic, message)
      if (number % 5 === 0) tell(topic, message)
      for (const [lateTopic, lateMessage] of late.splice(0)) tell(lateTopic, lateMessage)
    })
    return carrier
  })
  const roomId = await cluster.room()
  using zero = await cluster.client(0, roomId)
  using one = await cluster.client(1, roomId)
  await cluster.carries(roomId, 0, 1)
  await cluster.say(0, roomId, 1, 99)
  await complete([zero, one], 99)
})

test('[RT55] without Redis three nodes on one PostgreSQL deliver the same, once and in order, and go on when their listening sessions are ended', async () => {
  await using cluster = await Cluster.of(3, () => undefined, { recheckMs: 200 })
  const roomId = await cluster.room()
  using zero = await cluster.client(0, roomId)
  using one = await cluster.client(1, roomId)
  using two = await cluster.client(2, roomId)
  const talking = Promise.all(
    [0, 1, 2].map((node) => cluster.say(node, roomId, node * 100 + 1, node * 100 + 100)),
  )
  await until(() => one.seqs().length > 60, 'the conversation is under way')
  const ended = await asOperator(cluster.own.connection, (session) =>
    session.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and query ilike 'listen%' and pid <> pg_backend_pid()`,
    ),
  )
  // Of each node the one of its timeline, which may rest, and the one of everything else.
  assert.equal(ended.rowCount, 6)
  await talking
  await complete([zero, one, two], 300)
})

test('[RT56] two nodes that write into one room at once deliver one order, over Redis as over the database', async () => {
  await using redis = await TestRedis.started()
  for (const carriers of [overRedis(redis), () => undefined]) {
    await using cluster = await Cluster.of(2, carriers)
    const roomId = await cluster.room()
    using zero = await cluster.client(0, roomId)
    using one = await cluster.client(1, roomId)
    await Promise.all(
      range(1, 8).map((writer) => cluster.say(writer % 2, roomId, writer * 100 + 1, writer * 100 + 25)),
    )
    await complete([zero, one], 200)
    assert.deepEqual(one.events, zero.events)
  }
})

test('[RT57] typing reaches the room’s sockets on other nodes over Redis; a node without any of them is sent nothing', async () => {
  await using redis = await TestRedis.started()
  await using cluster = await Cluster.of(3, overRedis(redis))
  const roomId = await cluster.room()
  using zero = await cluster.client(0, roomId)
  using one = await cluster.client(1, roomId)
  await cluster.carries(roomId, 0, 1)
  const heard: unknown[] = []
  using _elsewhere = cluster.node(2).signals.subscribe((signal) => heard.push(signal))
  await until(() => {
    cluster.node(0).signals.tell({
      roomId,
      kind: 'typing',
      actor: { kind: 'account', id: cluster.ada.id, name: 'Ada' },
    })
    return one.signals.length > 0
  }, 'typing on the other node')
  assert.ok(zero.signals.length > 0)
  assert.deepEqual(heard, [])
})

test('[RT58] a session that ends on one node is over on every node, whether Redis is there or not', async () => {
  await using redis = await TestRedis.started()
  await using cluster = await Cluster.of(2, overRedis(redis))
  const roomId = await cluster.room()
  using client = await cluster.client(1, roomId)
  await redis.kill()
  await cluster.own.database.transaction(async (tx) => {
    await cluster.node(0).revocations.announce(tx, cluster.ada.sessionId)
  })
  await until(() => !client.socket.connected, 'the socket of the ended session is closed')
})
