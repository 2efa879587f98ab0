import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { newId } from '../../server/src/foundation/ids.ts'

/** Rows per commit, as many as Messages takes into one batch at most. */
const batchRows = 512
const columns = 'room_id, seq, workspace_id, id, type, actor_kind, actor_id, client_id, at, body'
/** One session for each lane of Messages. */
const sessions = 2

/** Rows that are ready to be sent: arrays as PostgreSQL reads them, so that the client has nothing left to do. */
interface Batch {
  readonly rooms: string
  readonly seqs: string
  readonly ids: string
  readonly clients: string
  readonly bodies: string
}

/**
 * How fast this PostgreSQL takes rows of room_events, in rooms of their own: the limit that everything above it is measured
 * against. They go into the very table, so columns, indexes and constraints are those of the messages.
 */
export class RawInsert implements AsyncDisposable {
  readonly #clients: readonly pg.Client[]
  readonly #workspace = randomUUID()
  readonly #actor = randomUUID()
  readonly #body: string

  private constructor(clients: readonly pg.Client[], text: string) {
    this.#clients = clients
    // Quoted twice: as JSON, and as an element of an array.
    this.#body = JSON.stringify(JSON.stringify({ text }))
  }

  /** On a database that Atom has migrated. */
  static async open(url: string, text: string): Promise<RawInsert> {
    const clients = Array.from({ length: sessions }, () => new pg.Client({ connectionString: url }))
    await Promise.all(clients.map((client) => client.connect()))
    return new RawInsert(clients, text)
  }

  /** Brings the disk to rest, so that no round pays for the one before. */
  async settle(): Promise<void> {
    await this.#clients[0]?.query('checkpoint')
  }

  /**
   * Rows per second of one INSERT … SELECT, in one commit, over this many rooms. The rows lie ready in a temporary table: no
   * client, no text to be read, no JSON to be parsed.
   */
  async bulk(roomCount: number, rows: number): Promise<number> {
    const client = this.#client()
    const rooms = await this.#rooms(roomCount)
    await client.query('create temporary table ready_events (like room_events)')
    await client.query(
      `insert into ready_events (${columns})
       select ($1::uuid[])[1 + i % $2], 1 + i / $2, $3, gen_random_uuid(), 'message.created', 'account', $4, gen_random_uuid(),
         now(), $5
       from generate_series(0, $6 - 1) i`,
      [rooms.map(({ id }) => id), roomCount, this.#workspace, this.#actor, JSON.parse(this.#body), rows],
    )
    const began = performance.now()
    await client.query(`insert into room_events (${columns}) select ${columns} from ready_events`)
    const seconds = (performance.now() - began) / 1000
    await client.query('drop table ready_events')
    return rows / seconds
  }

  /** Rows per second of a client that sends rows it has ready, in commits of 512, over this many rooms and two sessions. */
  async client(roomCount: number, batches: number): Promise<number> {
    const rooms = await this.#rooms(roomCount)
    const prepared = Array.from({ length: batches }, () => this.#batch(rooms, batchRows))
    const began = performance.now()
    await Promise.all(
      this.#clients.map(async (client) => {
        for (let batch = prepared.pop(); batch !== undefined; batch = prepared.pop()) {
          await this.#insert(client, batch)
        }
      }),
    )
    return (batches * batchRows) / ((performance.now() - began) / 1000)
  }

  /** Commits per second of one row each, one after the other. */
  async oneByOne(rows: number): Promise<number> {
    const client = this.#client()
    const rooms = await this.#rooms(1)
    const prepared = Array.from({ length: rows }, () => this.#batch(rooms, 1))
    const began = performance.now()
    for (const batch of prepared) await this.#insert(client, batch)
    return rows / ((performance.now() - began) / 1000)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end()))
  }

  #client(): pg.Client {
    const [client] = this.#clients
    if (client === undefined) throw new Error('there is no session')
    return client
  }

  async #rooms(count: number): Promise<{ readonly id: string; seq: number }[]> {
    const rooms = Array.from({ length: count }, () => ({ id: newId(), seq: 0 }))
    await this.#client().query(
      `insert into rooms (id, workspace_id, name, epoch, created_by)
       select id, $2, 'Raw', gen_random_uuid(), $3 from unnest($1::uuid[]) id`,
      [rooms.map(({ id }) => id), this.#workspace, this.#actor],
    )
    return rooms
  }

  #batch(rooms: { readonly id: string; seq: number }[], size: number): Batch {
    const rows = Array.from({ length: size }, (_, index) => rooms[index % rooms.length])
    return {
      rooms: arrayOf(rows.map((room) => room?.id)),
      seqs: arrayOf(rows.map((room) => room && ++room.seq)),
      ids: arrayOf(rows.map(() => newId())),
      clients: arrayOf(rows.map(() => randomUUID())),
      bodies: arrayOf(rows.map(() => this.#body)),
    }
  }

  async #insert(client: pg.Client, batch: Batch): Promise<void> {
    await client.query({
      name: 'raw-insert',
      text: `insert into room_events (${columns})
        select room, seq, $5, id, 'message.created', 'account', $6, client, clock_timestamp(), body::jsonb
        from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $7::text[]) t (room, seq, id, client, body)`,
      values: [batch.rooms, batch.seqs, batch.ids, batch.clients, this.#workspace, this.#actor, batch.bodies],
    })
  }
}

/** Of values that need no quotes, or have them. */
function arrayOf(values: readonly (string | number | undefined)[]): string {
  return `{${values.join(',')}}`
}
