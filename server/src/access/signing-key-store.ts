import sql from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'

export interface SigningKeyRow {
  /** RFC 7638 thumbprint of the public key. */
  readonly kid: string
  readonly publicKey: { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string }
  readonly wrappedKey: Buffer
  readonly privateKey: Buffer
  readonly createdAt: Date
}

const columns = sql`
  kid, public_key as "publicKey", wrapped_key as "wrappedKey", private_key as "privateKey", created_at as "createdAt"`

/** Where the wrapped data keys are, for the rotation of master keys. */
export const wrappedKeyColumn = {
  table: 'signing_keys',
  id: 'kid',
  idType: 'text',
  key: 'wrapped_key',
} as const

/** What the data key and the sealed private key of a row are bound to. */
export function signingKeyBinding(kid: string) {
  return { table: 'signing_keys', column: 'private_key', kid }
}

export class SigningKeyStore {
  readonly #database: Queryable

  constructor(database: Queryable) {
    this.#database = database
  }

  async current(): Promise<SigningKeyRow | undefined> {
    const rows = await this.#database.query<SigningKeyRow>(
      sql`select ${columns} from signing_keys where retired_at is null`,
    )
    return rows[0]
  }

  /** Makes this the first key, unless another process was faster: then that one's is the answer. */
  async establish(row: SigningKeyRow): Promise<SigningKeyRow> {
    await this.#database.query(sql`
      insert into signing_keys (kid, public_key, wrapped_key, private_key, created_at)
      values (${row.kid}, ${JSON.stringify(row.publicKey)}, ${row.wrappedKey}, ${row.privateKey}, ${row.createdAt})
      on conflict do nothing`)
    return (await this.current()) ?? row
  }

  /** The current key and those retired after `since`: tokens of theirs may still be good. */
  async verifying(since: Date): Promise<SigningKeyRow[]> {
    return await this.#database.query<SigningKeyRow>(sql`
      select ${columns} from signing_keys
      where retired_at is null or retired_at > ${since}
      order by created_at desc`)
  }
}
