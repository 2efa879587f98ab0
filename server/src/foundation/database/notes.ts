import sql from 'sql-template-tag'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import { outside } from '#foundation/telemetry/trace.ts'
import type { Database } from './pool.ts'

type Heard = (body: unknown, from: string) => void

interface Listener {
  readonly heard: Heard
  readonly missed: (() => void) | undefined
}

const channel = 'atom_notes'
/** PostgreSQL takes a payload below 8,000 bytes; topic and names of processes need some of them. */
const bodyBytes = 7_700
/** What waits when the database is slow; beyond this notes are lost. */
const mostWaiting = 1_000
const everybody = '*'

/**
 * What processes on one database tell each other and no client hears: short, rare, and any of it may be lost. The first one
 * of a moment leaves at once, and what comes up while it is on its way leaves together.
 */
export class Notes implements AsyncDisposable {
  /** This process, as the others know it. */
  readonly self = newId()
  readonly #database: Database
  readonly #log: Log
  readonly #listeners = new Map<string, Set<Listener>>()
  #waiting: string[] = []
  #sending: Promise<void> | undefined
  #listening: AsyncDisposable | undefined

  private constructor(options: { readonly database: Database; readonly log: Log }) {
    this.#database = options.database
    this.#log = options.log
  }

  /** Resolves once other processes are heard. */
  static async open(options: { readonly database: Database; readonly log: Log }): Promise<Notes> {
    const notes = new Notes(options)
    notes.#listening = await options.database.listen(channel, (payload) => notes.#heard(payload))
    return notes
  }

  /** To every other process, or to one. Never waits and never throws; a body that is too long is not sent. */
  tell(topic: string, body: unknown, to: string = everybody): void {
    const text = JSON.stringify(body)
    if (Buffer.byteLength(text) > bodyBytes || this.#waiting.length >= mostWaiting) {
      this.#log.warn({ topic, length: text.length }, 'a note to other processes was not sent')
      return
    }
    this.#waiting.push(`${to} ${this.self} ${topic} ${text}`)
    this.#sending ??= outside(() => this.#send())
  }

  /** `missed`: the session was lost for a while, and notes with it. */
  hear(topic: string, heard: Heard, missed?: () => void): Disposable {
    const listeners = this.#listeners.get(topic) ?? new Set()
    const listener = { heard, missed }
    this.#listeners.set(topic, listeners)
    listeners.add(listener)
    return { [Symbol.dispose]: () => void listeners.delete(listener) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear()
    await this.#sending
    await this.#listening?.[Symbol.asyncDispose]()
  }

  async #send(): Promise<void> {
    // Whoever tells several things in one go has them sent together.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const payloads = this.#waiting
      this.#waiting = []
      try {
        await this.#database.query(
          sql`select pg_notify(${channel}, payload) from unnest(${payloads}::text[]) as payload`,
        )
      } catch (error) {
        this.#log.debug({ err: error, notes: payloads.length }, 'notes did not reach other processes')
      }
    }
    this.#sending = undefined
  }

  #heard(payload: string): void {
    if (payload === '') {
      for (const listeners of this.#listeners.values())
        for (const { missed } of listeners) if (missed !== undefined) this.#guarded(missed)
      return
    }
    const [to = '', from = '', topic = ''] = payload.split(' ', 3)
    if (from === this.self || (to !== everybody && to !== this.self)) return
    const listeners = this.#listeners.get(topic)
    if (listeners === undefined) return
    this.#guarded(() => {
      const body: unknown = JSON.parse(payload.slice(to.length + from.length + topic.length + 3))
      for (const { heard } of listeners) this.#guarded(() => heard(body, from))
    })
  }

  /** One listener's failure is not the next one's. */
  #guarded(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#log.error({ err: error }, 'somebody who hears notes failed')
    }
  }
}
