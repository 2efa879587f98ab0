import { AtomError } from '#foundation/errors.ts'
import { fingerprint } from '#foundation/ids.ts'
import { networkOf, siteOf } from '#foundation/network-address.ts'
import type { Limit } from '#foundation/rate-limit/rate-limit.ts'

/** An attempt that was counted; `forgive` gives it back when it turned out to be right. */
export interface Attempt {
  forgive(): void
}

/**
 * Slows down guessing: counts attempts before they are tried, so that a hundred at once are a hundred, for the address and,
 * where it is about an account, for the account at this address: a stranger who guesses keeps nobody else from signing in. An
 * address of IPv6 counts with its site, too: who has one has 65,536 addresses, and would guess from each, and fill the tables.
 */
export class SignInThrottle {
  readonly #perAccount: Limit
  readonly #perAddress: Limit
  readonly #perSite: Limit
  readonly #refused: (policy: string, subject: string) => void

  constructor(limits: {
    /** Of an account at an address. */
    readonly perAccount: Limit
    readonly perAddress: Limit
    /** Of IPv6 alone. */
    readonly perSite: Limit
    /** For whoever shows an operator who is refused. */
    readonly refused?: (policy: string, subject: string) => void
  }) {
    this.#perAccount = limits.perAccount
    this.#perAddress = limits.perAddress
    this.#perSite = limits.perSite
    this.#refused = limits.refused ?? (() => undefined)
  }

  /**
   * @param account names the account that is tried, in one spelling
   * @throws AtomError `rate_limited` with `retryAfterMs`; then nothing was counted
   */
  async attempt(ip: string, account?: string): Promise<Attempt> {
    const address = networkOf(ip)
    const site = siteOf(address)
    // The site first: what it is refused takes no place in the tables of the others.
    const counted: (readonly [Limit, string])[] = [
      ...(site === undefined ? [] : [[this.#perSite, site] as const]),
      [this.#perAddress, address],
    ]
    // Hashed: nobody chooses how long it is, and no mail address stands in a table of limits.
    if (account !== undefined)
      counted.push([this.#perAccount, `${address} ${fingerprint(account).slice(0, 20)}`])
    for (const [at, [limit, subject]] of counted.entries()) {
      const { admitted, waitUs } = await limit.take(subject)
      if (admitted) continue
      for (const [before, of] of counted.slice(0, at)) before.giveBack(of)
      this.#refused(limit.name, subject)
      const retryAfterMs = Math.ceil(waitUs / 1_000)
      throw new AtomError(
        'rate_limited',
        `Too many attempts. Try again in ${Math.ceil(retryAfterMs / 1000)} s.`,
        { retryAfterMs, policies: [limit.name] },
      )
    }
    return {
      forgive: () => {
        for (const [limit, subject] of counted) limit.giveBack(subject)
      },
    }
  }
}
