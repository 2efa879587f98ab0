import { loneTab, type Tabs } from '../../src/tabs.ts'

interface Bid {
  readonly tab: object
  begin(): void
  take(): void
}

/** Several tabs of one browser inside one process: one set of locks, and messages that reach all the others later. */
export function sharedTabs(): {
  open(): Tabs
  /** With one lead among them, as where the platform has Web Locks. */
  openLeading(options?: {
    /** The lock by which the others know that it lives comes this much later than its words, as under load. */
    readonly lockAfterMs?: number
  }): Tabs & Fate
} {
  const locks = loneTab()
  const tabs = new Set<Map<string, Set<(message: unknown) => void>>>()
  const bids = new Map<string, Bid[]>()
  const open = (): Tabs & { readonly listeners: Map<string, Set<(message: unknown) => void>> } => {
    const listeners = new Map<string, Set<(message: unknown) => void>>()
    tabs.add(listeners)
    return {
      listeners,
      exclusively: (name, work) => locks.exclusively(name, work),
      tell: (topic, message) => {
        const copy: unknown = structuredClone(message)
        if (!tabs.has(listeners)) return
        for (const other of tabs) {
          if (other === listeners) continue
          // A task of its own, as with BroadcastChannel.
          setTimeout(() => {
            if (tabs.has(other)) for (const heard of [...(other.get(topic) ?? [])]) heard(copy)
          }, 0)
        }
      },
      hear: (topic, heard) => {
        const set = listeners.get(topic) ?? new Set()
        listeners.set(topic, set)
        set.add(heard)
        return () => {
          set.delete(heard)
        }
      },
      close: () => {
        tabs.delete(listeners)
      },
    }
  }
  const withdraw = (name: string, bid: Bid) => {
    const queue = bids.get(name) ?? []
    const led = queue[0] === bid
    bids.set(
      name,
      queue.filter((one) => one !== bid),
    )
    if (led) bids.get(name)?.[0]?.begin()
  }
  return {
    open,
    openLeading: ({ lockAfterMs } = {}) => {
      const tab = open()
      return {
        ...tab,
        exclusively: async (name, work) => {
          if (lockAfterMs !== undefined && name.startsWith('tab:'))
            await new Promise((resolve) => setTimeout(resolve, lockAfterMs))
          return await locks.exclusively(name, work)
        },
        lead: async (name, { signal, take = false }, work) => {
          if (signal.aborted) return
          await new Promise<void>((resolve) => {
            const taken = new AbortController()
            const bid: Bid = {
              tab: tab.listeners,
              begin: () =>
                setImmediate(() => {
                  if (bids.get(name)?.[0] !== bid) return
                  void work(taken.signal).finally(() => {
                    withdraw(name, bid)
                    resolve()
                  })
                }),
              take: () => {
                taken.abort()
                resolve()
              },
            }
            const queue = bids.get(name) ?? []
            if (take) {
              const [robbed, ...waiting] = queue
              bids.set(name, [bid, ...waiting])
              robbed?.take()
            } else bids.set(name, [...queue, bid])
            if (bids.get(name)?.[0] === bid) bid.begin()
            signal.addEventListener('abort', () => {
              if (bids.get(name)?.[0] === bid) return
              withdraw(name, bid)
              resolve()
            })
          })
        },
        freeze: () => {
          tabs.delete(tab.listeners)
        },
        thaw: () => {
          tabs.add(tab.listeners)
        },
        crash: () => {
          tabs.delete(tab.listeners)
          for (const [name, queue] of bids)
            for (const bid of queue) if (bid.tab === tab.listeners) withdraw(name, bid)
        },
      }
    },
  }
}

/** What becomes of a tab without its doing. */
export interface Fate {
  /** It neither hears nor says anything, and keeps what it holds. */
  freeze(): void
  thaw(): void
  /** It is gone, and what it held is free. */
  crash(): void
}
