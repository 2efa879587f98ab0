import { Readable } from 'node:stream'

/** One event of a `text/event-stream` (WHATWG HTML 9.2.6). */
export interface StreamEvent {
  /** What a client sends back as `Last-Event-ID`; an event without one leaves that as it was. One line. */
  readonly id?: string
  /** `message` where absent. One line. */
  readonly event?: string
  /** From now on the client waits so long before it comes back. */
  readonly retryMs?: number
  /** Goes out as JSON, which is one line whatever is in it. */
  readonly data: unknown
}

/** Unsent beyond this: `crowded`, so whoever writes waits or leaves things out. In bytes. */
const soft = 64 * 1024
/** Proxies and phones cut what is silent for half a minute. */
const heartbeatMs = 15_000

export const eventStreamHeaders = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  // nginx would gather a page's worth before it passes anything on.
  'x-accel-buffering': 'no',
} as const

/** The body of one answer that goes on: server-sent events, with a comment now and then so that a dead line is noticed. */
export class EventStream extends Readable {
  readonly #heartbeat: NodeJS.Timeout
  #room: PromiseWithResolvers<void> | undefined
  #ended = false

  /** `retryMs`: how long a client waits before it comes back. */
  constructor(options: { readonly retryMs: number; readonly heartbeatMs?: number }) {
    super({ highWaterMark: soft })
    this.#heartbeat = setInterval(() => {
      if (!this.crowded) this.push(': \n\n')
    }, options.heartbeatMs ?? heartbeatMs)
    this.#heartbeat.unref()
    this.once('close', () => this.#over())
    this.push(`retry: ${options.retryMs}\n\n`)
  }

  /** Nothing more goes out. */
  get over(): boolean {
    return this.destroyed || this.readableEnded || this.#ended
  }

  /** The reader is slower than the writer. */
  get crowded(): boolean {
    return this.readableLength >= soft
  }

  send({ id, event, retryMs, data }: StreamEvent): void {
    if (this.over) return
    const retry = retryMs === undefined ? '' : `retry: ${retryMs}\n`
    const name = event === undefined ? '' : `event: ${event}\n`
    const place = id === undefined ? '' : `id: ${id}\n`
    this.push(`${name}${place}${retry}data: ${JSON.stringify(data)}\n\n`)
  }

  /** Resolves when the reader has caught up, or the stream is over. */
  async room(): Promise<void> {
    if (!this.crowded || this.over) return
    this.#room ??= Promise.withResolvers<void>()
    await this.#room.promise
  }

  /** Sends what is left, then ends the answer. */
  end(): void {
    if (this.over) return
    this.#ended = true
    this.push(null)
    this.#over()
  }

  /** The reader takes something; asked again only after the next `push`, so it must not be let pass. */
  override _read(): void {
    this.#room?.resolve()
    this.#room = undefined
  }

  #over(): void {
    clearInterval(this.#heartbeat)
    this.#room?.resolve()
    this.#room = undefined
  }
}
