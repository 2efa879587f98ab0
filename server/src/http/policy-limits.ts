import { type LimitPolicy, limitPolicies, limitPolicyNames } from '@atom/contract/limits.ts'
import { AtomError } from '#foundation/errors.ts'
import { fingerprint } from '#foundation/ids.ts'
import { neighbourhoodOf } from '#foundation/network-address.ts'
import {
  type Allowance,
  allowanceOf,
  type Limit,
  type RateLimits,
  type Verdict,
} from '#foundation/rate-limit/rate-limit.ts'
import type { Answer } from './answer.ts'
import { Refusals } from './refusals.ts'

/** Subjects longer than this are kept as their hash: whoever chooses them does not choose how much room they take. */
const longestSubject = 64

/** The limits of the contract, over one store, with what a refusal says and what the fields of an answer are. */
export class PolicyLimits {
  readonly refusals = new Refusals()
  readonly #limits: Readonly<Record<LimitPolicy, Limit>>
  readonly #texts = new Map<Limit, { readonly allowance: Allowance; readonly text: string }>()
  readonly #store: RateLimits

  constructor(store: RateLimits) {
    this.#store = store
    const limit = (name: LimitPolicy) => {
      const { burst, perSecond, counts } = limitPolicies[name]
      return store.limit(name, allowanceOf(burst, perSecond), {
        // Of an account at an address the address stands first.
        ...(counts.endsWith('address') && {
          wider: (subject: string) => neighbourhoodOf(subject.split(' ', 1)[0] ?? ''),
        }),
      })
    }
    this.#limits = Object.fromEntries(limitPolicyNames.map((name) => [name, limit(name)])) as Record<
      LimitPolicy,
      Limit
    >
  }

  /** Nodes count together. */
  get shared(): boolean {
    return this.#store.shared
  }

  of(policy: LimitPolicy): Limit {
    return this.#limits[policy]
  }

  /**
   * Asks all of them, in order; where one refuses, what the ones before gave is given back.
   *
   * @returns undefined where all admit. A limit that knows enough answers at once
   */
  take(
    asked: readonly Limit[],
    subject: string,
    cost: number,
    response?: Answer,
  ): AtomError | undefined | Promise<AtomError | undefined> {
    const key = subject.length > longestSubject ? fingerprint(subject) : subject
    const [first] = asked
    if (first === undefined) return undefined
    const verdict = first.take(key, cost)
    if (verdict instanceof Promise || asked.length > 1)
      return this.#takeAll(asked, verdict, key, cost, response)
    return this.#judged(first, verdict, key, response)
  }

  async #takeAll(
    asked: readonly Limit[],
    begun: Verdict | Promise<Verdict>,
    key: string,
    cost: number,
    response: Answer | undefined,
  ): Promise<AtomError | undefined> {
    let nearest: { readonly limit: Limit; readonly verdict: Verdict } | undefined
    for (const [at, limit] of asked.entries()) {
      const verdict = at === 0 ? await begun : await limit.take(key, cost)
      if (!verdict.admitted) {
        for (const before of asked.slice(0, at)) before.giveBack(key, cost)
        return this.#judged(limit, verdict, key, response)
      }
      const part = (one: { limit: Limit; verdict: Verdict }) =>
        one.verdict.remaining / one.limit.allowance.burst
      if (nearest === undefined || part({ limit, verdict }) < part(nearest)) nearest = { limit, verdict }
    }
    return nearest && this.#judged(nearest.limit, nearest.verdict, key, response)
  }

  #judged(limit: Limit, verdict: Verdict, key: string, response: Answer | undefined): AtomError | undefined {
    if (response !== undefined) this.#say(response, limit, verdict)
    if (verdict.admitted) return undefined
    this.refusals.note(limit.name, key)
    const { burst, everyUs } = limit.allowance
    const seconds = Math.ceil(verdict.waitUs / 1_000_000)
    return new AtomError(
      'rate_limited',
      `The limit "${limit.name}" is met: ${burst} at once, then ${Number((1_000_000 / everyUs).toPrecision(3))} per second. Try again in ${seconds} s.`,
      { retryAfterMs: Math.ceil(verdict.waitUs / 1_000), policies: [limit.name] },
    )
  }

  /**
   * The fields of draft-ietf-httpapi-ratelimit-headers-10: what the nearest limit allows in `w` seconds, how much of it is left,
   * and how many seconds until there is more (until this request may come again, where it was refused).
   */
  #say(response: Answer, limit: Limit, verdict: Verdict): void {
    const { remaining, waitUs, admitted, wholeInUs } = verdict
    const inUs = admitted ? wholeInUs : waitUs
    response.standInstead('ratelimit-policy', this.#policy(limit))
    response.standInstead(
      'ratelimit',
      `"${limit.name}";r=${admitted ? remaining : 0};t=${Math.max(1, Math.ceil(inUs / 1_000_000))}`,
    )
  }

  /** The same, for what a room has refused by a limit that is asked nowhere else: otherwise the fields would speak of another one. */
  sayRefused(response: Answer, policy: string, retryAfterMs: number): void {
    const limit = Object.hasOwn(this.#limits, policy) ? this.#limits[policy as LimitPolicy] : undefined
    if (limit === undefined) return
    response.standInstead('ratelimit-policy', this.#policy(limit))
    response.standInstead('ratelimit', `"${policy}";r=0;t=${Math.max(1, Math.ceil(retryAfterMs / 1_000))}`)
  }

  #policy(limit: Limit): string {
    const known = this.#texts.get(limit)
    if (known !== undefined && known.allowance === limit.allowance) return known.text
    const { burst, everyUs } = limit.allowance
    const text = `"${limit.name}";q=${burst};w=${Math.max(1, Math.ceil((burst * everyUs) / 1_000_000))}`
    this.#texts.set(limit, { allowance: limit.allowance, text })
    return text
  }
}
