/** The tabs of one browser that show the same Atom, and what they have to agree on. */
export interface Tabs {
  /** Runs `work` while no other tab (and no other caller here) runs work of this name. */
  exclusively<T>(name: string, work: () => Promise<T>): Promise<T>
  /**
   * Waits until this tab leads in `name`, then runs `work`, and leads until that has ended: by itself, because `signal` asks
   * it to, or because another tab took the lead (`taken`). The end of a tab is the end of its lead. Absent where the platform
   * cannot see to it: then every tab does for itself.
   *
   * @param options.take from a tab that leads and gives no sign of life
   */
  readonly lead?:
    | ((
        name: string,
        options: { readonly signal: AbortSignal; readonly take?: boolean },
        work: (taken: AbortSignal) => Promise<void>,
      ) => Promise<void>)
    | undefined
  /** To the other tabs, never to this one. */
  tell(topic: string, message: unknown): void
  hear(topic: string, heard: (message: unknown) => void): () => void
  close(): void
}

/** One at a time, by name, within this process. */
class Turnstile {
  readonly #last = new Map<string, Promise<unknown>>()

  pass<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve()
    const mine = before.then(() => work())
    // The next one comes in whether this one succeeded or not; a failure belongs to its own caller.
    const settled = mine.then(
      () => undefined,
      () => undefined,
    )
    this.#last.set(name, settled)
    void settled.then(() => {
      if (this.#last.get(name) === settled) this.#last.delete(name)
    })
    return mine
  }
}

/** Where there are no other tabs: Node, or a browser without Web Locks (a page that is not served over https). */
export function loneTab(): Tabs {
  const turnstile = new Turnstile()
  return {
    exclusively: (name, work) => turnstile.pass(name, work),
    tell: () => undefined,
    hear: () => () => undefined,
    close: () => undefined,
  }
}

interface Note {
  readonly topic: string
  readonly message: unknown
}

/**
 * Web Locks and one BroadcastChannel, both bound to the page's origin by the browser. Without Web Locks the turns are kept
 * within this tab only: everything built on them stays correct, because the server refuses doubles, and only works more.
 *
 * @param scope tells servers apart that are used from the same origin
 */
export function browserTabs(scope: string): Tabs {
  const turnstile = new Turnstile()
  const locks = 'locks' in navigator ? navigator.locks : undefined
  const channel = new BroadcastChannel(`atom:${scope}`)
  const listeners = new Map<string, Set<(message: unknown) => void>>()
  channel.addEventListener('message', (event: MessageEvent<Note>) => {
    for (const heard of [...(listeners.get(event.data.topic) ?? [])]) heard(event.data.message)
  })
  return {
    exclusively: (name, work) =>
      turnstile.pass(name, async () =>
        // An `await` inside, because the types of `request` do not unwrap the promise of the callback.
        locks ? await locks.request(`atom:${scope}:${name}`, work) : await work(),
      ),
    lead:
      locks &&
      (async (name, { signal, take = false }, work) => {
        const taken = new AbortController()
        try {
          await locks.request(`atom:${scope}:lead:${name}`, take ? { steal: true } : { signal }, async () => {
            if (!signal.aborted) await work(taken.signal)
          })
        } catch (thrown) {
          // The browser's word for a lead that was taken, and for a wait that was given up.
          if (!(thrown instanceof DOMException && thrown.name === 'AbortError') && thrown !== signal.reason)
            throw thrown
          taken.abort()
        }
      }),
    tell: (topic, message) => channel.postMessage({ topic, message } satisfies Note),
    hear: (topic, heard) => {
      const set = listeners.get(topic) ?? new Set()
      listeners.set(topic, set)
      set.add(heard)
      return () => {
        set.delete(heard)
      }
    },
    close: () => channel.close(),
  }
}
