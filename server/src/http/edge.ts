import type { IncomingMessage } from 'node:http'
import type { Priority } from '@atom/contract/route.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AtomError } from '#foundation/errors.ts'
import { neighbourhoodOf } from '#foundation/network-address.ts'
import type { Limit } from '#foundation/rate-limit/rate-limit.ts'
import { answerOf } from './answer.ts'
import type { Callers } from './callers.ts'
import type { LoadShedding } from './load-shedding.ts'
import type { PolicyLimits } from './policy-limits.ts'

/** How a route stands at the edge; made once, when it is registered. */
export interface Doorway {
  readonly priority: Priority
  /** Points. */
  readonly cost: number
  /** Who calls is asked next, and what they may do is told then. */
  readonly guarded: boolean
  /** Probes that say no more than that the process is there cost less than a refusal. */
  readonly free: boolean
}

declare module 'fastify' {
  interface FastifyContextConfig {
    doorway?: Doorway
  }
  interface FastifyRequest {
    /** It was let in or turned away by the edge's rules for those who have no limits. */
    unlimited: boolean
    /** Turned away for load: counted, and not a line of its own. */
    turnedAway: boolean
  }
}

const readingCost = 1
const writingCost = 2
/** An address where nothing is costs more: nobody who knows their way asks for many. */
const nothingHereCost = 5
/** Who is not let in is charged so much more: guessing is dear. */
const notLetInCost = 20

const openDoorway: Doorway = { priority: 'people', cost: readingCost, guarded: false, free: false }
const nothingHere: Doorway = { ...openDoorway, cost: nothingHereCost }
const freePaths = new Set(['/live', '/ready'])

export function doorwayOf(route: {
  readonly path: string
  readonly method: string
  readonly priority?: Priority
  readonly guarded: boolean
}): Doorway {
  return {
    priority: route.priority ?? 'people',
    cost: route.method === 'GET' || route.method === 'HEAD' ? readingCost : writingCost,
    guarded: route.guarded,
    free: freePaths.has(route.path),
  }
}

/** Who calls, once that is known. */
export interface KnownCaller {
  readonly kind: 'account' | 'capability'
  readonly id: string
  /** Whose rights count. */
  readonly accountId: string
}

/** Whom a request says it comes from, before anybody has checked: good enough to share out what can be served. */
export interface Claim {
  /** Whose part it is of: a workspace. Undefined: nobody here has seen these credentials open anything. */
  readonly party: string | undefined
  readonly priority: Priority | undefined
}

export interface EdgeOptions {
  readonly limits: PolicyLimits
  readonly callers: Callers
  readonly shedding: LoadShedding
  /** What its credentials say without being checked anew. Asked only under overload. */
  readonly claim?: (authorization: string) => Claim | undefined
}

type Outcome = AtomError | undefined

/** Claims that are kept while requests are turned away: the same credentials come again and again. */
const mostClaims = 1_000

/**
 * What a request passes before anything is done for it. First by its address alone, before anybody looks at its credentials: kept out?
 * more than can be served? more than one address may? Then, once it is known who calls, by account or capability and by
 * what the route costs. Addresses without a route, and credentials that open nothing, are counted like everything else.
 */
export class Edge {
  readonly limits: PolicyLimits
  readonly callers: Callers
  readonly shedding: LoadShedding
  readonly #claim: (authorization: string) => Claim | undefined
  readonly #claims = new Map<string, Claim>()
  readonly #address: readonly Limit[]
  readonly #account: readonly Limit[]
  readonly #costly: readonly Limit[]
  readonly #capability: readonly Limit[]

  constructor(options: EdgeOptions) {
    this.limits = options.limits
    this.callers = options.callers
    this.shedding = options.shedding
    this.#claim = options.claim ?? (() => undefined)
    this.#address = [this.limits.of('address')]
    this.#account = [this.limits.of('account')]
    this.#costly = [this.limits.of('account'), this.limits.of('bulk')]
    this.#capability = [this.limits.of('capability')]
  }

  /** The first look. What it returns refuses the request; at once, as a rule. */
  arrive(request: FastifyRequest, reply: FastifyReply): Outcome | Promise<Outcome> {
    const { place } = request
    const doorway = place.doorway ?? (place.url === undefined ? nothingHere : openDoorway)
    if (doorway.free) return undefined
    const caller = this.callers.of(request.ip)
    if (caller.standing !== 'ordinary') {
      if (caller.standing === 'blocked') return new AtomError('blocked')
      request.unlimited = true
      return undefined
    }
    const { authorization } = request.headers
    let claim: Claim | undefined
    let { priority } = doorway
    if (!this.shedding.shedding) {
      if (this.#claims.size > 0) this.#claims.clear()
    } else if (authorization !== undefined) {
      claim = this.#claimOf(authorization)
      if (priority === 'people' && claim?.priority !== undefined) priority = claim.priority
    }
    if (!this.shedding.admits(priority, () => partyOf(claim, caller.network))) {
      request.turnedAway = true
      return this.shedding.refusal()
    }
    return this.limits.take(
      this.#address,
      caller.network,
      doorway.cost,
      doorway.guarded ? undefined : answerOf(reply.raw),
    )
  }

  /** The second look. */
  known(request: FastifyRequest, reply: FastifyReply, caller: KnownCaller): Outcome | Promise<Outcome> {
    const standing = this.callers.account(caller.accountId)
    if (standing === 'blocked') return new AtomError('blocked')
    if (standing === 'allowed') return undefined
    if (request.unlimited) return undefined
    const doorway = request.place.doorway ?? openDoorway
    const asked =
      caller.kind === 'capability'
        ? this.#capability
        : doorway.priority === 'bulk'
          ? this.#costly
          : this.#account
    return this.limits.take(asked, caller.id, doorway.cost, answerOf(reply.raw))
  }

  /** The request's credentials opened nothing. */
  async notLetIn(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (request.unlimited || request.place.doorway?.free === true) return
    const { network } = this.callers.of(request.ip)
    this.limits.of('address').charge(network, notLetInCost)
    // Free of points; it only says how many are left.
    await this.limits.take(this.#address, network, 0, answerOf(reply.raw))
  }

  isBlocked(address: string, accountId: string): boolean {
    return this.callers.of(address).standing === 'blocked' || this.callers.account(accountId) === 'blocked'
  }

  /** Whoever may not come in by any door. @throws AtomError `blocked` */
  requireAccount(accountId: string): void {
    if (this.callers.account(accountId) === 'blocked') throw new AtomError('blocked')
  }

  /** For what is asked over a connection that goes on. @throws AtomError `busy` */
  requireTime(priority: Priority, workspaceId: string): void {
    if (!this.shedding.admits(priority, () => workspaceId)) throw this.shedding.refusal()
  }

  /** For who speaks another protocol on the same port. @throws AtomError `blocked` | `busy` | `rate_limited` */
  requireEntry(request: IncomingMessage, address: string): void {
    const { network, standing } = this.callers.of(address)
    if (standing === 'blocked') throw new AtomError('blocked')
    if (standing === 'allowed') return
    const authorization = request.headers.authorization
    const claim = authorization === undefined ? undefined : this.#claim(authorization)
    if (!this.shedding.admits('people', () => partyOf(claim, network))) throw this.shedding.refusal()
    // The turns of a process are few: one address does not get to take them all. Where nodes count together, and what is left is
    // not known here, this one passes and is counted; whoever has nothing left is known by then.
    const outcome = this.limits.take(this.#address, network, writingCost)
    if (outcome instanceof AtomError) throw outcome
  }

  /** Hashing the credentials of each who is turned away was measured to cost a fifteenth of turning them away. */
  #claimOf(authorization: string): Claim | undefined {
    const known = this.#claims.get(authorization)
    if (known !== undefined) return known
    const claim = this.#claim(authorization)
    // Of whom nothing is known yet, something may be known the next time.
    if (claim?.party === undefined) return claim
    if (this.#claims.size >= mostClaims) this.#claims.clear()
    this.#claims.set(authorization, claim)
    return claim
  }
}

/**
 * Strangers have one part for each address; those who say that they are agents one for their whole neighbourhood, because who makes
 * up tokens has made-up addresses as well: a line with 65,536 networks of IPv6 is one stranger.
 */
function partyOf(claim: Claim | undefined, network: string): string {
  return claim === undefined ? network : (claim.party ?? neighbourhoodOf(network))
}
