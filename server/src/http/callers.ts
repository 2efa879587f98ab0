import { BlockList, isIP } from 'node:net'
import { networkOf, withoutPort } from '#foundation/network-address.ts'
import { CacheCounts } from '#foundation/telemetry/cache-counts.ts'

/** What an operator has said about somebody, for a time. */
export interface CallerRuling {
  readonly verdict: 'allow' | 'block'
  /** An address, or a network such as `192.0.2.0/24`. */
  readonly network: string | null
  readonly accountId: string | null
  readonly expiresAt: Date
}

export type CallerStanding = 'ordinary' | 'allowed' | 'blocked'

export interface Caller {
  /** Who counts as one: an IPv4 address, or a network of 64 bits. */
  readonly network: string
  readonly standing: CallerStanding
}

/** Addresses whose reading is kept: parsing one costs more than everything else that is done with it. */
const mostKept = 10_000

/** Who a request comes from, as far as its address and the operator's rules say it. */
export class Callers {
  readonly #now: () => number
  #rules: readonly CallerRuling[] = []
  #networks: readonly { readonly ruling: CallerRuling; readonly list: BlockList }[] = []
  #accounts: ReadonlyMap<string, CallerStanding> = new Map()
  /** When the next rule ends, ms since 1970. */
  #holdsUntil = Number.POSITIVE_INFINITY
  readonly #read = new Map<string, Caller>()
  readonly cache = new CacheCounts(() => this.#read.size)

  constructor({ now = () => Date.now() }: { readonly now?: () => number } = {}) {
    this.#now = now
  }

  /** From now on these hold, each until it ends. */
  rule(rulings: readonly CallerRuling[]): void {
    this.#rules = rulings
    this.#read.clear()
    const now = this.#now()
    const inForce = rulings.filter(({ expiresAt }) => expiresAt.getTime() > now)
    this.#holdsUntil = Math.min(...inForce.map(({ expiresAt }) => expiresAt.getTime()))
    this.#networks = inForce.flatMap((ruling) =>
      ruling.network === null ? [] : [{ ruling, list: listOf(ruling.network) }],
    )
    const accounts = new Map<string, CallerStanding>()
    for (const { accountId, verdict } of inForce) {
      if (accountId === null || accounts.get(accountId) === 'allowed') continue
      accounts.set(accountId, verdict === 'allow' ? 'allowed' : 'blocked')
    }
    this.#accounts = accounts
  }

  of(address: string): Caller {
    this.#renew()
    const known = this.#read.get(address)
    if (known !== undefined) {
      this.cache.hits++
      return known
    }
    this.cache.misses++
    const caller = { network: networkOf(address), standing: this.#standing(address) }
    if (this.#read.size >= mostKept) this.#read.clear()
    this.#read.set(address, caller)
    return caller
  }

  account(id: string): CallerStanding {
    this.#renew()
    return this.#accounts.get(id) ?? 'ordinary'
  }

  #renew(): void {
    if (this.#holdsUntil !== Number.POSITIVE_INFINITY && this.#now() >= this.#holdsUntil)
      this.rule(this.#rules)
  }

  #standing(address: string): CallerStanding {
    let standing: CallerStanding = 'ordinary'
    for (const { ruling, list } of this.#networks) {
      if (!contains(list, address)) continue
      if (ruling.verdict === 'allow') return 'allowed'
      standing = 'blocked'
    }
    return standing
  }
}

/** Whether this names an address or a network that rules can be made about. */
export function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || address.includes('%') || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

/** Whether the address lies in the network. */
export function isWithin(address: string, network: string): boolean {
  return contains(listOf(network), address)
}

function listOf(network: string): BlockList {
  const [address = '', bits] = network.split('/')
  const list = new BlockList()
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  if (bits === undefined) list.addAddress(address, family)
  else list.addSubnet(address, Number(bits), family)
  return list
}

function contains(list: BlockList, from: string): boolean {
  const address = withoutPort(from)
  const family = isIP(address)
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4')
}
