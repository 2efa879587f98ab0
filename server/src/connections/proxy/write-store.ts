import sql from 'sql-template-tag'
import { unsetTime } from '#foundation/clock.ts'
import type { Database } from '#foundation/database/pool.ts'
import type { SealedAnswer } from './answer-seal.ts'

export interface WriteClaim {
  readonly id: string
  readonly workspaceId: string
  readonly connectionId: string
  readonly callerId: string
  readonly keyHash: string
  readonly requestHash: string
  /** How long the sender may take; afterwards it counts as dead. */
  readonly senderSeconds: number
  readonly keepSeconds: number
}

/** An earlier write with the same key. */
export interface EarlierWrite {
  readonly id: string
  readonly requestHash: string
  /** `sent`: somebody is at it now. `unknown`: it was sent, and no answer to it is known. */
  readonly state: 'sent' | 'answered' | 'unknown'
  readonly status: number | null
  readonly dataKey: Buffer | null
  readonly sealed: Buffer | null
}

/** All SQL about writes that must not happen twice. */
export class WriteStore {
  readonly #database: Database
  readonly #unsetTime: () => Date

  constructor(dependencies: { database: Database; unsetTime?: () => Date }) {
    this.#database = dependencies.database
    this.#unsetTime = dependencies.unsetTime ?? unsetTime
  }

  /**
   * Takes the key, or says what became of it before. Of two at once, one gets it. Forgets what is past its time, also by a clock that
   * nobody sets: what is forgotten too early would be written twice.
   */
  async claim(claim: WriteClaim): Promise<EarlierWrite | undefined> {
    await this.#database.query(sql`
      delete from proxied_writes where expires_at < least(now(), ${this.#unsetTime()}::timestamptz)`)
    const taken = await this.#database.query(sql`
      insert into proxied_writes (id, workspace_id, connection_id, caller_id, key_hash, request_hash, state, sender_until,
        expires_at)
      values (${claim.id}, ${claim.workspaceId}, ${claim.connectionId}, ${claim.callerId}, ${claim.keyHash},
        ${claim.requestHash}, 'sent', now() + make_interval(secs => ${claim.senderSeconds}),
        now() + make_interval(secs => ${claim.keepSeconds}))
      on conflict (connection_id, caller_id, key_hash) do nothing
      returning id`)
    if (taken.length > 0) return undefined
    const [earlier] = await this.#database.query<EarlierWrite>(sql`
      select w.id, w.request_hash as "requestHash", w.status, a.data_key as "dataKey", a.sealed,
        case when w.state = 'sent' and w.sender_until < now() then 'unknown' else w.state end as state
      from proxied_writes w left join kept_answers a on a.write_id = w.id
      where w.connection_id = ${claim.connectionId} and w.caller_id = ${claim.callerId} and w.key_hash = ${claim.keyHash}`)
    // It was given back between the two statements.
    return earlier ?? (await this.claim(claim))
  }

  /** Gives the key back: nothing was sent, or the provider did nothing with it. */
  async release(id: string): Promise<void> {
    await this.#database.query(sql`delete from proxied_writes where id = ${id} and state = 'sent'`)
  }

  async unknown(id: string): Promise<void> {
    await this.#database.query(sql`
      update proxied_writes set state = 'unknown' where id = ${id} and state = 'sent'`)
  }

  /** @param sealed undefined where the answer is too long to be kept */
  async answered(
    write: { id: string; workspaceId: string; status: number },
    sealed: SealedAnswer | undefined,
  ): Promise<void> {
    await this.#database.transaction(async (tx) => {
      const rows = await tx.query(sql`
        update proxied_writes set state = 'answered', status = ${write.status} where id = ${write.id} returning id`)
      // The connection was removed meanwhile, and everything of it.
      if (rows.length === 0 || sealed === undefined) return
      await tx.query(sql`
        insert into kept_answers (write_id, workspace_id, data_key, sealed)
        values (${write.id}, ${write.workspaceId}, ${sealed.dataKey}, ${sealed.sealed})`)
    })
  }
}
