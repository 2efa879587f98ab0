import sql from 'sql-template-tag'
import type { Database } from '#foundation/database/pool.ts'
import { randomToken } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import { outside } from '#foundation/telemetry/trace.ts'
import { type Broadcast, Listeners } from './broadcast.ts'

/** One channel for all topics: PostgreSQL looks through all channels of a session for every notification. */
const channel = 'atom_broadcast'
/** PostgreSQL takes a payload below 8,000 bytes. */
const payloadBytes = 7_900
/** For the sender, the topic and the length of a message. */
const envelopeBytes = 200
/** What waits while the database is slow; beyond it messages are lost. */
const mostWaitingBytes = 1024 * 1024

/** Over LISTEN and NOTIFY: nothing but the database is needed, and every process reads what all of them tell. */
export class PostgresBroadcast implements Broadcast {
  readonly mostBytes = payloadBytes - envelopeBytes
  readonly #database: Database
  readonly #log: Log
  /** Tells this process's own notifications from the others'. */
  readonly #self = randomToken(9)
  readonly #listeners: Listeners
  #waiting: string[] = []
  #waitingBytes = 0
  #sending: Promise<void> | undefined
  #listening: AsyncDisposable | undefined
  #closed = false

  private constructor(options: { readonly database: Database; readonly log: Log }) {
    this.#database = options.database
    this.#log = options.log
    this.#listeners = new Listeners((err, topic) => this.#log.error({ err, topic }, 'a listener failed'))
  }

  /** Resolves once other processes are heard. @throws AtomError `unavailable` */
  static async open(options: { readonly database: Database; readonly log: Log }): Promise<PostgresBroadcast> {
    const broadcast = new PostgresBroadcast(options)
    broadcast.#listening = await options.database.listen(channel, (payload) => broadcast.#heard(payload))
    return broadcast
  }

  tell(topic: string, message: string): void {
    const bytes = Buffer.byteLength(message)
    if (this.#closed) return
    if (bytes > this.mostBytes || this.#waitingBytes + bytes > mostWaitingBytes) {
      this.#log.debug({ topic, bytes }, 'a message was too much for the database and is not told')
      return
    }
    this.#waiting.push(`${topic} ${message.length} ${message}`)
    this.#waitingBytes += bytes
    this.#sending ??= outside(() => this.#send())
  }

  listen(topic: string, heard: (message: string) => void, missed?: () => void): Disposable {
    return this.#listeners.add(topic, heard, missed, () => undefined)
  }

  /** The database itself says when its session was lost, and calls back when it is not. */
  hears(topic: string): boolean {
    return !this.#closed && this.#listeners.has(topic)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#listeners.clear()
    await this.#sending
    await this.#listening?.[Symbol.asyncDispose]()
  }

  /** What is told while the database works goes with the next statement. Never rejects. */
  async #send(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#waiting.length > 0) {
      const payloads = packed(this.#self, this.#waiting)
      this.#waiting = []
      this.#waitingBytes = 0
      try {
        await this.#database.query(
          // In the order of the parts, which the listeners rely on.
          sql`select pg_notify(${channel}, payload) from unnest(${payloads}::text[]) with ordinality as part (payload, ord)
            order by ord`,
        )
      } catch (error) {
        this.#log.debug({ err: error }, 'other processes could not be told')
      }
    }
    this.#sending = undefined
  }

  #heard(payload: string): void {
    if (payload === '') {
      this.#listeners.missed()
      return
    }
    if (payload.startsWith(this.#self)) return
    // `self`, then for each message its topic, its length in UTF-16 code units, and itself.
    for (let at = this.#self.length; at < payload.length; ) {
      const topicEnd = payload.indexOf(' ', at)
      const lengthEnd = payload.indexOf(' ', topicEnd + 1)
      const length = Number(payload.slice(topicEnd + 1, lengthEnd))
      if (topicEnd < 0 || lengthEnd < 0 || !Number.isSafeInteger(length)) {
        this.#log.warn({ channel }, 'a notification could not be read')
        return
      }
      const end = lengthEnd + 1 + length
      const topic = payload.slice(at, topicEnd)
      if (this.#listeners.has(topic)) this.#listeners.tell(topic, payload.slice(lengthEnd + 1, end))
      at = end
    }
  }
}

/** As many parts in each payload as go in. */
function packed(self: string, parts: readonly string[]): string[] {
  const payloads: string[] = []
  let payload = self
  let bytes = self.length
  for (const part of parts) {
    const size = Buffer.byteLength(part)
    if (bytes + size > payloadBytes && payload.length > self.length) {
      payloads.push(payload)
      payload = self
      bytes = self.length
    }
    payload += part
    bytes += size
  }
  if (payload.length > self.length) payloads.push(payload)
  return payloads
}
