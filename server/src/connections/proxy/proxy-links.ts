import type { ProviderApi } from '#providers/provider.ts'
import { placed, type StandIns, unplaced } from '#providers/stand-in.ts'
import type { Replacement } from './answer-rewriter.ts'
import type { AnswerHeaders } from './proxy-headers.ts'

/**
 * Addresses of the provider's API in an answer, written so that they lead through the proxy again: an SDK that goes on to the
 * next page must not take its caller's Atom token to the provider.
 */
export class ProxyLinks {
  readonly #api: ProviderApi
  readonly #standIns: StandIns
  readonly #through: string

  /** @param through the address at which the caller reaches this connection's proxy, without a slash at its end */
  constructor(api: ProviderApi, standIns: StandIns, through: string) {
    this.#api = api
    this.#standIns = standIns
    this.#through = through
  }

  inHeaders(headers: AnswerHeaders): void {
    const { link, location } = headers
    if (typeof link === 'string')
      headers['link'] = link.replace(/<([^>]*)>/g, (_all, address: string) => `<${this.#led(address)}>`)
    if (typeof location === 'string') headers['location'] = this.#led(location)
  }

  /** For the members of JSON in which the provider's answers name their next page (`api.links`). */
  inBody(): Replacement[] {
    const real = this.#api.base.replace(/\/+$/, '')
    const stand = placed(real, this.#standIns).href.replace(/\/+$/, '')
    return (this.#api.links ?? []).flatMap((member) =>
      [...new Set([real, stand])].flatMap((base) =>
        ['', ' '].map((space) => ({
          find: Buffer.from(`"${member}":${space}"${base}/`),
          put: Buffer.from(`"${member}":${space}"${this.#through}/`),
        })),
      ),
    )
  }

  #led(address: string): string {
    if (!URL.canParse(address)) return address
    const given = new URL(address)
    const real = unplaced(given, this.#standIns) ?? given
    const own = real.protocol === 'https:' && real.port === '' && this.#api.hosts.includes(real.hostname)
    if (!own || real.username !== '' || real.password !== '') return address
    const base = new URL(this.#api.base)
    const below = base.pathname.replace(/\/+$/, '')
    const rest = `${real.search}${real.hash}`
    return real.host === base.host && real.pathname.startsWith(`${below}/`)
      ? `${this.#through}${real.pathname.slice(below.length)}${rest}`
      : `${this.#through}/${real.host}${real.pathname}${rest}`
  }
}
