import * as oauth from 'oauth4webapi'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Outbound } from '#foundation/outbound.ts'
import { Secret } from '#foundation/secret.ts'
import { type Provider, type Verdict, verdictOf } from '#providers/provider.ts'
import { placed } from '#providers/stand-in.ts'
import type { App } from './apps.ts'

/** What a token endpoint gave. */
export interface Grant {
  readonly accessToken: Secret
  readonly refreshToken: Secret | undefined
  /** null: the provider does not say. */
  readonly expiresAt: Date | null
  /** Undefined where the answer names none, which means: what was asked for (RFC 6749 5.1). */
  readonly granted: readonly string[] | undefined
  /** `sub` of the verified id_token. */
  readonly subject: string | undefined
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
}

const requestTimeoutMs = 20_000
const largestAnswer = 1024 * 1024

/**
 * Speaks with a provider's token endpoint, by oauth4webapi. Requests name the provider's real address throughout, so that
 * issuer and endpoint checks are the real ones; a stand-in takes over at the dial only.
 */
export class TokenEndpoint {
  readonly #outbound: Outbound
  readonly #clock: Clock
  readonly #keys = new Map<string, oauth.JWKSCacheInput>()

  constructor(dependencies: { outbound: Outbound; clock: Clock }) {
    this.#outbound = dependencies.outbound
    this.#clock = dependencies.clock
  }

  /** @throws GrantRefused | GrantOutage */
  async exchange(app: App, exchange: CodeExchange): Promise<Grant> {
    const { provider } = app
    const server = authorizationServer(provider)
    const client = this.client(app)
    return await translated(provider, async () => {
      const answer = await oauth.authorizationCodeGrantRequest(
        server,
        client,
        clientAuthentication(app),
        exchange.parameters,
        exchange.redirectUri,
        provider.pkce === 'off' ? oauth.nopkce : exchange.codeVerifier,
        { [oauth.customFetch]: this.#dial(app) },
      )
      const openid = provider.endpoints.jwks !== undefined
      const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer, {
        requireIdToken: openid,
        ...(openid && { expectedNonce: exchange.nonce }),
      })
      if (openid) await this.#verifySignature(app, server, answer)
      return this.#grant(provider, tokens)
    })
  }

  /** @throws GrantRefused | GrantOutage */
  async refresh(app: App, refreshToken: Secret): Promise<Grant> {
    const { provider } = app
    const server = authorizationServer(provider)
    const client = this.client(app)
    return await translated(provider, async () => {
      const answer = await oauth.refreshTokenGrantRequest(
        server,
        client,
        clientAuthentication(app),
        refreshToken.reveal(),
        { [oauth.customFetch]: this.#dial(app) },
      )
      const tokens = await oauth.processRefreshTokenResponse(server, client, answer)
      if (tokens.id_token !== undefined) await this.#verifySignature(app, server, answer)
      return this.#grant(provider, tokens)
    })
  }

  /** The client as oauth4webapi wants it, on this server's clock. */
  client(app: App): oauth.Client {
    const skew = Math.round((this.#clock.now().getTime() - Date.now()) / 1000)
    return { client_id: app.clientId, [oauth.clockSkew]: skew, [oauth.clockTolerance]: 30 }
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

  #dial(app: App) {
    return async (
      url: string,
      init: oauth.CustomFetchOptions<'POST', URLSearchParams>,
    ): Promise<Response> => {
      const answer = await this.#outbound.fetch(placed(url, app.standIns), {
        method: 'POST',
        headers: init.headers,
        body: init.body.toString(),
        timeoutMs: requestTimeoutMs,
        maxBytes: largestAnswer,
      })
      if (answer.status >= 500 || answer.status === 429 || answer.status === 408) {
        await answer.body?.cancel()
        throw new GrantOutage(`the token endpoint answered ${answer.status}`, true)
      }
      return (await app.provider.tokenAnswer?.(answer)) ?? answer
    }
  }

  #grant(provider: Provider, tokens: oauth.TokenEndpointResponse): Grant {
    const granted = tokens.scope?.split(provider.scopes.answerSeparator).filter((scope) => scope !== '')
    return {
      accessToken: new Secret(tokens.access_token),
      refreshToken: tokens.refresh_token === undefined ? undefined : new Secret(tokens.refresh_token),
      expiresAt:
        tokens.expires_in === undefined
          ? null
          : new Date(this.#clock.now().getTime() + tokens.expires_in * 1000),
      granted,
      subject: oauth.getValidatedIdTokenClaims(tokens)?.sub,
    }
  }
}

export function authorizationServer(provider: Provider): oauth.AuthorizationServer {
  return {
    issuer: provider.issuer,
    authorization_endpoint: provider.endpoints.authorization,
    token_endpoint: provider.endpoints.token,
    ...(provider.endpoints.jwks !== undefined && { jwks_uri: provider.endpoints.jwks }),
  }
}

function clientAuthentication(app: App): oauth.ClientAuth {
  const secret = app.clientSecret.reveal()
  return app.provider.clientAuthentication === 'client_secret_basic'
    ? oauth.ClientSecretBasic(secret)
    : oauth.ClientSecretPost(secret)
}

/** Codes of oauth4webapi that mean: this was not the provider speaking OAuth, but something else in its place. */
const unreadable: ReadonlySet<string> = new Set([
  oauth.PARSE_ERROR,
  oauth.RESPONSE_IS_NOT_JSON,
  oauth.RESPONSE_IS_NOT_CONFORM,
])

/** What oauth4webapi throws carries whole answers, tokens included, so none of it leaves here, not even as a cause. */
async function translated(provider: Provider, work: () => Promise<Grant>): Promise<Grant> {
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
  if (error.code !== 'provider_unavailable') return error
  for (let at: unknown = error.cause; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string' && neverSent.has(at.code)) {
      return new GrantOutage(`the token endpoint cannot be reached (${at.code})`, false)
    }
  }
  return new GrantOutage('the token endpoint did not answer', true)
}
