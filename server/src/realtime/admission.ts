import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FrameError } from '@atom/contract/errors.ts'
import type { Priority } from '@atom/contract/route.ts'
import { Handshake, protocolVersion } from '@atom/contract/socket.ts'
import { Compile } from 'typebox/compile'
import type { OwnPages } from '#access/own-pages.ts'
import type { AccessTokens, VerifiedToken } from '#access/tokens.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { networkOf } from '#foundation/network-address.ts'

export interface Admitted {
  readonly token: VerifiedToken
  readonly deviceId: string | undefined
  /** By room id in lower case. */
  readonly cursors: ReadonlyMap<string, { readonly epoch: string; readonly seq: number }>
}

export interface AdmissionLimits {
  /** Sockets that this process serves. */
  readonly sockets: number
  /** Of them, from one address; of IPv6, from one network of 64 bits, which is what one customer is given. */
  readonly perAddress: number
  /** Of them, of one account. */
  readonly perAccount: number
  /** Handshakes per second that this process takes for ever. */
  readonly handshakesPerSecond: number
  /** Handshakes that it takes at once after a quiet time. */
  readonly handshakeBurst: number
}

/** Who may come in at all, and how much of what they ask for can be done. */
export interface Entry {
  /** @throws AtomError `blocked` | `busy` | `rate_limited` */
  requireEntry(request: IncomingMessage, address: string): void
  /** @throws AtomError `blocked` */
  requireAccount(accountId: string): void
  /** @throws AtomError `busy` */
  requireTime(priority: Priority, workspaceId: string): void
}

export const defaultAdmission: AdmissionLimits = {
  sockets: 20_000,
  // A proxy that the operator did not name is one address, and so is a large office: enough for them, not for the whole server.
  perAddress: 5_000,
  perAccount: 200,
  handshakesPerSecond: 400,
  handshakeBurst: 800,
}

/** What a connection is counted for. */
interface Visit {
  readonly address: string
  readonly network: string
  accountId: string | undefined
}

const handshakes = Compile(Handshake)
const roomId = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const fullMs = 5_000
/** Who is told to come back later than this would rather try elsewhere. */
const longestWaitMs = 30_000
/** A limit that is met is met many times: the log says so this often. */
const sayEveryMs = 60_000

/**
 * Who may open a socket at all: first by the request, before anything is built for it, then by what the client says of itself.
 * What a request is counted for is given back when its TCP connection is closed, so nothing that ends oddly stays counted.
 */
export class Admission {
  readonly #tokens: Pick<AccessTokens, 'verify'>
  readonly #crossOrigin: OwnPages
  readonly #addressOf: (request: IncomingMessage) => string
  readonly #limits: AdmissionLimits
  readonly #entry: Entry | undefined
  readonly #log: Log
  readonly #now: () => number
  readonly #byNetwork = new Map<string, number>()
  readonly #byAccount = new Map<string, number>()
  readonly #open = new Map<Duplex, Visit>()
  /** One for all connections, which it is called as a method of. */
  readonly #closed: (this: Duplex) => void
  #tokensLeft: number
  #filledAt: number
  /** Until when those who were sent away have been given their turn. */
  #promisedUntil = 0
  #saidAt = Number.NEGATIVE_INFINITY
  #shut = false

  constructor(options: {
    readonly tokens: Pick<AccessTokens, 'verify'>
    readonly crossOrigin: OwnPages
    /** Where a request comes from, behind the proxies that are trusted. */
    readonly addressOf: (request: IncomingMessage) => string
    readonly limits: AdmissionLimits
    readonly entry?: Entry | undefined
    readonly log: Log
    /** In milliseconds, never running backwards. */
    readonly now?: () => number
  }) {
    this.#tokens = options.tokens
    this.#crossOrigin = options.crossOrigin
    this.#addressOf = options.addressOf
    this.#limits = options.limits
    this.#entry = options.entry
    this.#log = options.log
    this.#now = options.now ?? (() => performance.now())
    this.#tokensLeft = options.limits.handshakeBurst
    this.#filledAt = this.#now()
    const ended = (tcp: Duplex) => {
      this.leave(tcp)
      count(this.#byNetwork, this.#open.get(tcp)?.network, -1)
      this.#open.delete(tcp)
    }
    this.#closed = function () {
      ended(this)
    }
  }

  /** From now on everybody is told to come back in a moment. */
  close(): void {
    this.#shut = true
  }

  /** Ends every connection that is left: also those that never became a socket. */
  cut(): void {
    for (const tcp of this.#open.keys()) tcp.destroy()
  }

  /** Counts a request that may become a socket, until its connection is closed. Throws `draining`, `blocked`, `busy`, `rate_limited` or `origin_refused`. */
  request(request: IncomingMessage): void {
    if (this.#shut) throw new AtomError('draining', undefined, { retryAfterMs: 1_000 })
    const { origin, host } = request.headers
    // A WebSocket upgrade carries no cookie of ours and the token comes later, so this is a second wall, not the first.
    if (origin !== undefined) this.#crossOrigin.requireOwn({ origin, host })
    if (this.#open.size >= this.#limits.sockets) {
      throw this.#full('This server has as many live connections as it takes.')
    }
    const address = this.#addressOf(request)
    this.#entry?.requireEntry(request, address)
    const network = networkOf(address)
    if ((this.#byNetwork.get(network) ?? 0) >= this.#limits.perAddress) {
      throw this.#full('Your address has as many live connections as one may have.', network)
    }
    // Last, so that who is refused for another reason costs nobody a turn.
    this.#takeTurn()
    const { socket } = request
    this.#open.set(socket, { address, network, accountId: undefined })
    count(this.#byNetwork, network, 1)
    socket.on('close', this.#closed)
  }

  /** Where a connection that was let in comes from. */
  addressOf(tcp: Duplex): string {
    return this.#open.get(tcp)?.address ?? ''
  }

  /** Throws `frame_malformed`, `protocol_unsupported`, `blocked`, or what the token deserves. */
  async handshake(auth: unknown): Promise<Admitted> {
    if (!handshakes.Check(auth)) {
      throw new AtomError(
        'frame_malformed',
        'The handshake needs `auth: { token }` with an access token, and optionally `deviceId`, `cursors` and `v`.',
      )
    }
    if (auth.v !== undefined && auth.v !== protocolVersion) {
      throw new AtomError(
        'protocol_unsupported',
        `This server speaks version ${protocolVersion}. Reload the page or update the client.`,
      )
    }
    const cursors = new Map(
      Object.entries(auth.cursors ?? {}).map(([id, cursor]) => [id.toLowerCase(), cursor]),
    )
    for (const id of cursors.keys()) {
      if (!roomId.test(id)) throw new AtomError('frame_malformed', 'The keys of `cursors` must be room ids.')
    }
    const token = await this.#tokens.verify(auth.token)
    this.#entry?.requireAccount(token.principal.id)
    return { token, deviceId: auth.deviceId, cursors }
  }

  /**
   * Counts a socket of an account, until `leave` or the end of its connection. `replaces`: one of the account's sockets goes for
   * it, so that a device can always come back. Throws `busy`.
   */
  enter(tcp: Duplex, accountId: string, replaces: boolean): void {
    const open = (this.#byAccount.get(accountId) ?? 0) - (replaces ? 1 : 0)
    if (open >= this.#limits.perAccount) {
      throw new AtomError('busy', 'You have as many live connections as one person may have. Close some.', {
        retryAfterMs: fullMs,
      })
    }
    const visit = this.#open.get(tcp)
    if (visit === undefined) return
    visit.accountId = accountId
    count(this.#byAccount, accountId, 1)
  }

  /** The socket has ended, though its connection may not have. */
  leave(tcp: Duplex): void {
    const visit = this.#open.get(tcp)
    if (visit === undefined) return
    count(this.#byAccount, visit.accountId, -1)
    visit.accountId = undefined
  }

  /** Where more come than can be taken, each is given a turn of its own, so that they do not all come back at once. */
  #takeTurn(): void {
    const now = this.#now()
    const { handshakesPerSecond, handshakeBurst } = this.#limits
    const filled = ((now - this.#filledAt) / 1_000) * handshakesPerSecond
    this.#tokensLeft = Math.min(handshakeBurst, this.#tokensLeft + filled)
    this.#filledAt = now
    if (this.#tokensLeft >= 1) {
      this.#tokensLeft--
      return
    }
    const turn = Math.max(now, this.#promisedUntil) + 1_000 / handshakesPerSecond
    this.#promisedUntil = Math.min(turn, now + longestWaitMs)
    throw new AtomError('busy', 'More clients come at once than this server takes.', {
      retryAfterMs: Math.ceil(this.#promisedUntil - now),
    })
  }

  #full(detail: string, address?: string): AtomError {
    const now = this.#now()
    if (now - this.#saidAt >= sayEveryMs) {
      this.#saidAt = now
      this.#log.warn(
        { open: this.#open.size, ...(address !== undefined && { address }) },
        address === undefined
          ? 'sockets are refused: as many are open as this process serves'
          : 'sockets of one address are refused; is it a proxy of yours? Then name it in ATOM_TRUSTED_PROXIES',
      )
    }
    return new AtomError('busy', detail, { retryAfterMs: fullMs })
  }
}

/** An error as it travels in an acknowledgement. */
export function frameError(thrown: unknown): FrameError {
  const { code, detail, row, retryAfterMs } = asAtomError(thrown)
  return {
    code,
    detail,
    retryable: row.retryable,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}

function count(counts: Map<string, number>, key: string | undefined, by: 1 | -1): void {
  if (key === undefined) return
  const now = (counts.get(key) ?? 0) + by
  if (now > 0) counts.set(key, now)
  else counts.delete(key)
}
