import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'

/** An answer as it came, packed as it was sent. */
export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** All of it where it announced that it is short; else a stream that has to be read to its end or destroyed. */
  readonly body: Buffer | Readable
}

export interface AnswerWish {
  readonly method: string
  readonly signal: AbortSignal | undefined
  /** Destroyed with the request where it fails. */
  readonly body: unknown
  /** An unpacked answer of an announced length up to this arrives as a whole. */
  readonly wholeBytes: number
  /** From the head of the answer to its last byte, in ms. */
  readonly timeoutMs: number
  /** What an answer that takes longer ends with. */
  slow(): Error
}

/**
 * Receives one answer from undici's dispatcher. Measured: for the short answers that most calls of an API get, the stream, its
 * listeners and the reading of it that `request` brings cost more than sending the request.
 */
export class AnswerReceiver implements Dispatcher.DispatchHandler {
  readonly answer: Promise<RawAnswer>
  readonly #wish: AnswerWish
  readonly #settle: PromiseWithResolvers<RawAnswer>
  readonly #onAbort: (() => void) | undefined
  #controller: Dispatcher.DispatchController | undefined
  #late: NodeJS.Timeout | undefined
  #stream: AnswerStream | undefined
  #head: Omit<RawAnswer, 'body'> | undefined
  #chunks: Buffer[] = []

  constructor(wish: AnswerWish) {
    this.#wish = wish
    this.#settle = Promise.withResolvers()
    this.answer = this.#settle.promise
    if (wish.signal !== undefined) {
      this.#onAbort = () => this.#controller?.abort(reasonOf(wish.signal))
      wish.signal.addEventListener('abort', this.#onAbort, { once: true })
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#wish.signal?.aborted === true) controller.abort(reasonOf(this.#wish.signal))
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: RawAnswer['headers'],
  ): void {
    // What comes before the answer (RFC 9110 15.2) is none.
    if (status < 200) return
    this.#head = { status, headers }
    this.#late = setTimeout(() => this.#end(this.#wish.slow()), this.#wish.timeoutMs)
    this.#late.unref()
    const { method, wholeBytes } = this.#wish
    const length = headers['content-length']
    const isShort = length !== undefined && Number(length) <= wholeBytes && method !== 'HEAD'
    if (isShort && headers['content-encoding'] === undefined) return
    this.#stream = new AnswerStream(controller)
    this.#settle.resolve({ ...this.#head, body: this.#stream })
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stream === undefined) this.#chunks.push(chunk)
    else if (!this.#stream.push(chunk)) controller.pause()
  }

  onResponseEnd(): void {
    this.#release()
    if (this.#stream !== undefined) {
      this.#stream.complete()
      return
    }
    const [first, ...more] = this.#chunks
    const body = first !== undefined && more.length === 0 ? first : Buffer.concat(this.#chunks)
    if (this.#head !== undefined) this.#settle.resolve({ ...this.#head, body })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#release()
    const { body } = this.#wish
    if (body instanceof Readable) body.on('error', heard).destroy(error)
    this.#stream?.destroy(error)
    this.#settle.reject(error)
  }

  #end(error: Error): void {
    this.#controller?.abort(error)
  }

  #release(): void {
    clearTimeout(this.#late)
    if (this.#onAbort !== undefined) this.#wish.signal?.removeEventListener('abort', this.#onAbort)
  }
}

/** A body that is passed on while it arrives. */
class AnswerStream extends Readable {
  readonly #controller: Dispatcher.DispatchController
  #complete = false

  constructor(controller: Dispatcher.DispatchController) {
    super()
    this.#controller = controller
    // Who destroys a body unread has no use for being told that it was not read.
    this.on('error', heard)
  }

  complete(): void {
    this.#complete = true
    this.push(null)
  }

  override _read(): void {
    this.#controller.resume()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#complete) {
      this.#complete = true
      this.#controller.abort(error ?? new Error('the answer was left unread'))
    }
    done(error)
  }
}

function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason
  return reason instanceof Error ? reason : new Error('the caller gave up', { cause: reason })
}

/** A stream without a listener for its error would end the process; whoever reads it has one of their own besides. */
export function heard(): void {
  // The reader decides.
}
