import { atom } from './atom.ts'

const firstWaitMs = 1000
const longestWaitMs = 15_000

let error: unknown
const listeners = new Set<() => void>()

function tell(thrown: unknown): void {
  error = thrown
  for (const heard of listeners) heard()
}

/** Takes the session up after a reload. While the server is away it keeps trying, and says so. */
export const resumeSession = {
  subscribe: (listener: () => void): (() => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  },
  /** Why the last attempt failed; undefined while there is nothing to say. */
  getSnapshot: (): unknown => error,
  async run(): Promise<void> {
    for (let wait = firstWaitMs; atom.session.state === 'unknown'; wait = Math.min(wait * 2, longestWaitMs)) {
      try {
        await atom.session.resume()
        return tell(undefined)
      } catch (thrown) {
        tell(thrown)
      }
      await new Promise((resolve) => setTimeout(resolve, wait))
    }
    tell(undefined)
  },
}
