import { gunzipSync, gzipSync } from 'node:zlib'
import type { ErrorCode } from '@atom/contract/errors.ts'
import type { Notes } from '#foundation/database/notes.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'

const asking = 'operations.ask'
const answering = 'operations.answer'
/** Of Base64 in one note, which takes 7,700 bytes with everything around it. */
const pieceLength = 7_000
/** A longer answer than 64 notes is none. */
const mostPieces = 64

interface Ask {
  readonly id: string
  readonly question: unknown
}

/** One piece of a packed `Reply`. */
interface Piece {
  readonly id: string
  readonly at: number
  readonly of: number
  readonly text: string
}

type Reply =
  | { readonly ok: true; readonly answer: unknown }
  | { readonly ok: false; readonly code: ErrorCode; readonly detail: string }

interface Waiting {
  readonly pieces: Map<number, string>
  readonly settle: (reply: Reply) => void
  readonly fail: (error: unknown) => void
}

/**
 * One process asks another over the database that both have, for what an operator looks at now and then: nothing is told while
 * nobody asks. A long answer comes packed, in several notes. Whoever can write into this database is trusted with more than this.
 */
export class NodeCalls implements Disposable {
  readonly #notes: Notes
  readonly #log: Log
  readonly #answer: (question: unknown) => Promise<unknown>
  readonly #waiting = new Map<string, Waiting>()
  readonly #release = new DisposableStack()

  /** @param options.answer what another process asks of this one; what it throws goes back as the code and detail of an `AtomError` */
  constructor(options: { notes: Notes; log: Log; answer: (question: unknown) => Promise<unknown> }) {
    this.#notes = options.notes
    this.#log = options.log
    this.#answer = options.answer
    this.#release.use(
      this.#notes.hear(asking, (body, from) => {
        const { id, question } = body as Ask
        void this.#reply(from, id, question)
      }),
    )
    this.#release.use(this.#notes.hear(answering, (body) => this.#heard(body as Piece)))
  }

  /** Throws what the other process threw, and `unavailable` where it says nothing within `withinMs`. */
  async ask(nodeId: string, question: unknown, withinMs: number): Promise<unknown> {
    const id = newId()
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    const timer = setTimeout(
      () => reject(new AtomError('unavailable', 'The process that was asked did not answer in time.')),
      withinMs,
    )
    this.#waiting.set(id, { pieces: new Map(), settle: resolve, fail: reject })
    this.#notes.tell(asking, { id, question } satisfies Ask, nodeId)
    try {
      const reply = await promise
      if (!reply.ok) throw new AtomError(reply.code, reply.detail)
      return reply.answer
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(id)
    }
  }

  [Symbol.dispose](): void {
    this.#release.dispose()
    for (const { fail } of this.#waiting.values()) fail(new AtomError('draining'))
  }

  async #reply(to: string, id: string, question: unknown): Promise<void> {
    const reply = await this.#answer(question).then(
      (answer): Reply => ({ ok: true, answer }),
      (error: unknown): Reply => {
        const { code, detail } = asAtomError(error)
        if (code === 'internal') this.#log.error({ err: error }, 'a question of another process failed')
        return { ok: false, code, detail }
      },
    )
    const packed = gzipSync(JSON.stringify(reply)).toString('base64')
    const of = Math.ceil(packed.length / pieceLength)
    if (of > mostPieces) {
      this.#log.warn({ bytes: packed.length }, 'an answer to another process is too long')
      return
    }
    for (let at = 0; at < of; at++) {
      const text = packed.slice(at * pieceLength, (at + 1) * pieceLength)
      this.#notes.tell(answering, { id, at, of, text } satisfies Piece, to)
    }
  }

  #heard({ id, at, of, text }: Piece): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    waiting.pieces.set(at, text)
    if (waiting.pieces.size < of) return
    const packed = Array.from({ length: of }, (_, place) => waiting.pieces.get(place) ?? '').join('')
    try {
      waiting.settle(JSON.parse(gunzipSync(Buffer.from(packed, 'base64')).toString()) as Reply)
    } catch (error) {
      waiting.fail(
        new AtomError('unavailable', 'The answer of the other process cannot be read.', { cause: error }),
      )
    }
  }
}
