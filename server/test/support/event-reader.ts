import { until } from './live.ts'

export interface ReadEvent {
  readonly id: string | undefined
  readonly event: string
  // What it is, the test knows.
  readonly data: Record<string, unknown>
}

/** Reads a `text/event-stream` as WHATWG HTML 9.2.6 says, and keeps what it was told. */
export class EventReader implements AsyncDisposable {
  readonly status: number
  readonly headers: Headers
  readonly events: ReadEvent[] = []
  comments = 0
  lastEventId: string | undefined
  /** How long it was told to wait before it comes back. */
  retryMs: number | undefined
  over = false
  readonly #gone: AbortController
  readonly #done: Promise<void>

  private constructor(answer: Response, gone: AbortController, lastEventId: string | undefined) {
    this.status = answer.status
    this.headers = answer.headers
    this.lastEventId = lastEventId
    this.#gone = gone
    this.#done = this.#read(answer).catch((error: unknown) => {
      if (!gone.signal.aborted) throw error
    })
  }

  static async open(
    url: string,
    options: {
      readonly token: string
      readonly lastEventId?: string | undefined
      readonly headers?: Readonly<Record<string, string>>
    },
  ): Promise<EventReader> {
    const gone = new AbortController()
    const answer = await fetch(url, {
      headers: {
        ...options.headers,
        authorization: `Bearer ${options.token}`,
        ...(options.lastEventId !== undefined && { 'last-event-id': options.lastEventId }),
      },
      signal: gone.signal,
    })
    return new EventReader(answer, gone, options.lastEventId)
  }

  named(event: string): ReadEvent[] {
    return this.events.filter((each) => each.event === event)
  }

  async ended(): Promise<void> {
    await until(() => this.over, 'the end of the stream')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gone.abort()
    await this.#done
  }

  async #read(answer: Response): Promise<void> {
    let rest = ''
    let [event, data, id]: [string, string[], string | undefined] = ['message', [], undefined]
    for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (line === '') {
          if (id !== undefined) this.lastEventId = id
          if (data.length > 0) this.events.push({ id, event, data: JSON.parse(data.join('\n')) })
          event = 'message'
          data = []
          id = undefined
        } else if (line.startsWith(':')) this.comments++
        else if (line.startsWith('event: ')) event = line.slice(7)
        else if (line.startsWith('data: ')) data.push(line.slice(6))
        else if (line.startsWith('retry: ')) this.retryMs = Number(line.slice(7))
        else if (line.startsWith('id: ')) id = line.slice(4)
      }
    }
    this.over = true
  }
}
