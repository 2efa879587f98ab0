import type { StreamClosing } from '@atom/contract/streams.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { EventStream } from '#http/event-stream.ts'
import type { AccountPrincipal } from './principal.ts'
import type { Revocations } from './revocations.ts'

export type { EventStream }

/** Who reads a stream, and until when their token lets them. */
export interface StreamCaller {
  readonly principal: AccountPrincipal
  readonly expiresAt: Date
  /** Address it is read from. */
  readonly ip: string
}

/** How long somebody waits who has too many. */
const fullMs = 5_000

/** Answers that go on: each ends with its caller's token or session, and all of them with the process. */
export class OpenStreams implements Disposable {
  readonly #revocations: Pick<Revocations, 'has' | 'subscribe'>
  readonly #clock: Clock
  readonly #perAccount: number
  readonly #open = new Map<EventStream, StreamCaller>()
  readonly #byAccount = new Map<string, number>()
  readonly #subscription: Disposable
  #draining = false

  constructor(options: {
    readonly revocations: Pick<Revocations, 'has' | 'subscribe'>
    readonly clock: Clock
    /** How many one account may have at this process; 200 where absent, as of sockets. */
    readonly perAccount?: number
  }) {
    this.#perAccount = options.perAccount ?? 200
    this.#revocations = options.revocations
    this.#clock = options.clock
    this.#subscription = options.revocations.subscribe((sessionId) => {
      for (const [stream, { principal }] of this.#open) {
        if (principal.sessionId === sessionId) closeStream(stream, 'session_revoked')
      }
    })
  }

  /** How many are open. */
  get count(): number {
    return this.#open.size
  }

  /** What waits for readers that are slower than their rooms, in bytes. */
  get unsent(): number {
    return [...this.#open.keys()].reduce((sum, stream) => sum + stream.readableLength, 0)
  }

  /** @throws AtomError `draining` · `busy` where they have as many as one account may have */
  requireTime({ id }: Pick<AccountPrincipal, 'id'>): void {
    if (this.#draining) throw new AtomError('draining')
    if ((this.#byAccount.get(id) ?? 0) >= this.#perAccount) {
      throw new AtomError('busy', 'You have as many open streams as one person may have. Close some.', {
        retryAfterMs: fullMs,
      })
    }
  }

  /** Watches over a stream that is about to begin. False: it is over already. */
  admit({ principal, expiresAt, ip }: StreamCaller, stream: EventStream): boolean {
    // Either may have come between the check of the caller and now.
    if (this.#draining) closeStream(stream, 'draining')
    else if (this.#revocations.has(principal.sessionId)) closeStream(stream, 'session_revoked')
    if (stream.over) return false
    this.#open.set(stream, { principal, expiresAt, ip })
    this.#count(principal.id, 1)
    const left = Math.max(0, expiresAt.getTime() - this.#clock.now().getTime())
    const expiry = setTimeout(() => closeStream(stream, 'token_expired'), left)
    stream.once('close', () => {
      clearTimeout(expiry)
      this.#open.delete(stream)
      this.#count(principal.id, -1)
    })
    return true
  }

  /** Ends those whose readers may not come in any more, by address or by account. */
  closeBlocked(isBlocked: (ip: string, accountId: string) => boolean): void {
    for (const [stream, { principal, ip }] of this.#open)
      if (isBlocked(ip, principal.id)) closeStream(stream, 'blocked')
  }

  #count(accountId: string, by: 1 | -1): void {
    const now = (this.#byAccount.get(accountId) ?? 0) + by
    if (now > 0) this.#byAccount.set(accountId, now)
    else this.#byAccount.delete(accountId)
  }

  /** Tells all callers to come back, and takes no new ones. */
  [Symbol.dispose](): void {
    this.#draining = true
    this.#subscription[Symbol.dispose]()
    for (const stream of this.#open.keys()) closeStream(stream, 'draining')
  }
}

/** Whoever is sent away by a process that ends comes back after this time and up to as much again, not all at once. */
const comeBackMs = 500

/** Says why, then ends. */
export function closeStream(stream: EventStream, reason: StreamClosing['reason']): void {
  const data: StreamClosing = { reason }
  const retryMs = Math.round(comeBackMs * (1 + Math.random()))
  stream.send({ event: 'closing', data, ...(reason === 'draining' && { retryMs }) })
  stream.end()
}
