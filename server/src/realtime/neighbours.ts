import { setTimeout as delay } from 'node:timers/promises'
import sql from 'sql-template-tag'
import type { Database } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'

export interface NeighboursOptions {
  readonly database: Database
  readonly log: Log
  /** How long a process that is believed to be there may take to say so. */
  readonly answerMs?: number
}

const channel = 'atom_sockets'
/** Devices that arrive within this time are told together: in a storm each telling is a statement and two readings. */
const gatherMs = 50
/** PostgreSQL takes a payload below 8,000 bytes. */
const payloadBytes = 7_900

/** Told with the mark of a device that has come to another process. */
type Heard = (mark: string) => void

/**
 * The other processes that serve sockets on this database: which devices come to them, so that a device has one socket
 * wherever it is, and whether there is anybody who could take this one's clients.
 *
 * Notifications have one order for all processes, and a process hears its own among them. A device's arrival elsewhere counts
 * only where it comes after the arrival here, as heard, not as sent: so of two arrivals every process takes the same one for
 * the newer, whatever their clocks say, and exactly one socket stays.
 */
export class Neighbours implements AsyncDisposable {
  readonly #database: Database
  readonly #log: Log
  readonly #answerMs: number
  readonly #self = newId()
  readonly #known = new Set<string>()
  readonly #subscribers = new Set<Heard>()
  /** Arrivals here that were announced and not heard yet, by mark. */
  readonly #announced = new Map<string, number>()
  readonly #answers = new Set<() => void>()
  #words: string[] = []
  #arrivals: string[] = []
  #sending: Promise<void> | undefined
  #listening: AsyncDisposable | undefined
  #leaving = false

  private constructor(options: NeighboursOptions) {
    this.#database = options.database
    this.#log = options.log
    this.#answerMs = options.answerMs ?? 2_000
  }

  /** Resolves once others are heard, and they have been told of this one. */
  static async open(options: NeighboursOptions): Promise<Neighbours> {
    const neighbours = new Neighbours(options)
    neighbours.#listening = await options.database.listen(channel, (payload) => neighbours.#heard(payload))
    neighbours.#say('hello')
    await neighbours.#sending
    return neighbours
  }

  /** A device's socket has opened here. Never waits and never throws. */
  arrived(mark: string): void {
    this.#announced.set(mark, (this.#announced.get(mark) ?? 0) + 1)
    this.#arrivals.push(mark)
    this.#sending ??= this.#send()
  }

  /** Hears of devices that have come to another process after they came here. */
  subscribe(heard: Heard): Disposable {
    this.#subscribers.add(heard)
    return { [Symbol.dispose]: () => void this.#subscribers.delete(heard) }
  }

  /** From now on nobody counts on this process. */
  leave(): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#say('gone')
  }

  /** Whether another process is there to take clients. Answered at once where none was ever heard of. */
  async anybody(): Promise<boolean> {
    if (this.#known.size === 0) return false
    // One that was killed has not said goodbye.
    this.#known.clear()
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const answered = () => resolve(true)
    const timer = setTimeout(() => resolve(false), this.#answerMs)
    this.#answers.add(answered)
    this.#say('who')
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#answers.delete(answered)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.leave()
    this.#subscribers.clear()
    await this.#sending
    await this.#listening?.[Symbol.asyncDispose]()
  }

  #say(word: 'hello' | 'here' | 'who' | 'gone'): void {
    this.#words.push(`${word} ${this.#self}`)
    this.#sending ??= this.#send()
  }

  /** What comes while a notification is on its way goes with the next one. */
  async #send(): Promise<void> {
    while (this.#words.length > 0 || this.#arrivals.length > 0) {
      if (this.#words.length === 0) await delay(gatherMs)
      const payloads = [...this.#words, ...packed(`arrived ${this.#self}`, this.#arrivals)]
      const marks = this.#arrivals
      this.#words = []
      this.#arrivals = []
      try {
        await this.#database.query(
          sql`select pg_notify(${channel}, payload) from unnest(${payloads}::text[]) as payload`,
        )
      } catch (error) {
        // An older socket of these devices elsewhere then lives until its silence is noticed.
        this.#log.debug({ err: error, devices: marks.length }, 'other processes were not told of sockets')
        for (const mark of marks) this.#heardOwn(mark)
      }
    }
    this.#sending = undefined
  }

  #heard(payload: string): void {
    if (payload === '') {
      // The session was lost, and with it perhaps what was said meanwhile.
      this.#announced.clear()
      this.#known.clear()
      if (!this.#leaving) this.#say('hello')
      return
    }
    const [word, from = '', ...marks] = payload.split(' ')
    if (word === 'arrived') {
      for (const mark of marks) {
        if (from === this.#self) this.#heardOwn(mark)
        else if (!this.#announced.has(mark)) for (const heard of this.#subscribers) heard(mark)
      }
    }
    if (from === this.#self) return
    if (word === 'gone') this.#known.delete(from)
    if (word === 'hello' || word === 'here') this.#known.add(from)
    if (word === 'here') for (const answered of this.#answers) answered()
    if ((word === 'hello' || word === 'who') && !this.#leaving) this.#say('here')
  }

  #heardOwn(mark: string): void {
    const left = (this.#announced.get(mark) ?? 0) - 1
    if (left > 0) this.#announced.set(mark, left)
    else this.#announced.delete(mark)
  }
}

/** Marks, each after a space, in as few payloads as they fit in. */
function packed(head: string, marks: readonly string[]): string[] {
  const payloads: string[] = []
  let payload = head
  for (const mark of marks) {
    if (payload.length + 1 + mark.length > payloadBytes) {
      payloads.push(payload)
      payload = head
    }
    payload += ` ${mark}`
  }
  return payload === head ? payloads : [...payloads, payload]
}
