/**
 * One process to the others, told and never stored. What one process tells about a topic is heard in the order in which it
 * was told, each message once at most; any may be lost. Whoever needs all of them compares with the database. A topic holds no
 * space, and a message no U+0000.
 */
export interface Broadcast extends AsyncDisposable {
  /** The longest message, in bytes of UTF-8. A longer one is not sent. */
  readonly mostBytes: number

  /** To every other process that listens to the topic, and not to this one. Never waits, never throws. */
  tell(topic: string, message: string): void

  /**
   * `missed` is called when messages may have been lost: after a lost session, once messages are heard again. Listening
   * begins a moment later: see `hears`.
   */
  listen(topic: string, heard: (message: string) => void, missed?: () => void): Disposable

  /** What others tell about the topic is being heard: listening is in force, and the way is open as far as we know. */
  hears(topic: string): boolean
}

interface Listener {
  readonly heard: (message: string) => void
  readonly missed: (() => void) | undefined
}

/** Who listens to which topic in this process. */
export class Listeners {
  readonly #byTopic = new Map<string, Set<Listener>>()
  readonly #failed: (error: unknown, topic: string) => void

  /** What a listener throws is not the next one's: `failed` is told. */
  constructor(failed: (error: unknown, topic: string) => void) {
    this.#failed = failed
  }

  get topics(): Iterable<string> {
    return this.#byTopic.keys()
  }

  has(topic: string): boolean {
    return this.#byTopic.has(topic)
  }

  /** `last` is called when nobody is left who listens to the topic. */
  add(
    topic: string,
    heard: (message: string) => void,
    missed: (() => void) | undefined,
    last: () => void,
  ): Disposable {
    const listener = { heard, missed }
    const listeners = this.#byTopic.get(topic) ?? new Set()
    this.#byTopic.set(topic, listeners.add(listener))
    return {
      [Symbol.dispose]: () => {
        if (!listeners.delete(listener) || listeners.size > 0) return
        this.#byTopic.delete(topic)
        last()
      },
    }
  }

  tell(topic: string, message: string): void {
    for (const { heard } of this.#byTopic.get(topic) ?? []) this.#guarded(topic, () => heard(message))
  }

  missed(): void {
    for (const [topic, listeners] of this.#byTopic) {
      for (const { missed } of listeners) if (missed !== undefined) this.#guarded(topic, missed)
    }
  }

  clear(): void {
    this.#byTopic.clear()
  }

  #guarded(topic: string, work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#failed(error, topic)
    }
  }
}
