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
import { publish } from '../../../server/src/rooms/room-store.ts'
import { Timeline } from '../../../server/src/rooms/timeline.ts'
import { AtomProcess } from '../../../server/test/support/atom-process.ts'
import { urlOf } from '../../../server/test/support/postgres.ts'
import { quantile } from '../benchmark.ts'
import { type Connection, Visitor } from '../visitor.ts'

/** What every message says: 200 bytes, a few sentences. */
export const text = 'Nothing acknowledged is lost, and nothing is shown twice. '.repeat(4).slice(0, 200)
/** A socket may send 100 frames per second and 400 at once: with so many, the budget is never what is measured. */
const connectionCount = 128
/** The largest frame: as many messages as the contract allows. */
export const itemsPerFrame = 32
export const roomCounts = [1, 100] as const
/** Sessions of the pool in this process; a message in a transaction of its own takes one. */
const poolSize = 10

/** The PostgreSQL servers that everything is measured on, each with the settings it has where Atom uses it. */
export const engines: readonly {
  readonly name: string
  readonly start: () => Promise<AsyncDisposable & { readonly url: string }>
}[] = [
  { name: 'embedded PostgreSQL 18', start: startEmbeddedPostgres },
  { name: "Debian's PostgreSQL 15", start: startDebianPostgres },
]

interface Load {
  readonly roomCount: number
  readonly connections: number
  /** Frames that each connection has on their way. */
  readonly inFlight: number
  /** Messages in a frame. */
  readonly items: number
  readonly forMs: number
}

export interface Outcome {
  readonly perSecond: number
  /** Frames that were told to come back later, and did. */
  readonly refused: number
  /** Milliseconds to the acknowledgement, within which this share of the frames had it. */
  latency(share: number): number
}

/** How this process says something by the server's own code but without a server; durable when it resolves. */
interface Speaker {
  /** As a server does it: with what others say, in one commit. */
  together(roomId: string): Promise<void>
  /** The same function with the same promises, for this message alone: a transaction of its own on a session of the pool. */
  alone(roomId: string): Promise<void>
}

/** A server in a process of its own, with a person, rooms and sockets. */
export class Scene implements AsyncDisposable {
  readonly #release: AsyncDisposableStack
  readonly #database: pg.Client
  readonly #roomIds: readonly string[]
  readonly #connections: readonly Connection[]
  readonly #speaker: Speaker
  #acknowledged = 0

  private constructor(parts: {
    release: AsyncDisposableStack
    database: pg.Client
    roomIds: readonly string[]
    connections: readonly Connection[]
    speaker: Speaker
  }) {
    this.#release = parts.release
    this.#database = parts.database
    this.#roomIds = parts.roomIds
    this.#connections = parts.connections
    this.#speaker = parts.speaker
  }

  /** Rooms of people alone: what an agent does with each message is another figure, and would be most of this one. */
  static async prepare(databaseUrl: string): Promise<Scene> {
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
    const speaker = await speakerAs(databaseUrl, visitor, born)
    return new Scene({ release: born.move(), database, roomIds, connections, speaker })
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
  async publish(load: {
    readonly roomCount: number
    readonly publishers: number
    readonly forMs: number
    readonly how: keyof Speaker
  }): Promise<Outcome> {
    const roomIds = this.#roomIds.slice(0, load.roomCount)
    const senders = Array.from(
      { length: load.publishers },
      (_, index) => async (tally: Tally, until: number) => {
        while (performance.now() < until) {
          const began = performance.now()
          await this.#speaker[load.how](roomIds[index % load.roomCount] ?? '')
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

  /**
   * Takes what was said so far off the search index's list. It is written after the acknowledgement, at several times the cost,
   * and would else be busy through whatever is measured next; what is said while the server is measured it takes up as ever.
   */
  async leaveUnindexed(): Promise<void> {
    await this.#database.query(
      `insert into room_search_cursors (room_id, seq) select id, seq from rooms where id = any ($1::uuid[])
       on conflict (room_id) do update set seq = excluded.seq`,
      [this.#roomIds],
    )
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

async function speakerAs(databaseUrl: string, { me }: Visitor, born: AsyncDisposableStack): Promise<Speaker> {
  const log = createLog({ level: 'warn' })
  const connection = { connectionString: databaseUrl }
  const database = born.use(await openDatabase({ connection, poolSize, log }))
  const timeline = born.use(await Timeline.open({ database, log }))
  const messages = born.use(new Messages({ database, timeline, log }))
  const { account, workspace, role } = me
  const principal = {
    kind: 'account',
    id: account.id,
    name: account.name,
    workspaceId: workspace.id,
    role,
    sessionId: crypto.randomUUID(),
  } as const
  return {
    async together(roomId) {
      await messages.send(principal, roomId, { clientId: crypto.randomUUID(), text })
    },
    async alone(roomId) {
      const [verdict] = await publish(
        database,
        [
          {
            roomId,
            workspaceId: workspace.id,
            type: 'message.created',
            actor: { kind: 'account', id: account.id },
            clientId: crypto.randomUUID(),
            body: { text },
          },
        ],
        [{ membersOnly: true }],
      )
      if (verdict?.verdict !== 'stored') throw new Error(`a message was refused: ${verdict?.verdict}`)
    },
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

export function rooms(count: number): string {
  return count === 1 ? 'one room' : `${count} rooms`
}
