import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import type { Sandbox } from '../../src/sandbox.ts'
import type { SandboxProviderId } from '../../src/stand-in.ts'
import { Browser } from './browser.ts'

export const redirectUri = (provider: SandboxProviderId) =>
  `http://127.0.0.1:3999/v1/oauth/callback/${provider}`
export const redirectUris = (
  ['github', 'google', 'microsoft', 'asana', 'salesforce', 'hubspot', 'notion', 'slack'] as const
).map(redirectUri)

/** As Atom does it: the provider's true URL, dialled through the map of origins. */
export function dial(sandbox: Sandbox, url: string | URL): URL {
  const real = new URL(url)
  const base = Object.entries(sandbox.origins).find(([origin]) => origin === real.origin)?.[1]
  assert.ok(base, `the sandbox does not stand in for ${real.origin}`)
  return new URL(`${base}${real.pathname}${real.search}`)
}

export function dialling(sandbox: Sandbox) {
  return {
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: (url: string, init: object) => fetch(dial(sandbox, url), init),
  }
}

export const servers: Readonly<Record<SandboxProviderId, oauth.AuthorizationServer>> = {
  github: {
    issuer: 'https://github.com/login/oauth',
    authorization_endpoint: 'https://github.com/login/oauth/authorize',
    token_endpoint: 'https://github.com/login/oauth/access_token',
  },
  google: {
    issuer: 'https://accounts.google.com',
    authorization_endpoint: 'https://accounts.google.com/o/oauth2/v2/auth',
    token_endpoint: 'https://oauth2.googleapis.com/token',
    jwks_uri: 'https://www.googleapis.com/oauth2/v3/certs',
  },
  microsoft: {
    issuer: 'https://login.microsoftonline.com/6f0d2c4e-9a1b-4c57-8d3e-51f0a7c2b984/v2.0',
    authorization_endpoint: 'https://login.microsoftonline.com/common/oauth2/v2.0/authorize',
    token_endpoint: 'https://login.microsoftonline.com/common/oauth2/v2.0/token',
    jwks_uri: 'https://login.microsoftonline.com/common/discovery/v2.0/keys',
    userinfo_endpoint: 'https://graph.microsoft.com/oidc/userinfo',
  },
  asana: {
    issuer: 'https://app.asana.com/api/1.0',
    authorization_endpoint: 'https://app.asana.com/-/oauth_authorize',
    token_endpoint: 'https://app.asana.com/-/oauth_token',
    revocation_endpoint: 'https://app.asana.com/-/oauth_revoke',
    userinfo_endpoint: 'https://app.asana.com/api/1.0/openid_connect/userinfo',
  },
  salesforce: {
    issuer: 'https://login.salesforce.com',
    authorization_endpoint: 'https://login.salesforce.com/services/oauth2/authorize',
    token_endpoint: 'https://login.salesforce.com/services/oauth2/token',
    revocation_endpoint: 'https://login.salesforce.com/services/oauth2/revoke',
    introspection_endpoint: 'https://login.salesforce.com/services/oauth2/introspect',
    jwks_uri: 'https://login.salesforce.com/id/keys',
  },
  hubspot: {
    issuer: 'https://app.hubspot.com',
    authorization_endpoint: 'https://app.hubspot.com/oauth/authorize',
    token_endpoint: 'https://api.hubapi.com/oauth/2026-03/token',
    introspection_endpoint: 'https://api.hubapi.com/oauth/2026-03/token/introspect',
    revocation_endpoint: 'https://api.hubapi.com/oauth/2026-03/token/revoke',
  },
  notion: {
    issuer: 'https://api.notion.com',
    authorization_endpoint: 'https://api.notion.com/v1/oauth/authorize',
    token_endpoint: 'https://api.notion.com/v1/oauth/token',
    introspection_endpoint: 'https://api.notion.com/v1/oauth/introspect',
    revocation_endpoint: 'https://api.notion.com/v1/oauth/revoke',
  },
  slack: {
    issuer: 'https://slack.com',
    authorization_endpoint: 'https://slack.com/oauth/v2/authorize',
    token_endpoint: 'https://slack.com/api/oauth.v2.access',
  },
}

/** How a standard client proves itself there. */
function clientAuth(sandbox: Sandbox, provider: SandboxProviderId): oauth.ClientAuth {
  const { clientId, clientSecret } = sandbox.apps[provider]
  if (provider !== 'notion') return oauth.ClientSecretPost(clientSecret)
  // Plain, as Notion documents it: the library would form-encode both parts first (RFC 6749, section 2.3.1).
  return (_as, _client, _body, headers) =>
    headers.set('authorization', `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`)
}

/** What lies below a standard client so that it gets along: JSON for Notion, a status for Slack's refusals. */
function adapted(sandbox: Sandbox, provider: SandboxProviderId) {
  return {
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: async (url: string, init: oauth.CustomFetchOptions<string, unknown>) => {
      const form = init.body instanceof URLSearchParams ? init.body : new URLSearchParams()
      const headers = new Headers(init.headers)
      headers.set('accept', 'application/json')
      if (provider === 'notion') headers.set('content-type', 'application/json')
      const response = await fetch(dial(sandbox, url), {
        method: init.method,
        headers,
        redirect: 'manual',
        body: provider === 'notion' ? JSON.stringify(Object.fromEntries(form)) : form,
      })
      if (provider !== 'slack') return response
      const body = (await response.json()) as Record<string, unknown>
      return Response.json(body, { status: body['ok'] === true ? 200 : 400 })
    },
  }
}

/** A refresh by the standard client, as far as its judgement of the answer. Throws what it throws. */
export async function refreshed(sandbox: Sandbox, provider: SandboxProviderId, refreshToken: string) {
  const [as, client] = [servers[provider], { client_id: sandbox.apps[provider].clientId }]
  const response = await oauth.refreshTokenGrantRequest(
    as,
    client,
    clientAuth(sandbox, provider),
    refreshToken,
    adapted(sandbox, provider),
  )
  return oauth.processRefreshTokenResponse(as, client, response, judging)
}

/** Slack's kinds of token are none that a standard knows. */
const judging = { recognizedTokenTypes: { bot: () => undefined, user: () => undefined } }

/** The whole connection by the standard client: consent, code, tokens, its judgement of all three. */
export async function connectStandard(sandbox: Sandbox, provider: SandboxProviderId, ask: Ask) {
  const asked = await askConsent(sandbox, provider, ask)
  assert.ok(asked.stop.left, `stopped at ${asked.stop.url}: ${asked.stop.text}`)
  const callback = oauth.validateAuthResponse(asked.as, asked.client, asked.stop.url, asked.state)
  const response = await oauth.authorizationCodeGrantRequest(
    asked.as,
    asked.client,
    clientAuth(sandbox, provider),
    callback,
    redirectUri(provider),
    withoutPkce.has(provider) ? oauth.nopkce : asked.verifier,
    adapted(sandbox, provider),
  )
  const body = await oauth.processAuthorizationCodeResponse(asked.as, asked.client, response, judging)
  return { asked, body, token: body.access_token, refreshToken: body.refresh_token ?? '' }
}

export async function introspected(sandbox: Sandbox, provider: SandboxProviderId, token: string) {
  const [as, client] = [servers[provider], { client_id: sandbox.apps[provider].clientId }]
  const response = await oauth.introspectionRequest(
    as,
    client,
    clientAuth(sandbox, provider),
    token,
    adapted(sandbox, provider),
  )
  return oauth.processIntrospectionResponse(as, client, response)
}

export async function revoked(sandbox: Sandbox, provider: SandboxProviderId, token: string): Promise<void> {
  const [as, client] = [servers[provider], { client_id: sandbox.apps[provider].clientId }]
  const auth = clientAuth(sandbox, provider)
  const response = await oauth.revocationRequest(as, client, auth, token, adapted(sandbox, provider))
  await oauth.processRevocationResponse(response)
}

/** They neither document PKCE nor OpenID Connect for this flow. */
const withoutPkce = new Set<SandboxProviderId>(['hubspot', 'notion', 'slack'])

export interface Ask {
  readonly scope: string
  readonly person?: string
  readonly extra?: Readonly<Record<string, string>>
  /** The scopes ticked on the consent page; all where absent. */
  readonly tick?: readonly string[]
  readonly decision?: 'agree' | 'cancel'
  readonly browser?: Browser
  /** Endpoints other than the provider's usual ones. */
  readonly as?: oauth.AuthorizationServer
}

/** One connection attempt of a real OAuth client (`oauth4webapi`), PKCE included, up to the callback. */
export async function askConsent(sandbox: Sandbox, provider: SandboxProviderId, ask: Ask) {
  const as = ask.as ?? servers[provider]
  const app = sandbox.apps[provider]
  const client: oauth.Client = { client_id: app.clientId }
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const nonce = oauth.generateRandomNonce()
  const url = dial(sandbox, as.authorization_endpoint ?? '')
  url.search = new URLSearchParams({
    client_id: app.clientId,
    redirect_uri: redirectUri(provider),
    response_type: 'code',
    scope: ask.scope,
    state,
    ...(withoutPkce.has(provider)
      ? undefined
      : {
          code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
          code_challenge_method: 'S256',
          ...(provider === 'github' ? undefined : { nonce }),
        }),
    ...ask.extra,
  }).toString()

  const browser = ask.browser ?? new Browser()
  const pages: string[] = []
  let stop = await browser.open(url)
  while (!stop.left && stop.status === 200) {
    pages.push(stop.text)
    const choosing = stop.text.includes('name="person"')
    const ticked = [...stop.text.matchAll(/name="scope" value="([^"]+)"/g)]
      .map((match) => match[1] ?? '')
      .filter((scope) => ask.tick === undefined || ask.tick.includes(scope))
    stop = await browser.submit(
      stop,
      choosing
        ? [['person', ask.person ?? 'ada']]
        : [['decision', ask.decision ?? 'agree'], ...ticked.map((scope) => ['scope', scope] as const)],
    )
  }
  return { as, client, secret: app.clientSecret, verifier, state, nonce, stop, pages, browser }
}

type Asked = Awaited<ReturnType<typeof askConsent>>

/** The token request itself, over the wire, as a client sends it. */
export async function exchange(
  sandbox: Sandbox,
  provider: SandboxProviderId,
  asked: Asked,
  verifier = asked.verifier,
) {
  const callback = oauth.validateAuthResponse(asked.as, asked.client, asked.stop.url, asked.state)
  return oauth.authorizationCodeGrantRequest(
    asked.as,
    asked.client,
    oauth.ClientSecretPost(asked.secret),
    callback,
    redirectUri(provider),
    verifier,
    { ...dialling(sandbox), headers: { accept: 'application/json' } },
  )
}

export async function connect(sandbox: Sandbox, provider: SandboxProviderId, ask: Ask) {
  const asked = await askConsent(sandbox, provider, ask)
  assert.ok(asked.stop.left, `stopped at ${asked.stop.url}: ${asked.stop.text}`)
  const response = await exchange(sandbox, provider, asked)
  const body = (await response.clone().json()) as Record<string, unknown>
  assert.ok(body['access_token'], `no token: ${JSON.stringify(body)}`)
  return { asked, response, body, token: String(body['access_token']) }
}

export const githubApi = (
  sandbox: Sandbox,
  token: string | undefined,
  path: string,
  init: RequestInit = {},
) =>
  fetch(dial(sandbox, `https://api.github.com${path}`), {
    ...init,
    headers: {
      'user-agent': 'sandbox-test',
      ...(token === undefined ? undefined : { authorization: `Bearer ${token}` }),
      ...init.headers,
    },
  })

export const googleApi = (sandbox: Sandbox, token: string, path: string, init: RequestInit = {}) =>
  fetch(dial(sandbox, `https://www.googleapis.com${path}`), {
    ...init,
    headers: { authorization: `Bearer ${token}`, ...init.headers },
  })

/** Any other provider's API, by its true address. */
export const api = (sandbox: Sandbox, token: string, url: string, init: RequestInit = {}) =>
  fetch(dial(sandbox, url), {
    ...init,
    headers: {
      authorization: `Bearer ${token}`,
      ...(init.body === undefined ? undefined : { 'content-type': 'application/json' }),
      ...init.headers,
    },
  })

/** A refresh of a real OAuth client, as it goes over the wire. */
export const refreshOf = (
  sandbox: Sandbox,
  provider: SandboxProviderId,
  token: string,
  extra: Readonly<Record<string, string>> = {},
  as = servers[provider],
) =>
  oauth.refreshTokenGrantRequest(
    as,
    { client_id: sandbox.apps[provider].clientId },
    oauth.ClientSecretPost(sandbox.apps[provider].clientSecret),
    token,
    { ...dialling(sandbox), additionalParameters: extra },
  )
