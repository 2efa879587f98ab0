import { loneTab, type Tabs } from '../../src/tabs.ts'

/** Several tabs of one browser inside one process: one set of locks, and messages that reach all the others later. */
export function sharedTabs(): { open(): Tabs } {
  const locks = loneTab()
  const tabs = new Set<Map<string, Set<(message: unknown) => void>>>()
  return {
    open: () => {
      const listeners = new Map<string, Set<(message: unknown) => void>>()
      tabs.add(listeners)
      return {
        exclusively: (name, work) => locks.exclusively(name, work),
        tell: (topic, message) => {
          const copy: unknown = structuredClone(message)
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
    },
  }
}
