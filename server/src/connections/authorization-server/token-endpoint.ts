import { decodeJwt } from 'jose'
import * as oauth from 'oauth4webapi'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Outbound } from '#foundation/outbound.ts'
import { Secret } from '#foundation/secret.ts'
import {
  type ClientAuthentication,
  filled,
  type Particulars,
  type Provider,
  scopesIn,
  unfitParticulars,
  type Verdict,
  verdictOf,
} from '#providers/provider.ts'
import { placed } from '#providers/stand-in.ts'
import type { App } from '../apps.ts'
import { signingKey } from './client-key.ts'
import type { DpopProofs } from './dpop.ts'

/** What a token endpoint gave. */
export interface Grant {
  readonly accessToken: Secret
  readonly refreshToken: Secret | undefined
  /** Its name where one consent gives several; `main` otherwise. */
  readonly slot: string
  readonly others: readonly FurtherGrant[]
  /** null: the provider does not say. */
  readonly expiresAt: Date | null
  /** Until when it can be refreshed; null: the provider does not say. */
  readonly refreshExpiresAt: Date | null
  /** Undefined where the answer names none, which means: what was asked for (RFC 6749 5.1). */
  readonly granted: readonly string[] | undefined
  /** The person as the verified id_token names them. */
  readonly subject: string | undefined
  /** What this grant says of them; what it does not mention stays as it was. */
  readonly particulars: Particulars
  /** The key that a new consent's tokens are bound to. */
  readonly dpopKey?: Secret
}

/** A credential that a consent gave besides the first. */
interface FurtherGrant {
  readonly slot: string
  readonly accessToken: Secret
  readonly refreshToken: Secret | undefined
  readonly expiresAt: Date | null
}

/** The provider said no. Carries its error code and nothing else of its answer. */
export class GrantRefused extends Error {
  override readonly name = 'GrantRefused'
  readonly verdict: Verdict
  readonly error: string

  constructor(verdict: Verdict, error: string) {
    const code = /^[\w.:-]{1,80}$/.test(error) ? error : 'an error without a usable name'
    super(`the token endpoint refused: ${code}`)
    this.verdict = verdict
    this.error = code
  }
}

/** No answer that can be used. `sent`: the request may have reached the provider and may have had its effect there. */
export class GrantOutage extends Error {
  override readonly name = 'GrantOutage'
  readonly sent: boolean

  constructor(what: string, sent: boolean) {
    super(what)
    this.sent = sent
  }
}

export interface CodeExchange {
  /** As the browser brought them, after `validateAuthResponse`. */
  readonly parameters: URLSearchParams
  readonly redirectUri: string
  readonly codeVerifier: string
  readonly nonce: string
  /** Whether an id_token was asked for, and so has to come. */
  readonly openid: boolean
  /** The key that the tokens are to be bound to. */
  readonly dpopKey: Secret | undefined
}

/** A grant that is one request, without a browser. */
export interface TokenRequest {
  readonly grantType: string
  readonly parameters: Readonly<Record<string, string>>
  /** `unnamed`: whoever asks is named by the parameters alone. */
  readonly client: 'authenticates' | 'unnamed'
}

const requestTimeoutMs = 20_000
/**
 * A refresh token that is spent by its use must not be given up on while the answer, with its only successor, may still come:
 * asking again would be reuse, for which some providers end the whole family.
 */
const refreshTimeoutMs = { lasting: requestTimeoutMs, single_use: 120_000 } as const
const largestAnswer = 1024 * 1024
/** A hundred years. */
const longestLifeSeconds = 100 * 365 * 24 * 3600

/**
 * Speaks with a provider's token endpoint, by oauth4webapi. Requests name the provider's real address throughout, so that
 * issuer and endpoint checks are the real ones; a stand-in takes over at the dial only.
 */
export class TokenEndpoint {
  readonly #outbound: Outbound
  readonly #clock: Clock
  readonly #proofs: DpopProofs
  readonly #keys = new Map<string, oauth.JWKSCacheInput>()

  constructor(dependencies: { outbound: Outbound; clock: Clock; proofs: DpopProofs }) {
    this.#outbound = dependencies.outbound
    this.#clock = dependencies.clock
    this.#proofs = dependencies.proofs
  }

  /**
   * Takes the authorization request to the server beforehand (RFC 9126).
   * @returns what the browser carries in its place
   * @throws GrantRefused | GrantOutage
   */
  async push(
    app: App,
    parameters: Readonly<Record<string, string>>,
    dpopKey: Secret | undefined,
  ): Promise<string> {
    const server = authorizationServer(app.provider)
    const client = this.client(app)
    return await translated(app.provider, () =>
      this.#withNonce(async () => {
        const answer = await oauth.pushedAuthorizationRequest(
          server,
          client,
          await clientAuthentication(app),
          { ...parameters },
          await this.#options(app, dpopKey),
        )
        const pushed = await oauth.processPushedAuthorizationResponse(server, client, answer)
        return pushed.request_uri
      }),
    )
  }

  /**
   * Ends a grant by RFC 7009.
   * @throws GrantRefused | GrantOutage
   */
  async revoke(app: App, token: Secret, kind: 'access_token' | 'refresh_token'): Promise<void> {
    const server = authorizationServer(app.provider)
    await translated(app.provider, async () => {
      const answer = await oauth.revocationRequest(
        server,
        this.client(app),
        await clientAuthentication(app),
        token.reveal(),
        { ...(await this.#options(app, undefined)), additionalParameters: { token_type_hint: kind } },
      )
      await oauth.processRevocationResponse(answer)
    })
  }

  /** @throws GrantRefused | GrantOutage */
  async exchange(app: App, exchange: CodeExchange): Promise<Grant> {
    const { provider } = app
    const server = authorizationServer(provider)
    const client = this.client(app)
    const { openid, dpopKey } = exchange
    return await translated(provider, () =>
      this.#withNonce(async () => {
        const answer = await oauth.authorizationCodeGrantRequest(
          server,
          client,
          await clientAuthentication(app),
          exchange.parameters,
          exchange.redirectUri,
          provider.pkce === 'S256' ? exchange.codeVerifier : oauth.nopkce,
          { ...(await this.#options(app, dpopKey)), additionalParameters: resourceOf(provider) },
        )
        const issuing = await issuingServer(provider, server, answer)
        const tokens = await oauth.processAuthorizationCodeResponse(issuing, client, answer, {
          requireIdToken: openid,
          ...(openid && { expectedNonce: exchange.nonce }),
        })
        if (openid) await this.#verifySignature(app, issuing, answer)
        const grant = this.#grant(provider, tokens, openid)
        // A server that does not bind them has answered with bearer tokens, which is its right (RFC 9449 5).
        return dpopKey !== undefined && tokens.token_type === 'dpop' ? { ...grant, dpopKey } : grant
      }),
    )
  }

  /**
   * @param granted the scopes held, for providers that want them named again
   * @param dpopKey the key that the tokens are bound to
   * @throws GrantRefused | GrantOutage
   */
  async refresh(
    app: App,
    refreshToken: Secret,
    granted: readonly string[],
    dpopKey?: Secret,
  ): Promise<Grant> {
    const { provider } = app
    const { refresh } = provider.endpoints
    const named = authorizationServer(provider)
    const server = refresh === undefined ? named : { ...named, token_endpoint: refresh }
    const client = this.client(app)
    return await translated(provider, () =>
      this.#withNonce(async () => {
        const answer = await oauth.refreshTokenGrantRequest(
          server,
          client,
          await clientAuthentication(app),
          refreshToken.reveal(),
          {
            ...(await this.#options(app, dpopKey, refreshTimeoutMs[provider.refreshTokens])),
            additionalParameters: { ...refreshParameters(provider, granted), ...resourceOf(provider) },
          },
        )
        const issuing = await issuingServer(provider, server, answer)
        const tokens = await oauth.processRefreshTokenResponse(issuing, client, answer)
        const verifiable = tokens.id_token !== undefined && provider.endpoints.jwks !== undefined
        if (verifiable) await this.#verifySignature(app, issuing, answer)
        if (dpopKey !== undefined && tokens.token_type !== 'dpop') {
          throw new GrantRefused('refused', 'token_not_bound')
        }
        return this.#grant(provider, tokens, verifiable)
      }),
    )
  }

  /** @throws GrantRefused | GrantOutage */
  async grant(app: App, request: TokenRequest): Promise<Grant> {
    const { provider } = app
    const server = authorizationServer(provider)
    const client = this.client(app)
    return await translated(provider, async () => {
      const answer = await oauth.genericTokenEndpointRequest(
        server,
        client,
        request.client === 'unnamed' ? () => undefined : await clientAuthentication(app),
        request.grantType,
        { ...request.parameters, ...resourceOf(provider) },
        await this.#options(app, undefined),
      )
      const issuing = await issuingServer(provider, server, answer)
      const tokens = await oauth.processGenericTokenEndpointResponse(issuing, client, answer)
      const verifiable = tokens.id_token !== undefined && issuing.jwks_uri !== undefined
      if (verifiable) await this.#verifySignature(app, issuing, answer)
      return this.#grant(provider, tokens, verifiable)
    })
  }

  /** Asks for a device code (RFC 8628 3.1). @throws GrantRefused | GrantOutage */
  async deviceAuthorization(
    app: App,
    endpoint: string,
    scopes: readonly string[],
  ): Promise<oauth.DeviceAuthorizationResponse> {
    const { provider } = app
    const server = { ...authorizationServer(provider), device_authorization_endpoint: endpoint }
    const client = this.client(app)
    return await translated(provider, async () => {
      const answer = await oauth.deviceAuthorizationRequest(
        server,
        client,
        await clientAuthentication(app),
        {
          ...(scopes.length > 0 && { scope: scopes.join(provider.scopes.separator) }),
          ...resourceOf(provider),
        },
        await this.#options(app, undefined),
      )
      return await oauth.processDeviceAuthorizationResponse(server, client, answer)
    })
  }

  /** The client as oauth4webapi wants it, on this server's clock. */
  client(app: App): oauth.Client {
    const skew = Math.round((this.#clock.now().getTime() - Date.now()) / 1000)
    return { client_id: app.clientId, [oauth.clockSkew]: skew, [oauth.clockTolerance]: 30 }
  }

  async #options(app: App, dpopKey: Secret | undefined, timeoutMs?: number) {
    return {
      [oauth.customFetch]: this.#dial(app, timeoutMs),
      ...(dpopKey !== undefined && { DPoP: await this.#proofs.handle(dpopKey) }),
    }
  }

  /** Once more with the nonce that the server wants in the proof (RFC 9449 8): it has not looked at the request yet. */
  async #withNonce<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request()
    } catch (thrown) {
      if (!oauth.isDPoPNonceError(thrown)) throw thrown
      return await request()
    }
  }

  async #verifySignature(app: App, server: oauth.AuthorizationServer, answer: Response): Promise<void> {
    // Keys are those of the issuer at this address: a sandbox's must never be believed for the real one.
    const at = placed(server.jwks_uri ?? server.issuer, app.standIns).href
    const cache = this.#keys.get(at) ?? {}
    this.#keys.set(at, cache)
    await oauth.validateApplicationLevelSignature(server, answer, {
      [oauth.customFetch]: (url, init) =>
        this.#outbound.fetch(placed(url, app.standIns), {
          method: init.method,
          headers: init.headers,
          timeoutMs: requestTimeoutMs,
          maxBytes: largestAnswer,
        }),
      [oauth.jwksCache]: cache,
    })
  }

  #dial(app: App, timeoutMs = requestTimeoutMs) {
    return async (
      url: string,
      init: oauth.CustomFetchOptions<'POST', URLSearchParams>,
    ): Promise<Response> => {
      const answer = await this.#outbound.fetch(placed(url, app.standIns), {
        method: 'POST',
        ...(app.provider.tokenRequest === 'json'
          ? {
              headers: { ...init.headers, 'content-type': 'application/json' },
              body: JSON.stringify(Object.fromEntries(init.body)),
            }
          : { headers: init.headers, body: init.body.toString() }),
        timeoutMs,
        maxBytes: largestAnswer,
        certificate: app.certificate,
      })
      if (answer.status >= 500 || answer.status === 429 || answer.status === 408) {
        await answer.body?.cancel()
        throw new GrantOutage(`the token endpoint answered ${answer.status}`, true)
      }
      return (await app.provider.tokenAnswer?.(answer)) ?? answer
    }
  }

  /** null where no end is said, or one that nobody will live to see. */
  #end(seconds: number | undefined): Date | null {
    return seconds !== undefined && seconds >= 0 && seconds < longestLifeSeconds
      ? new Date(this.#clock.now().getTime() + seconds * 1000)
      : null
  }

  /** @param verified whether the signature of the id_token was checked; of another nothing is read */
  #grant(provider: Provider, tokens: oauth.TokenEndpointResponse, verified: boolean): Grant {
    const claims = verified ? oauth.getValidatedIdTokenClaims(tokens) : undefined
    const particulars: Record<string, string> = {}
    for (const [name, value] of Object.entries(
      provider.particularsOf?.({ answer: tokens, claims, metadata: provider.metadata }) ?? {},
    ))
      if (value !== undefined) particulars[name] = value
    if (unfitParticulars(provider, particulars).length > 0) {
      throw new GrantRefused('refused', 'unexpected_particulars')
    }
    const { first, others } = provider.slots?.of({ answer: tokens, claims }) ?? { first: 'main', others: {} }
    return {
      slot: first,
      others: Object.entries(others).map(([slot, other]) => ({
        slot,
        accessToken: tokenOf(other.accessToken),
        refreshToken: other.refreshToken === undefined ? undefined : tokenOf(other.refreshToken),
        expiresAt: this.#end(other.expiresIn),
      })),
      accessToken: tokenOf(tokens.access_token),
      refreshToken: tokens.refresh_token === undefined ? undefined : tokenOf(tokens.refresh_token),
      expiresAt: this.#end(tokens.expires_in),
      // GitHub's and Google's word for it, and that of Airtable and Keycloak.
      // Keycloak says 0 of one that does not end.
      refreshExpiresAt: this.#end(
        Number(tokens['refresh_token_expires_in'] ?? tokens['refresh_expires_in']) || undefined,
      ),
      granted: grantedIn(provider, first, { ...others, [first]: { scope: tokens.scope } }),
      subject: claims === undefined ? undefined : subjectOf(provider, claims),
      particulars,
    }
  }
}

/** RFC 6749 appendix A.12, A.17. What begins otherwise could pass for what is kept in a refresh token's place. */
function tokenOf(text: string): Secret {
  if (!/^[\x20-\x7e]+$/.test(text)) throw new GrantRefused('refused', 'unusable_token')
  return new Secret(text)
}

/** All that was granted, over all credentials of an answer; undefined where the first one names nothing. */
function grantedIn(
  provider: Provider,
  first: string,
  slots: Readonly<Record<string, { readonly scope: string | undefined }>>,
): readonly string[] | undefined {
  if (slots[first]?.scope === undefined) return undefined
  return Object.entries(slots).flatMap(([slot, { scope = '' }]) => {
    const prefix = provider.slots?.others[slot]?.prefix ?? ''
    return scopesIn(provider, scope).map((name) => prefix + name)
  })
}

export function authorizationServer(provider: Provider): oauth.AuthorizationServer {
  const { authorization, token, jwks, pushed, revocation } = provider.endpoints
  return {
    ...provider.metadata,
    issuer: provider.issuer,
    authorization_endpoint: authorization,
    token_endpoint: token,
    ...(jwks !== undefined && { jwks_uri: jwks }),
    ...(pushed !== undefined && { pushed_authorization_request_endpoint: pushed }),
    ...(revocation !== undefined && { revocation_endpoint: revocation }),
    ...(provider.namesIssuer === true && { authorization_response_iss_parameter_supported: true }),
  }
}

/** How this app proves itself: by its key where it has one and the provider takes it, else as the provider says. */
function authenticationOf({ provider, privateKey, clientSecret }: App): ClientAuthentication {
  const { keyAssertion, clientAuthentication } = provider
  const bySecret = clientAuthentication.startsWith('client_secret')
  const insteadOfSecret = keyAssertion?.unlessSecret !== true || clientSecret.reveal() === ''
  const byKey = bySecret && keyAssertion !== undefined && privateKey !== undefined && insteadOfSecret
  return byKey ? 'private_key_jwt' : clientAuthentication
}

async function clientAuthentication(app: App): Promise<oauth.ClientAuth> {
  const { provider } = app
  const secret = app.clientSecret.reveal()
  const method = authenticationOf(app)
  if (method === 'none') return oauth.None()
  if (method === 'tls_client_auth' || method === 'self_signed_tls_client_auth') {
    if (app.certificate === undefined) throw new GrantRefused('operator', 'no_certificate')
    return oauth.TlsClientAuth()
  }
  if (method === 'private_key_jwt') {
    if (app.privateKey === undefined) throw new GrantRefused('operator', 'no_private_key')
    const { head, ...key } = await signingKey(app.privateKey)
    return oauth.PrivateKeyJwt(key, { [oauth.modifyAssertion]: addressed(provider, head) })
  }
  if (secret === '') throw new GrantRefused('operator', 'no_client_secret')
  if (method === 'client_secret_jwt') {
    return oauth.ClientSecretJwt(secret, { [oauth.modifyAssertion]: addressed(provider, {}) })
  }
  if (method === 'client_secret_post') return oauth.ClientSecretPost(secret)
  // RFC 6749 2.3.1 wants both parts form-encoded first. A server that Atom discovered is taken at its word; the providers
  // written in a file document plain Basic, and decode nothing: the `_` of a Notion secret would arrive as %5F.
  if (provider.metadata !== undefined) return oauth.ClientSecretBasic(secret)
  return (_server, client, _body, headers) => {
    headers.set('authorization', `Basic ${Buffer.from(`${client.client_id}:${secret}`).toString('base64')}`)
  }
}

/** An assertion with the head that the key's owner wants, for the audience that the provider wants (RFC 7523 3). */
function addressed(
  { keyAssertion, endpoints }: Provider,
  head: Readonly<Record<string, string>>,
): oauth.ModifyAssertionFunction {
  return (header, payload) => {
    Object.assign(header, head)
    // Node's name for the key is RFC 9864's; servers know the older one.
    if (header['alg'] === 'Ed25519') header['alg'] = 'EdDSA'
    if (keyAssertion?.audience === 'token_endpoint') payload['aud'] = endpoints.token
  }
}

/** RFC 8707 2.2: named again with every token request, or the token may be for somebody else. */
function resourceOf({ resource }: Provider): Record<string, string> {
  return resource === undefined ? {} : { resource }
}

function refreshParameters(provider: Provider, granted: readonly string[]): Record<string, string> {
  const { always, onRefresh, separator } = provider.scopes
  if (onRefresh !== true) return {}
  return { scope: [...new Set([...always, ...granted])].join(separator) }
}

/**
 * The server as the id_token of this answer has to name it. Reading claims before the signature is checked only chooses
 * which issuer is expected; that it is the provider's, and the signature, are checked afterwards as always.
 */
async function issuingServer(
  provider: Provider,
  server: oauth.AuthorizationServer,
  answer: Response,
): Promise<oauth.AuthorizationServer> {
  if (provider.idTokenIssuer === undefined || answer.status !== 200) return server
  const body: unknown = await answer
    .clone()
    .json()
    .catch(() => undefined)
  const token = typeof body === 'object' && body !== null && 'id_token' in body ? body.id_token : undefined
  if (typeof token !== 'string') return server
  let claims: Record<string, unknown>
  try {
    claims = decodeJwt(token)
  } catch {
    // No JWT: the protocol refuses it by its own words.
    return server
  }
  const words = Object.entries(claims).filter(
    (claim): claim is [string, string] => typeof claim[1] === 'string',
  )
  return { ...server, issuer: filled(provider.idTokenIssuer, Object.fromEntries(words)) }
}

function subjectOf(provider: Provider, claims: oauth.IDToken): string {
  const parts = (provider.subjectClaims ?? ['sub']).map((name) => claims[name])
  if (!parts.every((part) => typeof part === 'string' && part !== '')) {
    throw new GrantRefused('refused', 'id_token_names_nobody')
  }
  return parts.join('.')
}

/** Codes of oauth4webapi that mean: this was not the provider speaking OAuth, but something else in its place. */
const unreadable: ReadonlySet<string> = new Set([
  oauth.PARSE_ERROR,
  oauth.RESPONSE_IS_NOT_JSON,
  oauth.RESPONSE_IS_NOT_CONFORM,
])

/** What oauth4webapi throws carries whole answers, tokens included, so none of it leaves here, not even as a cause. */
async function translated<T>(provider: Provider, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (thrown instanceof GrantRefused || thrown instanceof GrantOutage) throw thrown
    if (thrown instanceof AtomError) throw outage(thrown)
    if (thrown instanceof oauth.ResponseBodyError) {
      throw new GrantRefused(verdictOf(provider, thrown.error), thrown.error)
    }
    // RFC 6749 5.2: a challenge at this endpoint is about the app's own credentials.
    if (thrown instanceof oauth.WWWAuthenticateChallengeError) {
      throw new GrantRefused('operator', 'invalid_client')
    }
    if (
      thrown instanceof oauth.OperationProcessingError ||
      thrown instanceof oauth.UnsupportedOperationError
    ) {
      const code = thrown.code ?? thrown.name
      if (unreadable.has(code))
        throw new GrantOutage(`the token endpoint's answer is unusable (${code})`, true)
      throw new GrantRefused('refused', code)
    }
    throw new GrantOutage(
      `the request to the token endpoint failed (${thrown instanceof Error ? thrown.name : typeof thrown})`,
      true,
    )
  }
}

/** Failures before a connection stood: nothing was sent. */
const neverSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

function outage(error: AtomError): Error {
  // An endpoint that leads into a private network; nothing was sent there.
  if (error.code === 'proxy_target_refused') return new GrantRefused('operator', 'endpoint_not_called')
  if (error.code !== 'provider_unavailable') return error
  for (let at: unknown = error.cause; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string' && neverSent.has(at.code)) {
      return new GrantOutage(`the token endpoint cannot be reached (${at.code})`, false)
    }
  }
  return new GrantOutage('the token endpoint did not answer', true)
}
