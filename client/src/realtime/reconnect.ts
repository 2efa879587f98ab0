import { type CloseReason, closeReasons } from '@atom/contract/socket.ts'
import type { AtomClientError } from '../atom-client-error.ts'

/** How a socket, or the attempt to open one, came to its end. */
export type Loss =
  /** The server said why, in the frame `closing`. */
  | { readonly kind: 'closed'; readonly reason: CloseReason }
  /** The line broke without a word. */
  | { readonly kind: 'dropped' }
  /** The attempt failed: the server refused it, or was not there (`offline`, `timeout`). */
  | { readonly kind: 'refused'; readonly error: AtomClientError }

export type Verdict =
  | { readonly comeBack: true; readonly afterMs: number; readonly reason: string }
  | { readonly comeBack: false; readonly reason: string }

const baseMs = 500
/** A person looks at this: longer than twenty seconds feels broken, and the spread hint already protects the server. */
const capMs = 20_000
/** A socket that lived this long was a success: what follows is a new story. */
const stableMs = 60_000
/**
 * And each such span of a shorter life makes good for one failure. Without it a line that breaks every half minute soon
 * leaves a person waiting for twenty seconds each time, in front of a server that answers at once.
 */
const forgivesMs = 10_000

/** These befall one socket, not the server: nobody else comes back at the same moment, so there is nothing to spread. */
const lone: ReadonlySet<CloseReason> = new Set(['token_expired', 'moved', 'too_slow', 'too_many_frames'])
/** Of them, what this socket did nothing for: it comes back at once. */
const blameless: ReadonlySet<CloseReason> = new Set(['token_expired', 'moved'])

/** Codes with which a handshake is refused and that no repetition changes. */
const finalCodes: ReadonlySet<string> = new Set([
  'session_revoked',
  'protocol_unsupported',
  'forbidden',
  'origin_refused',
  'frame_malformed',
])

/**
 * Whether and when to come back. Socket.IO's own policy is off: its delays lose their jitter at the cap and know nothing of
 * the server's capacity, so that a restart under many clients becomes a storm. Here every wait is fully jittered, and the
 * first one is drawn from the span that the server asked for in `hello`.
 */
export class Reconnect {
  readonly #random: () => number
  readonly #now: () => number
  #failures = 0
  #openedAt: number | undefined
  #spreadMs = 0

  constructor(parts: { random?: () => number; now?: () => number } = {}) {
    this.#random = parts.random ?? Math.random
    this.#now = parts.now ?? Date.now
  }

  /** A socket is open. @param spreadMs from its `hello` */
  opened(spreadMs: number): void {
    this.#openedAt = this.#now()
    this.#spreadMs = spreadMs
  }

  /** Meanwhile there are more, or fewer, who would come back with it. */
  spread(spreadMs: number): void {
    this.#spreadMs = spreadMs
  }

  lost(loss: Loss): Verdict {
    const openedAt = this.#openedAt
    this.#openedAt = undefined
    const livedMs = openedAt === undefined ? 0 : this.#now() - openedAt
    if (livedMs >= stableMs) this.#failures = 0
    else this.#failures = Math.max(0, this.#failures - Math.floor(livedMs / forgivesMs))
    const failures = this.#failures
    this.#failures += 1

    if (loss.kind === 'closed') {
      if (!closeReasons[loss.reason].comeBack) return { comeBack: false, reason: loss.reason }
      // Only where it repeats is it slowed down.
      const atOnce = blameless.has(loss.reason) && failures === 0
      const afterMs = atOnce ? 0 : this.#wait(failures, lone.has(loss.reason) ? 0 : this.#spreadMs)
      return { comeBack: true, afterMs, reason: loss.reason }
    }
    if (loss.kind === 'dropped') return { comeBack: true, afterMs: this.#wait(failures), reason: 'offline' }

    const { error } = loss
    if (finalCodes.has(error.code)) return { comeBack: false, reason: error.code }
    return {
      comeBack: true,
      afterMs: (error.retryAfterMs ?? 0) + this.#wait(failures),
      reason: error.code,
    }
  }

  /** Full jitter: uniform between nothing and a bound that doubles, but at least as wide as the server asked for. */
  #wait(failures: number, spreadMs = this.#spreadMs): number {
    const bound = Math.min(capMs, baseMs * 2 ** failures)
    return Math.round(this.#random() * Math.max(bound, spreadMs))
  }
}
