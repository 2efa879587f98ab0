import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { startDebianPostgres } from '../../../scripts/debian-postgres.ts'
import { startEmbedded } from '../../../server/src/foundation/database/embedded.ts'
import { openDatabase } from '../../../server/src/foundation/database/pool.ts'
import { createLog } from '../../../server/src/foundation/log.ts'
import { Messages } from '../../../server/src/rooms/messages.ts'
import { Timeline } from '../../../server/src/rooms/timeline.ts'
import { AtomProcess } from '../../../server/test/support/atom-process.ts'
import { urlOf } from '../../../server/test/support/postgres.ts'
import { type Benchmark, type BenchmarkRun, type Figure, figure, median, quantile } from '../benchmark.ts'
import { RawInsert } from '../raw-insert.ts'
import { type Connection, Visitor } from '../visitor.ts'

const text = 'Nothing acknowledged is lost, and nothing is shown twice. '.repeat(4).slice(0, 200)
/** A socket may send 100 frames per second and 400 at once: with so many, the budget is never what is measured. */
const connectionCount = 128
/** The largest frame: as many messages as the contract allows. */
const itemsPerFrame = 32
const roomCounts = [1, 100] as const

/** Half of it goes to what is said around the messages: locks, numbering, duplicates, the wire. */
const throughputTarget = '>=0.35'
/** Acknowledgement with 512 messages on their way, in milliseconds. */
const latencyTarget = '<=60'

export const benchmark: Benchmark = {
  name: 'message',
  question:
    'How many messages of 200 bytes are acknowledged per second, each after its commit with fsync, through real sockets; and how much is that of what the same PostgreSQL takes from a client that only inserts rows, in the same run?',
  async run(run) {
    return [
      ...(await onEngine('embedded PostgreSQL 18', startEmbeddedPostgres, run)),
      ...(await onEngine("Debian's PostgreSQL 15", startDebianPostgres, run)),
    ]
  },
}

async function onEngine(
  engine: string,
  start: () => Promise<AsyncDisposable & { readonly url: string }>,
  { quick, say }: BenchmarkRun,
): Promise<Figure[]> {
  const rounds = quick ? 1 : 5
  const roundMs = quick ? 2_000 : 5_000
  await using postgres = await start()
  await using scene = await prepare(postgres.url)
  await using raw = await RawInsert.open(postgres.url, text)
  const figures: Figure[] = []
  // Both sides have their code compiled and their tables opened.
  await raw.bulk(1, 20)
  await scene.load({ roomCount: 1, connections: 64, inFlight: 1, items: itemsPerFrame, forMs: 500 })

  for (const roomCount of roomCounts) {
    const measured: { limit: number; door: Outcome; room: Outcome }[] = []
    for (let round = 0; round < rounds; round++) {
      await raw.settle()
      const limit = await raw.bulk(roomCount, quick ? 100 : 250)
      await raw.settle()
      const door = await scene.load({
        roomCount,
        connections: 64,
        inFlight: 1,
        items: itemsPerFrame,
        forMs: roundMs,
      })
      await raw.settle()
      const room = await scene.publish({ roomCount, publishers: 512, forMs: roundMs })
      say(
        `${engine}, ${rooms(roomCount)}: ${Math.round(door.perSecond)}/s through sockets, ${Math.round(room.perSecond)}/s without, ${Math.round(limit)} rows/s raw${door.refused > 0 ? `, ${door.refused} frames asked to wait` : ''}`,
      )
      measured.push({ limit, door, room })
    }
    const middle = (of: (round: (typeof measured)[number]) => number) => median(measured.map(of))
    const against = {
      peer: 'raw bulk insert, 512 rows per commit, 2 sessions',
      value: middle(({ limit }) => limit),
    }
    figures.push(
      figure({
        name: `${engine}: acknowledged through sockets, ${rooms(roomCount)}, frames of ${itemsPerFrame}`,
        value: middle(({ door }) => door.perSecond),
        unit: 'messages/s',
        against,
        target: throughputTarget,
      }),
      figure({
        name: `${engine}: acknowledged without sockets, ${rooms(roomCount)}, 512 publishers in one process`,
        value: middle(({ room }) => room.perSecond),
        unit: 'messages/s',
        against,
        target: throughputTarget,
      }),
      figure({
        name: `${engine}: without sockets, ${rooms(roomCount)}, p99 of acknowledgement`,
        value: middle(({ room }) => room.latency(0.99)),
        unit: 'ms',
        target: latencyTarget,
      }),
    )
  }

  await raw.settle()
  const crowd = await scene.load({ roomCount: 100, connections: 128, inFlight: 4, items: 1, forMs: roundMs })
  say(
    `${engine}, 512 on their way, frames of one: ${Math.round(crowd.perSecond)}/s, p99 ${crowd.latency(0.99).toFixed(1)} ms`,
  )
  figures.push(
    figure({
      name: `${engine}: acknowledged, 512 on their way, frames of one, 100 rooms`,
      value: crowd.perSecond,
      unit: 'messages/s',
    }),
    figure({ name: `${engine}: the same, p50 of acknowledgement`, value: crowd.latency(0.5), unit: 'ms' }),
    figure({
      name: `${engine}: the same, p99 of acknowledgement`,
      value: crowd.latency(0.99),
      unit: 'ms',
      target: latencyTarget,
    }),
  )

  const alone: Outcome[] = []
  const limits: number[] = []
  for (let round = 0; round < rounds; round++) {
    await raw.settle()
    const limit = await raw.oneByOne(quick ? 500 : 2_000)
    await raw.settle()
    const outcome = await scene.oneByOne(roundMs)
    say(
      `${engine}, one at a time: ${Math.round(outcome.perSecond)} acknowledged/s, ${Math.round(limit)} rows/s raw`,
    )
    alone.push(outcome)
    limits.push(limit)
  }
  const middle = (of: (outcome: Outcome) => number) => median(alone.map(of))
  figures.push(
    figure({
      name: `${engine}: acknowledged, one at a time`,
      value: middle((outcome) => outcome.perSecond),
      unit: 'messages/s',
      against: { peer: 'raw insert, one row per commit, one session', value: median(limits) },
    }),
    ...[0.5, 0.99].map((share) =>
      figure({
        name: `${engine}: one at a time, p${share * 100} of acknowledgement`,
        value: middle((outcome) => outcome.latency(share)),
        unit: 'ms',
      }),
    ),
  )
  await scene.verify()
  return figures
}

interface Load {
  readonly roomCount: number
  readonly connections: number
  /** Frames that each connection has on their way. */
  readonly inFlight: number
  /** Messages in a frame. */
  readonly items: number
  readonly forMs: number
}

interface Outcome {
  readonly perSecond: number
  /** Frames that were told to come back later, and did. */
  readonly refused: number
  /** Milliseconds to the acknowledgement, within which this share of the frames had it. */
  latency(share: number): number
}

/** A server in a process of its own, with a person, rooms and sockets. */
class Scene implements AsyncDisposable {
  readonly #release: AsyncDisposableStack
  readonly #database: pg.Client
  readonly #roomIds: readonly string[]
  readonly #connections: readonly Connection[]
  readonly #say: (roomId: string) => Promise<void>
  #acknowledged = 0

  constructor(parts: {
    release: AsyncDisposableStack
    database: pg.Client
    roomIds: readonly string[]
    connections: readonly Connection[]
    say: (roomId: string) => Promise<void>
  }) {
    this.#release = parts.release
    this.#database = parts.database
    this.#roomIds = parts.roomIds
    this.#connections = parts.connections
    this.#say = parts.say
  }

  /** Keeps every connection busy for a while. */
  async load({ roomCount, connections, inFlight, items, forMs }: Load): Promise<Outcome> {
    const roomIds = this.#roomIds.slice(0, roomCount)
    let turn = 0
    const senders = this.#connections.slice(0, connections).flatMap((connection) =>
      Array.from({ length: inFlight }, () => async (tally: Tally, until: number) => {
        while (performance.now() < until) {
          await send(connection, roomIds[turn++ % roomCount] ?? '', items, tally)
        }
      }),
    )
    return await this.#measure(senders, forMs)
  }

  /** The way into the timeline alone, in this process: what is left of a message when the wire is taken away. */
  async publish(load: { roomCount: number; publishers: number; forMs: number }): Promise<Outcome> {
    const roomIds = this.#roomIds.slice(0, load.roomCount)
    const senders = Array.from(
      { length: load.publishers },
      (_, index) => async (tally: Tally, until: number) => {
        while (performance.now() < until) {
          const began = performance.now()
          await this.#say(roomIds[index % load.roomCount] ?? '')
          tally.latencies.push(performance.now() - began)
          tally.acknowledged++
        }
      },
    )
    return await this.#measure(senders, load.forMs)
  }

  /** One message on its way at any time; each over the next socket, because one alone may send 100 per second. */
  async oneByOne(forMs: number): Promise<Outcome> {
    const [roomId = ''] = this.#roomIds
    const sender = async (tally: Tally, until: number) => {
      for (let turn = 0; performance.now() < until; turn++) {
        const connection = this.#connections[turn % this.#connections.length]
        if (connection !== undefined) await send(connection, roomId, 1, tally)
      }
    }
    return await this.#measure([sender], forMs)
  }

  /** Everything acknowledged is stored, once, and no number of any room is missing. */
  async verify(): Promise<void> {
    const { rows } = await this.#database.query<{ stored: string; rooms_with_gaps: string }>(
      `select coalesce(sum(messages), 0) as stored, count(*) filter (where events <> top or top <> head) as rooms_with_gaps
       from (
         select count(*) as events, count(*) filter (where e.type = 'message.created') as messages, max(e.seq) as top,
           max(r.seq) as head
         from room_events e join rooms r on r.id = e.room_id where r.id = any ($1::uuid[]) group by r.id
       ) t`,
      [this.#roomIds],
    )
    const [found] = rows
    if (Number(found?.stored) !== this.#acknowledged || Number(found?.rooms_with_gaps) !== 0) {
      throw new Error(
        `${this.#acknowledged} messages were acknowledged, ${found?.stored} are stored, ${found?.rooms_with_gaps} rooms have gaps`,
      )
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#release.disposeAsync()
  }

  async #measure(
    senders: readonly ((tally: Tally, until: number) => Promise<void>)[],
    forMs: number,
  ): Promise<Outcome> {
    const tally: Tally = { acknowledged: 0, refused: 0, latencies: [] }
    const began = performance.now()
    await Promise.all(senders.map((sender) => sender(tally, began + forMs)))
    const seconds = (performance.now() - began) / 1000
    this.#acknowledged += tally.acknowledged
    return {
      perSecond: tally.acknowledged / seconds,
      refused: tally.refused,
      latency: (share) => quantile(tally.latencies, share),
    }
  }
}

interface Tally {
  acknowledged: number
  refused: number
  /** Of each frame, in milliseconds. */
  readonly latencies: number[]
}

/** Sends a frame until each of its messages is acknowledged; what is refused as `busy` goes again, under the same names. */
async function send(connection: Connection, roomId: string, count: number, tally: Tally): Promise<void> {
  let items = Array.from({ length: count }, () => ({ clientId: crypto.randomUUID(), text }))
  while (items.length > 0) {
    const began = performance.now()
    const [single] = items
    const answer =
      count === 1 && single !== undefined
        ? await connection.ask('message.send', { roomId, ...single })
        : await connection.ask('message.send', { roomId, items })
    let waitMs = 0
    let taken: readonly boolean[]
    if (!answer.ok) {
      waitMs = waitOf(answer.error)
      taken = items.map(() => false)
    } else if ('results' in answer) {
      taken = answer.results.map((result) => {
        if (!result.ok) waitMs = Math.max(waitMs, waitOf(result.error))
        return result.ok
      })
    } else taken = [true]
    const acknowledged = taken.filter((ok) => ok).length
    tally.acknowledged += acknowledged
    if (acknowledged > 0) tally.latencies.push(performance.now() - began)
    items = items.filter((_, index) => taken[index] !== true)
    if (items.length === 0) return
    tally.refused++
    await delay(waitMs)
  }
}

function waitOf(error: { code: string; detail: string; retryAfterMs?: number }): number {
  if (error.code !== 'busy') throw new Error(`a message was refused: ${error.code} ${error.detail}`)
  return error.retryAfterMs ?? 100
}

/** Rooms of people alone: what an agent does with each message is another figure, and would be most of this one. */
async function prepare(databaseUrl: string): Promise<Scene> {
  await using born = new AsyncDisposableStack()
  const atom = born.use(
    await AtomProcess.started({ DATABASE_URL: databaseUrl, ATOM_LOG_LEVEL: 'info', ATOM_SANDBOX: '0' }),
  )
  const visitor = await Visitor.arrive(atom.setupUrl)
  const roomIds: string[] = []
  for (let room = 0; room < Math.max(...roomCounts); room++) {
    roomIds.push((await visitor.createRoom(`Room ${room}`)).id)
  }
  const database = new pg.Client({ connectionString: databaseUrl })
  await database.connect()
  born.defer(() => database.end())
  // No door lets an agent leave a room yet, and a running server remembers who was in it.
  await atom.stop()
  await database.query(`update room_members set left_at = now() where kind = 'agent'`)
  await atom.start()
  const connections = await Promise.all(Array.from({ length: connectionCount }, () => visitor.connect()))
  for (const connection of connections) born.use(connection)
  const say = await speaker(databaseUrl, visitor, born)
  return new Scene({ release: born.move(), database, roomIds, connections, say })
}

/** Says something as this person, by the server's own code but without a server: durable when it resolves. */
async function speaker(
  databaseUrl: string,
  { me }: Visitor,
  born: AsyncDisposableStack,
): Promise<(roomId: string) => Promise<void>> {
  const log = createLog({ level: 'warn' })
  const connection = { connectionString: databaseUrl }
  const database = born.use(await openDatabase({ connection, poolSize: 10, log }))
  const timeline = born.use(await Timeline.open({ database, log }))
  const messages = born.use(new Messages({ database, timeline, log }))
  const principal = {
    kind: 'account',
    id: me.account.id,
    name: me.account.name,
    workspaceId: me.workspace.id,
    role: me.role,
    sessionId: crypto.randomUUID(),
  } as const
  return async (roomId) => {
    await messages.send(principal, roomId, { clientId: crypto.randomUUID(), text })
  }
}

/** The one that Atom brings along, with the settings it has there. */
async function startEmbeddedPostgres(): Promise<AsyncDisposable & { readonly url: string }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-bench-'))
  await chmod(dataDir, 0o755)
  const server = await startEmbedded({ dataDir, log: createLog({ level: 'warn' }) })
  return {
    url: urlOf(server.connection),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function rooms(count: number): string {
  return count === 1 ? 'one room' : `${count} rooms`
}
