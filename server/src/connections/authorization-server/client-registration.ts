import * as oauth from 'oauth4webapi'
import { AtomError } from '#foundation/errors.ts'
import type { Outbound, OutboundRequest } from '#foundation/outbound.ts'
import { Secret } from '#foundation/secret.ts'
import { type Particulars, type Provider, unfitParticulars } from '#providers/provider.ts'

/** What an API says of how to get access to it. */
interface FoundResource {
  /** `issuer`, `resource`, and whether tokens have to be bound (`dpop`). */
  readonly particulars: Particulars
  readonly scopes: readonly string[]
}

interface RegisteredClient {
  readonly authentication: 'client_secret_basic' | 'client_secret_post' | 'none'
  readonly clientId: string
  readonly clientSecret: Secret | undefined
  /** null: never. */
  readonly endsAt: Date | null
}

const largestDocument = 256 * 1024
const authentications = ['client_secret_basic', 'client_secret_post', 'none'] as const

/**
 * From the address of an API to an app at its authorization server, with nobody having registered one: the API's challenge
 * and metadata (RFC 9728), then dynamic registration (RFC 7591), as the Model Context Protocol asks of its clients.
 */
export class ClientRegistration {
  readonly #outbound: Outbound

  constructor(dependencies: { outbound: Outbound }) {
    this.#outbound = dependencies.outbound
  }

  /**
   * @param said with the `server` that the person named
   * @throws AtomError `provider_refused` where it does not say, or says what must not be believed · `provider_unavailable`
   */
  async find(provider: Provider, said: Particulars): Promise<FoundResource> {
    const server = new URL(said['server'] ?? '')
    const challenge = await this.#challenge(server)
    const metadata = await this.#resourceMetadata(server, pointerIn(server, challenge))
    const [issuer] = metadata.authorization_servers ?? []
    if (issuer === undefined) throw unsaid(server, 'names no authorization server')
    const particulars = {
      issuer,
      resource: metadata.resource,
      // RFC 9728 2: only where it says so, because a bearer token may be all that it understands.
      dpop: metadata.dpop_bound_access_tokens_required === true ? 'on' : 'off',
    }
    const unfit = unfitParticulars(provider, particulars)
    if (unfit.length > 0) throw unsaid(server, `says a ${unfit[0]} that is no plain https address`)
    // What the challenge asks for is what this request needs; the metadata lists all that there is.
    const asked = parameterIn(challenge, 'scope')?.split(' ') ?? metadata.scopes_supported ?? []
    const scopes = asked.filter(
      (scope) => typeof scope === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/.test(scope),
    )
    return { particulars, scopes: [...new Set(scopes)].filter((scope) => scope !== 'openid').slice(0, 50) }
  }

  /** RFC 7591 2 and 3. @throws AtomError `provider_not_configured` where the server registers nobody · as `find` */
  async register(provider: Provider, redirectUri: string): Promise<RegisteredClient> {
    const { metadata } = provider
    if (metadata?.registration_endpoint === undefined) {
      throw new AtomError(
        'provider_not_configured',
        `${new URL(provider.issuer).host} registers no apps by itself. An operator has to enter one for it.`,
      )
    }
    const methods = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
    const method = authentications.find((one) => methods.includes(one))
    try {
      const answer = await oauth.dynamicClientRegistrationRequest(
        metadata,
        {
          client_name: 'Atom',
          redirect_uris: [redirectUri],
          grant_types: ['authorization_code', 'refresh_token'],
          response_types: ['code'],
          token_endpoint_auth_method: method ?? 'none',
        },
        {
          [oauth.customFetch]: (url, { method, headers, body }) =>
            this.#fetch(new URL(url), { method, headers, body: body as string }),
        },
      )
      const client = await oauth.processDynamicClientRegistrationResponse(answer)
      const { client_secret: secret, client_secret_expires_at: ends } = client
      // RFC 7591 3.2.1: a server may give another method than the one that was asked for.
      const given = authentications.find((one) => one === client['token_endpoint_auth_method']) ?? method
      return {
        authentication: given ?? 'none',
        clientId: client.client_id,
        clientSecret: typeof secret === 'string' ? new Secret(secret) : undefined,
        endsAt: typeof ends === 'number' && ends > 0 ? new Date(ends * 1000) : null,
      }
    } catch (thrown) {
      if (thrown instanceof AtomError) throw thrown
      // What oauth4webapi throws carries whole answers, the new secret among them.
      const code = thrown instanceof oauth.ResponseBodyError ? thrown.error : 'an answer that is none'
      throw new AtomError(
        'provider_refused',
        `${new URL(provider.issuer).host} did not register Atom${/^[\w.:-]{1,80}$/.test(code) ? ` (${code})` : ''}.`,
      )
    }
  }

  /** The challenge of an API that is asked without a token (RFC 9728 5.1); empty where there is none. */
  async #challenge(server: URL): Promise<string> {
    const answer = await this.#fetch(server, { headers: { accept: 'application/json, text/event-stream' } })
    await answer.body?.cancel()
    if (answer.status >= 500) throw new AtomError('provider_unavailable', `${server.host} is not well.`)
    return answer.status === 401 ? (answer.headers.get('www-authenticate') ?? '') : ''
  }

  async #resourceMetadata(server: URL, pointed: URL | undefined): Promise<oauth.ResourceServer> {
    const below = new URL(server)
    below.pathname = `/.well-known/oauth-protected-resource${server.pathname.replace(/\/$/, '')}`
    const root = new URL('/.well-known/oauth-protected-resource', server)
    for (const at of pointed === undefined ? [below, root] : [pointed]) {
      const answer = await this.#fetch(at, { headers: { accept: 'application/json' } })
      if (answer.status === 200) return await covering(server, answer)
      await answer.body?.cancel()
      if (answer.status >= 500) throw new AtomError('provider_unavailable', `${server.host} is not well.`)
    }
    throw unsaid(server, 'does not say how to get access to it')
  }

  async #fetch(url: URL, request: OutboundRequest): Promise<Response> {
    try {
      return await this.#outbound.fetch(url, { ...request, timeoutMs: 15_000, maxBytes: largestDocument })
    } catch (error) {
      if (!(error instanceof AtomError) || error.code !== 'proxy_target_refused') throw error
      throw new AtomError('provider_refused', error.detail)
    }
  }
}

/** Where a challenge points for the metadata of the API; undefined where it does not. */
function pointerIn(server: URL, challenge: string): URL | undefined {
  const text = parameterIn(challenge, 'resource_metadata')
  if (text === undefined) return undefined
  // RFC 9728 3.3 protects against metadata of another; a pointer to another host would be the way to it.
  if (!URL.canParse(text) || new URL(text).origin !== server.origin) {
    throw unsaid(server, 'points elsewhere for its own metadata')
  }
  return new URL(text)
}

/** A parameter of a challenge (RFC 9110 11.2). */
function parameterIn(challenge: string, name: string): string | undefined {
  const found = new RegExp(`(?:^|[\\s,])${name}\\s*=\\s*(?:"([^"\\\\]*)"|([^\\s",]+))`, 'i').exec(challenge)
  return found?.[1] ?? found?.[2]
}

/**
 * Metadata of a resource that the server lies in: itself, as RFC 9728 3.3 has it, or one above it on the same host, which is
 * how many MCP servers name themselves.
 */
async function covering(server: URL, answer: Response): Promise<oauth.ResourceServer> {
  const metadata: unknown = await answer.json().catch(() => undefined)
  const resource =
    typeof metadata === 'object' && metadata !== null && 'resource' in metadata
      ? metadata.resource
      : undefined
  if (typeof resource !== 'string' || !URL.canParse(resource)) throw unsaid(server, 'names no resource')
  const { origin, pathname, search } = new URL(resource)
  const within = `${server.pathname.replace(/\/$/, '')}/`.startsWith(`${pathname.replace(/\/$/, '')}/`)
  if (origin !== server.origin || search !== '' || !within)
    throw unsaid(server, 'speaks for another resource')
  return metadata as oauth.ResourceServer
}

function unsaid(server: URL, what: string): AtomError {
  return new AtomError('provider_refused', `${server.host} ${what}.`)
}
