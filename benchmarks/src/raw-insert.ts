import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { newId } from '../../server/src/foundation/ids.ts'

/** Rows per commit, as many as Messages takes into one batch at most. */
const batchRows = 512
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
 * How fast this PostgreSQL takes rows like those of room_events, into a table with the same columns and indexes, from a
 * client that does nothing else: the limit that everything above it is measured against.
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
    // Constraints and indexes come along; the foreign key to rooms does not, which makes the limit a little higher.
    await clients[0]?.query('create table raw_events (like room_events including all)')
    return new RawInsert(clients, text)
  }

  /** Brings the disk to rest, so that no round pays for the one before. */
  async settle(): Promise<void> {
    await this.#clients[0]?.query('checkpoint')
  }

  /** Rows per second, in commits of 512 rows, over this many rooms. */
  async bulk(roomCount: number, batches: number): Promise<number> {
    const rooms = Array.from({ length: roomCount }, () => ({ id: randomUUID(), seq: 0 }))
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
    const [client] = this.#clients
    if (client === undefined) throw new Error('there is no session')
    const rooms = [{ id: randomUUID(), seq: 0 }]
    const prepared = Array.from({ length: rows }, () => this.#batch(rooms, 1))
    const began = performance.now()
    for (const batch of prepared) await this.#insert(client, batch)
    return rows / ((performance.now() - began) / 1000)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end()))
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
      text: `insert into raw_events (room_id, seq, workspace_id, id, type, actor_kind, actor_id, client_id, at, body)
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
