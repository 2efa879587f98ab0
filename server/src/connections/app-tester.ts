import type { AppTest } from '@atom/contract/connections.ts'
import * as oauth from 'oauth4webapi'
import { type Static, type TSchema, Type } from 'typebox'
import { Check } from 'typebox/value'
import { AtomError } from '#foundation/errors.ts'
import { randomToken } from '#foundation/ids.ts'
import type { Outbound } from '#foundation/outbound.ts'
import { standardParticulars } from '#providers/provider.ts'
import { placed } from '#providers/stand-in.ts'
import type { App, Apps } from './apps.ts'
import {
  authorizationServer,
  GrantOutage,
  GrantRefused,
  type TokenEndpoint,
} from './authorization-server/token-endpoint.ts'

type AppCheck = AppTest['checks'][number]

const timeoutMs = 15_000
const largestAnswer = 1024 * 1024

const Discovery = Type.Object({
  authorization_endpoint: Type.String(),
  token_endpoint: Type.String(),
  jwks_uri: Type.String(),
})
const Keys = Type.Object({ keys: Type.Array(Type.Object({})) })

/**
 * Tries an operator's app as far as that goes without a person. Nothing is granted by it: the one code that is sent is made
 * up, and whether the provider objects to the code or to the client tells whether it knows the client.
 */
export class AppTester {
  readonly #apps: Apps
  readonly #tokenEndpoint: TokenEndpoint
  readonly #outbound: Outbound

  constructor(dependencies: { apps: Apps; tokenEndpoint: TokenEndpoint; outbound: Outbound }) {
    this.#apps = dependencies.apps
    this.#tokenEndpoint = dependencies.tokenEndpoint
    this.#outbound = dependencies.outbound
  }

  /** @throws AtomError `provider_unknown` | `provider_not_configured` | `provider_unavailable` */
  async test(person: { workspaceId: string; accountId: string }, providerId: string): Promise<AppTest> {
    const particulars = standardParticulars(this.#apps.provider(providerId))
    let app: App
    try {
      app = await this.#apps.current(person, providerId, particulars)
    } catch (error) {
      // What a server says of itself, where it is read, is part of what is being tried.
      if (!(error instanceof AtomError) || error.code !== 'provider_misconfigured') throw error
      return { ok: false, checks: [{ name: 'discovery', ok: false, detail: error.detail }] }
    }
    const redirectUri = this.#apps.redirectUri(app.provider)
    const { authorization, token, jwks } = app.provider.endpoints
    const checks = [redirectCheck(app, redirectUri)]
    // An address that only the person completes, such as an organisation's own host, cannot be tried before they do.
    if (!/[{}]/.test(authorization + token)) {
      checks.push(
        ...(
          await Promise.all([
            jwks === undefined ? [] : this.#discovery(app, jwks),
            jwks === undefined ? [] : this.#keys(app, jwks),
            this.#consentPage(app, redirectUri),
            this.#tokenAndCredentials(app, redirectUri),
          ])
        ).flat(),
      )
    }
    return { ok: checks.every(({ ok }) => ok), checks }
  }

  /** OpenID Connect Discovery 4: whether what the provider says of itself today is what its file says. */
  async #discovery(app: App, jwks: string): Promise<AppCheck[]> {
    const { provider } = app
    const url = `${provider.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const document = await this.#json(app, url, Discovery)
    if (typeof document === 'string') return [{ name: 'discovery', ok: false, detail: document }]
    const moved = [
      [document.authorization_endpoint, provider.endpoints.authorization],
      [document.token_endpoint, provider.endpoints.token],
      [document.jwks_uri, jwks],
    ].filter(([said, known]) => said !== known)
    return [
      {
        name: 'discovery',
        ok: moved.length === 0,
        detail:
          moved.length === 0
            ? `${provider.name} describes itself as Atom knows it.`
            : `${provider.name} has moved: it names ${moved.map(([said]) => said).join(', ')}. Update Atom.`,
      },
    ]
  }

  async #keys(app: App, jwks: string): Promise<AppCheck[]> {
    const keys = await this.#json(app, jwks, Keys)
    if (typeof keys === 'string') return [{ name: 'keys', ok: false, detail: keys }]
    const count = keys.keys.length
    return [
      {
        name: 'keys',
        ok: count > 0,
        detail: `${app.provider.name} publishes ${count} ${count === 1 ? 'key' : 'keys'} to verify its id_tokens with.`,
      },
    ]
  }

  /** The address a person would be sent to, asked for without a person: what is plainly wrong is refused before any sign-in. */
  async #consentPage(app: App, redirectUri: string): Promise<AppCheck[]> {
    const { provider } = app
    // Where requests are pushed, the page has nothing to judge before; what the token endpoint says of the client has to do.
    if (provider.endpoints.pushed !== undefined) return []
    const url = placed(provider.endpoints.authorization, app.standIns)
    const parameters = {
      response_type: 'code',
      client_id: app.clientId,
      redirect_uri: redirectUri,
      ...(app.scopes.length > 0 && { scope: app.scopes.join(provider.scopes.separator) }),
      state: randomToken(),
      ...(provider.pkce === 'S256' && {
        code_challenge: await oauth.calculatePKCECodeChallenge(oauth.generateRandomCodeVerifier()),
        code_challenge_method: 'S256',
      }),
      ...(provider.endpoints.jwks !== undefined && { nonce: randomToken() }),
      ...provider.authorizationExtras,
    }
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
    const answer = await this.#get(app, url, 'text/html')
    if (typeof answer === 'string') return [{ name: 'consent_page', ok: false, detail: answer }]
    await answer.body?.cancel()
    return [{ name: 'consent_page', ...consentVerdict(app, answer, url) }]
  }

  async #tokenAndCredentials(app: App, redirectUri: string): Promise<AppCheck[]> {
    const { provider } = app
    const state = randomToken()
    const answer = new URLSearchParams({ code: randomToken(), state, iss: provider.issuer })
    const server = authorizationServer(provider)
    const reachable = { name: 'token_endpoint', ok: true, detail: `${provider.name} answers there.` } as const
    try {
      await this.#tokenEndpoint.exchange(app, {
        parameters: oauth.validateAuthResponse(server, this.#tokenEndpoint.client(app), answer, state),
        redirectUri,
        codeVerifier: oauth.generateRandomCodeVerifier(),
        nonce: randomToken(),
        openid: false,
        dpopKey: undefined,
      })
    } catch (error) {
      if (error instanceof GrantRefused) return [reachable, credentialCheck(app, error)]
      if (error instanceof GrantOutage) {
        return [
          { name: 'token_endpoint', ok: false, detail: `${provider.name} does not answer there. Try again.` },
        ]
      }
      throw error
    }
    return [
      reachable,
      {
        name: 'credentials',
        ok: false,
        detail: `${provider.name} gave tokens for a code that was made up. Do not use it.`,
      },
    ]
  }

  /** @returns a sentence where there is nothing of this shape */
  async #json<T extends TSchema>(app: App, url: string, shape: T): Promise<Static<T> | string> {
    const answer = await this.#get(app, placed(url, app.standIns), 'application/json')
    if (typeof answer === 'string') return answer
    const body: unknown = await answer.json().catch(() => undefined)
    if (answer.status === 200 && Check(shape, body)) return body as Static<T>
    return `${new URL(url).host} answered ${answer.status}, and not as OpenID Connect asks for, at ${new URL(url).pathname}.`
  }

  async #get(app: App, url: URL, accept: string): Promise<Response | string> {
    try {
      return await this.#outbound.fetch(url, { headers: { accept }, timeoutMs, maxBytes: largestAnswer })
    } catch (error) {
      if (!(error instanceof AtomError)) throw error
      return `${app.provider.name} does not answer. Try again; if it stays so, see whether this server may call out.`
    }
  }
}

function redirectCheck({ id, provider }: App, redirectUri: string): AppCheck {
  const { protocol, hostname } = new URL(redirectUri)
  const here = ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
  if (protocol === 'https:' || id === null) {
    return { name: 'redirect_uri', ok: true, detail: `Enter it there exactly so: ${redirectUri}` }
  }
  const name = 'redirect_uri'
  if (provider.guide.redirectIsHttps === true || !here) {
    return {
      name,
      ok: false,
      detail: `${provider.name} takes https addresses only, and this server is at ${redirectUri}. Put it behind https and set ATOM_PUBLIC_URL.`,
    }
  }
  return {
    name,
    ok: true,
    detail: `Enter it there exactly so: ${redirectUri}. It leads to the machine that the browser runs on, so people can connect from this machine only.`,
  }
}

function credentialCheck({ provider }: App, { verdict, error }: GrantRefused): AppCheck {
  const name = 'credentials'
  if (verdict === 'operator') {
    return {
      name,
      ok: false,
      detail: `${provider.name} answered “${error}”: it does not take this client id with this secret. Copy both anew.`,
    }
  }
  return {
    name,
    ok: true,
    detail: `${provider.name} objected to a code that was made up (“${error}”) and not to client id and secret.`,
  }
}

function consentVerdict(
  { provider }: App,
  { status, headers }: Response,
  asked: URL,
): Pick<AppCheck, 'ok' | 'detail'> {
  const { name } = provider
  const location = headers.get('location')
  const led = location !== null && URL.canParse(location, asked.href) ? new URL(location, asked) : undefined
  const error = led?.searchParams.get('error') ?? undefined
  if (error !== undefined || (led !== undefined && /\/error\b/.test(led.pathname))) {
    const code = error !== undefined && /^[\w.:-]{1,80}$/.test(error) ? ` (“${error}”)` : ''
    return {
      ok: false,
      detail: `${name} refuses to ask a person${code}. Compare client id, redirect URI and scopes with the app there.`,
    }
  }
  if (status === 403 || status === 405 || status === 429) {
    return { ok: true, detail: `${name} shows its consent page to browsers only, so it was not looked at.` }
  }
  if (status >= 400) {
    return {
      ok: false,
      detail: `${name} answered ${status} instead of asking. Compare client id, redirect URI and scopes with the app there.`,
    }
  }
  return { ok: true, detail: `${name} would ask a person to sign in and to allow the access.` }
}
