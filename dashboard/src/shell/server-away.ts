import { AtomClientError } from '@atom/client'
import { atom } from './atom.ts'

export interface ServerAway {
  /** Why the server could not be asked; undefined while it answers. */
  readonly error: AtomClientError | undefined
  /** When it is asked again, in ms of this device's clock. */
  readonly retryAt: number
  /** How often it has come back: whoever still waits for an answer asks again. */
  readonly returns: number
}

const firstWaitMs = 1000
const longestWaitMs = 15_000

let snapshot: ServerAway = { error: undefined, retryAt: 0, returns: 0 }
let wait = firstWaitMs
let timer: ReturnType<typeof setTimeout> | undefined
const listeners = new Set<() => void>()

/**
 * Whether the server answers, for what is asked by request and not over the socket. The list of connections, which every page
 * holds, is what is asked again and again: said in one place, and over by itself.
 */
export const serverAway = {
  subscribe: (listener: () => void): (() => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  },
  getSnapshot: (): ServerAway => snapshot,
  retryNow: (): void => {
    clearTimeout(timer)
    // How it ends is in the list's own snapshot.
    void atom.connections.list().catch(() => undefined)
  },
  /** Asks at once whether it is the server that is away, and not what was asked for. */
  async check(): Promise<boolean> {
    await atom.connections.list().catch(() => undefined)
    return snapshot.error !== undefined
  },
}

/** Nobody was reached who could have answered; the same question may have an answer later. */
export function isAway(error: unknown): error is AtomClientError {
  return error instanceof AtomClientError && error.retryable && awayCodes.has(error.code)
}

const awayCodes: ReadonlySet<string> = new Set(['offline', 'timeout', 'unavailable', 'bad_answer'])

function look(): void {
  const { error } = atom.connections.getSnapshot()
  if (error === snapshot.error || (!isAway(error) && snapshot.error === undefined)) return
  clearTimeout(timer)
  if (isAway(error)) {
    snapshot = { ...snapshot, error, retryAt: Date.now() + wait }
    timer = setTimeout(serverAway.retryNow, wait)
    wait = Math.min(wait * 2, longestWaitMs)
  } else {
    snapshot = { error: undefined, retryAt: 0, returns: snapshot.returns + 1 }
    wait = firstWaitMs
  }
  for (const heard of listeners) heard()
}

atom.connections.subscribe(look)
addEventListener('online', () => {
  if (snapshot.error !== undefined) serverAway.retryNow()
})
