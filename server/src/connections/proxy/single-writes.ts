import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { AtomError } from '#foundation/errors.ts'
import { fingerprint, newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { AnswerSeal } from './answer-seal.ts'
import { openingOf } from './body-opening.ts'
import type { AnswerHeaders } from './proxy-headers.ts'
import type { EarlierWrite, WriteStore } from './write-store.ts'

/** A write under a name that its caller gave it. */
export interface NamedWrite {
  readonly workspaceId: string
  readonly connectionId: string
  readonly callerId: string
  readonly key: string
  readonly method: string
  readonly path: string
  /** Which of the connection's credentials it is sent with. */
  readonly slot: string
  readonly contentType: string
  /** Undefined for none; a stream cannot be compared with another one. */
  readonly body: string | Uint8Array | Readable | undefined
}

export interface WriteAnswer {
  readonly status: number
  readonly headers: AnswerHeaders
  readonly body: Buffer | Readable | null
}

/** What whoever sends a write knows of it, at any moment. */
export interface WriteProgress {
  /** It may have had an effect at the provider. */
  sent: boolean
}

/** How long the whole answer to such a write may take, in ms. */
const patienceMs = 120_000
/** Well beyond that: whoever has not settled it by then is dead. */
const senderSeconds = 180
const keepSeconds = 24 * 60 * 60
/** The longest answer that is kept. */
const keptAnswerBytes = 256 * 1024

/**
 * Writes with an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the first one goes, everyone who comes with the
 * same key and the same request gets its answer, and whoever comes while it is under way is told so. A row stands before
 * the request leaves. Where a process dies between sending and storing the answer, what became of the write is not known,
 * and that is what is said: it is never sent a second time.
 */
export class SingleWrites {
  readonly #store: WriteStore
  readonly #seal: AnswerSeal
  readonly #log: Log

  constructor(dependencies: { store: WriteStore; seal: AnswerSeal; log: Log }) {
    this.#store = dependencies.store
    this.#seal = dependencies.seal
    this.#log = dependencies.log
  }

  /**
   * @throws AtomError `idempotency_conflict` | `write_under_way` | `write_outcome_unknown` | `write_answer_not_kept` |
   * `validation_failed` | `payload_too_large`, or what `send` throws
   */
  async once(
    write: NamedWrite,
    send: (progress: WriteProgress, signal: AbortSignal) => Promise<WriteAnswer>,
  ): Promise<WriteAnswer> {
    const id = newId()
    const requestHash = hashOf(write)
    const earlier = await this.#store.claim({
      id,
      workspaceId: write.workspaceId,
      connectionId: write.connectionId,
      callerId: write.callerId,
      keyHash: fingerprint(write.key),
      requestHash,
      senderSeconds,
      keepSeconds,
    })
    if (earlier !== undefined) return await this.#again(write, earlier, requestHash)
    const progress: WriteProgress = { sent: false }
    const late = new AbortController()
    const timer = setTimeout(() => {
      late.abort(new AtomError('provider_unavailable', 'The provider did not answer the write in time.'))
    }, patienceMs)
    try {
      return await this.#keep(
        { id, workspaceId: write.workspaceId },
        await send(progress, late.signal),
        progress,
      )
    } catch (error) {
      await this.#settle(id, progress)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  async #again(write: NamedWrite, earlier: EarlierWrite, requestHash: string): Promise<WriteAnswer> {
    if (earlier.requestHash !== requestHash) throw new AtomError('idempotency_conflict')
    if (earlier.state === 'sent') throw new AtomError('write_under_way', undefined, { retryAfterMs: 1_000 })
    if (earlier.state === 'unknown' || earlier.status === null) throw new AtomError('write_outcome_unknown')
    if (earlier.dataKey === null || earlier.sealed === null) {
      throw new AtomError(
        'write_answer_not_kept',
        `The provider answered ${earlier.status}. Answers beyond ${keptAnswerBytes / 1024} KiB are not kept; read what was written instead.`,
      )
    }
    const kept = await this.#seal.open(
      { workspaceId: write.workspaceId, writeId: earlier.id },
      { dataKey: earlier.dataKey, sealed: earlier.sealed },
    )
    return {
      status: earlier.status,
      headers: { ...kept.headers, 'idempotency-replayed': 'true' },
      body: kept.body,
    }
  }

  /** The answer is stored before anybody has it. */
  async #keep(
    write: { id: string; workspaceId: string },
    answer: WriteAnswer,
    { sent }: WriteProgress,
  ): Promise<WriteAnswer> {
    // Too many requests, or a credential that is not taken: the provider has done nothing, and the next try may go.
    if (!sent || answer.status === 429 || answer.status === 401) {
      await this.#store.release(write.id)
      return answer
    }
    const { opening, rest } = await openingOf(answer.body, keptAnswerBytes)
    try {
      const sealed =
        rest === undefined
          ? await this.#seal.seal(
              { workspaceId: write.workspaceId, writeId: write.id },
              { headers: answer.headers, body: opening },
            )
          : undefined
      await this.#store.answered({ ...write, status: answer.status }, sealed)
    } catch (error) {
      // The caller of now still gets the answer; one who comes again hears that the outcome is unknown.
      this.#log.error({ writeId: write.id, err: error }, 'the answer to a write could not be kept')
    }
    return { ...answer, body: rest ?? opening }
  }

  async #settle(id: string, { sent }: WriteProgress): Promise<void> {
    try {
      if (sent) await this.#store.unknown(id)
      else await this.#store.release(id)
    } catch (error) {
      this.#log.warn({ writeId: id, err: error }, 'a write is settled by its time running out')
    }
  }
}

function hashOf(write: NamedWrite): string {
  if (write.body instanceof Readable) {
    throw new AtomError(
      'payload_too_large',
      'With an Idempotency-Key a body may have up to 1 MiB, so that it can be compared. Send it without the key, or in parts.',
    )
  }
  if (!/^[\x21-\x7e]{1,255}$/.test(write.key)) {
    throw new AtomError('validation_failed', undefined, {
      problems: [
        { pointer: 'headers/idempotency-key', detail: 'Must be 1 to 255 visible ASCII characters.' },
      ],
    })
  }
  const hash = createHash('sha256')
  for (const part of [write.method, write.path, write.slot, write.contentType])
    hash.update(`${part.length}:${part}`)
  return hash.update(write.body ?? '').digest('hex')
}
