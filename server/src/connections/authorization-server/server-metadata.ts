import * as oauth from 'oauth4webapi'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Outbound } from '#foundation/outbound.ts'
import type { Provider } from '#providers/provider.ts'
import { placed, type StandIns } from '#providers/stand-in.ts'

interface Known {
  readonly metadata: Promise<oauth.AuthorizationServer>
  readonly at: number
}

const freshMs = 60 * 60_000
/** What was read before goes on being used for so long while the server does not tell it anew. */
const keptMs = 24 * 60 * 60_000
const mostServers = 500
const largestDocument = 256 * 1024

/** Endpoints that Atom calls or sends a person to. */
const endpointNames = [
  'authorization_endpoint',
  'token_endpoint',
  'jwks_uri',
  'pushed_authorization_request_endpoint',
  'revocation_endpoint',
  'userinfo_endpoint',
  'registration_endpoint',
  'device_authorization_endpoint',
] as const

/**
 * What authorization servers say of themselves (RFC 8414, OpenID Connect Discovery 1.0), read through the one way out, so
 * that no document can lead into a private network, and believed only where it names the issuer that was asked for.
 */
export class ServerMetadata {
  readonly #outbound: Outbound
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()

  constructor(dependencies: { outbound: Outbound; clock: Clock }) {
    this.#outbound = dependencies.outbound
    this.#clock = dependencies.clock
  }

  /**
   * The provider with the endpoints that its server names; as it is, where its file names them.
   * @param certified whether the app shows a certificate: then those at which the server asks for one
   * @throws AtomError `provider_unavailable` · `provider_misconfigured` where there is no such server
   */
  async described(provider: Provider, standIns: StandIns, certified = false): Promise<Provider> {
    if (provider.discovery === undefined || /[{}]/.test(provider.issuer)) return provider
    const said = await this.of(provider, standIns)
    const metadata = certified ? { ...said, ...aliases(said) } : said
    const { authorization_endpoint: authorization = '', token_endpoint: token = '' } = metadata
    // Whoever registers with a server unseen must be able to protect its codes (OAuth 2.1 7.5.2, MCP authorization).
    if (
      provider.discovery === 'resource' &&
      metadata.code_challenge_methods_supported?.includes('S256') !== true
    ) {
      throw new AtomError('provider_misconfigured', `${new URL(provider.issuer).host} does not offer PKCE.`)
    }
    const { jwks_uri: jwks, pushed_authorization_request_endpoint: pushed } = metadata
    const { revocation_endpoint: revocation } = metadata
    return {
      ...provider,
      issuer: metadata.issuer,
      metadata,
      endpoints: {
        authorization,
        token,
        ...(jwks !== undefined && { jwks }),
        ...(pushed !== undefined && { pushed }),
        ...(revocation !== undefined && { revocation }),
      },
      namesIssuer: metadata.authorization_response_iss_parameter_supported === true,
    }
  }

  /** @throws AtomError `provider_unavailable` · `provider_misconfigured` */
  async of(
    { issuer, discovery }: Pick<Provider, 'issuer' | 'discovery'>,
    standIns: StandIns,
  ): Promise<oauth.AuthorizationServer> {
    // Metadata is that of the issuer at this address: a stand-in's must never be believed for the real one.
    const key = `${discovery} ${issuer} ${placed(issuer, standIns).href}`
    const now = this.#clock.now().getTime()
    const known = this.#known.get(key)
    if (known !== undefined && now - known.at < freshMs) return await known.metadata
    const asked = this.#read(issuer, discovery, standIns)
    this.#keep(key, { metadata: asked, at: now })
    try {
      return await asked
    } catch (error) {
      // A server that is away for a moment has not lost its endpoints.
      const usable =
        known !== undefined && now - known.at < keptMs && error instanceof AtomError && error.row.retryable
      if (usable) this.#keep(key, known)
      else this.#known.delete(key)
      if (usable) return await known.metadata
      throw error
    }
  }

  async #fetch(url: URL, headers: Readonly<Record<string, string>>): Promise<Response> {
    try {
      return await this.#outbound.fetch(url, { headers, timeoutMs: 10_000, maxBytes: largestDocument })
    } catch (error) {
      if (!(error instanceof AtomError) || error.code !== 'proxy_target_refused') throw error
      throw new AtomError('provider_misconfigured', error.detail)
    }
  }

  #keep(key: string, known: Known): void {
    this.#known.delete(key)
    const [oldest] = this.#known.keys()
    if (this.#known.size >= mostServers && oldest !== undefined) this.#known.delete(oldest)
    this.#known.set(key, known)
  }

  async #read(
    issuer: string,
    discovery: Provider['discovery'],
    standIns: StandIns,
  ): Promise<oauth.AuthorizationServer> {
    // An issuer that people name through an API may publish either document, or both.
    const algorithms = discovery === 'openid' ? (['oidc'] as const) : (['oauth2', 'oidc'] as const)
    let missing = 0
    for (const algorithm of algorithms) {
      const answer = await oauth.discoveryRequest(new URL(issuer), {
        algorithm,
        [oauth.customFetch]: (url, { headers }) => this.#fetch(placed(url, standIns), headers),
      })
      if (answer.status === 200) return await believed(issuer, answer)
      await answer.body?.cancel()
      if (answer.status >= 500 || answer.status === 429) {
        throw new AtomError('provider_unavailable', `${new URL(issuer).host} does not say how to sign in.`)
      }
      missing = answer.status
    }
    throw new AtomError(
      'provider_misconfigured',
      `${issuer} describes no authorization server (status ${missing}).`,
    )
  }
}

async function believed(issuer: string, answer: Response): Promise<oauth.AuthorizationServer> {
  let metadata: oauth.AuthorizationServer
  try {
    metadata = await oauth.processDiscoveryResponse(new URL(issuer), answer)
  } catch (thrown) {
    if (!(thrown instanceof oauth.OperationProcessingError)) throw thrown
    throw new AtomError(
      'provider_misconfigured',
      thrown.code === oauth.JSON_ATTRIBUTE_COMPARISON
        ? `The server at ${issuer} calls itself by another issuer.`
        : `What ${new URL(issuer).host} says of itself cannot be read.`,
    )
  }
  for (const endpoints of [metadata, metadata.mtls_endpoint_aliases ?? {}]) {
    for (const name of endpointNames) {
      const address = endpoints[name]
      if (address === undefined || isEndpoint(address)) continue
      throw new AtomError('provider_misconfigured', `The ${name} of ${issuer} is no https address.`)
    }
  }
  // Refused here and not where it is needed, because what is believed is kept for an hour.
  if (metadata.authorization_endpoint === undefined || metadata.token_endpoint === undefined) {
    throw new AtomError('provider_misconfigured', `${new URL(issuer).host} offers no code flow.`)
  }
  return metadata
}

function isEndpoint(address: unknown): boolean {
  const url = typeof address === 'string' && URL.canParse(address) ? new URL(address) : undefined
  return url?.protocol === 'https:' && `${url.username}${url.password}${url.hash}` === ''
}

/** RFC 8705 5: where requests go that show a certificate. People and keys have no need of one. */
function aliases({ mtls_endpoint_aliases: named = {} }: oauth.AuthorizationServer): Record<string, string> {
  const { authorization_endpoint: _page, jwks_uri: _keys, ...others } = named
  return Object.fromEntries(
    Object.entries(others).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}
