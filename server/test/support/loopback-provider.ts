import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import type { SandboxOffer, SandboxView } from '#connections/apps.ts'

export interface Seen {
  readonly method: string
  /** Path and query below the stand-in's prefix. */
  readonly path: string
  readonly host: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface Said {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string | Buffer | object
}

type Handler = (
  seen: Seen,
  raw: { request: IncomingMessage; response: ServerResponse },
) => Said | undefined | Promise<Said | undefined>

const hosts = [
  'github.com',
  'api.github.com',
  'uploads.github.com',
  'accounts.google.com',
  'oauth2.googleapis.com',
  'openidconnect.googleapis.com',
  'www.googleapis.com',
  'gmail.googleapis.com',
  'login.microsoftonline.com',
  'graph.microsoft.com',
  'slack.com',
  'app.asana.com',
  'api.notion.com',
  'login.salesforce.com',
  'acme.my.salesforce.com',
  'acme-moved.my.salesforce.com',
  'app.hubspot.com',
  'api.hubapi.com',
  'linear.app',
  'api.linear.app',
  'auth.atlassian.com',
  'api.atlassian.com',
  'acme.atlassian.net',
  'gitlab.com',
  'discord.com',
  'zoom.us',
  'api.zoom.us',
  'www.dropbox.com',
  'api.dropboxapi.com',
  'airtable.com',
  'api.airtable.com',
  'account.box.com',
  'api.box.com',
  'api.figma.com',
  'acme.zendesk.com',
] as const
export type Host = (typeof hosts)[number]

const picture = Buffer.from('89504e470d0a1a0a', 'hex')

/**
 * Stands on loopback where the providers' hosts are, and does exactly what a test tells it: for what no well-behaved
 * provider, and so not the sandbox, would do. `origins` is the same map that a sandbox gives.
 */
export class LoopbackProvider implements AsyncDisposable, SandboxOffer {
  readonly url: string
  readonly seen: Seen[] = []
  readonly apps = {
    github: { clientId: 'github-client', clientSecret: 'github-client-secret-0123456789' },
    google: { clientId: 'google-client', clientSecret: 'google-client-secret-0123456789' },
    microsoft: { clientId: 'microsoft-client', clientSecret: 'microsoft_client~secret.0123456789' },
    slack: { clientId: '123.456', clientSecret: 'slack-client-secret-0123456789' },
    asana: { clientId: '1200000000000001', clientSecret: 'asana-client-secret-0123456789' },
    notion: { clientId: 'a1b2c3d4-0000', clientSecret: 'secret_notion-client_0123456789' },
    salesforce: { clientId: '3MVG9.salesforce', clientSecret: 'salesforce-client-secret-0123456789' },
    hubspot: { clientId: 'hubspot-client', clientSecret: 'hubspot-client-secret-0123456789' },
    linear: { clientId: 'linear-client', clientSecret: 'linear-client-secret-0123456789' },
    jira: { clientId: 'jira-client', clientSecret: 'jira-client-secret-0123456789' },
    gitlab: { clientId: 'gitlab-client', clientSecret: 'gloas-gitlab-client-secret-0123456789' },
    discord: { clientId: '1200000000000002', clientSecret: 'discord-client_secret-0123456789' },
    zoom: { clientId: 'zoom_client', clientSecret: 'zoom_client_secret-0123456789' },
    dropbox: { clientId: 'dropbox-client', clientSecret: 'dropbox-client-secret-0123456789' },
    airtable: { clientId: 'airtable-client', clientSecret: 'airtable_client_secret.0123456789' },
    box: { clientId: 'box-client', clientSecret: 'box-client-secret-0123456789' },
    figma: { clientId: 'figma-client', clientSecret: 'figma-client-secret-0123456789' },
    zendesk: { clientId: 'zendesk_client', clientSecret: 'zendesk-client-secret-0123456789' },
  }
  readonly providers = Object.keys(this.apps)
  readonly #server: Server
  readonly #handlers = new Map<string, Handler>()
  readonly #keys = generateKeyPair('RS256')

  private constructor(server: Server) {
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async start(): Promise<LoopbackProvider> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const provider = new LoopbackProvider(server)
    server.on('request', (request, response) => void provider.#answer(request, response))
    provider.on('www.googleapis.com', '/oauth2/v3/certs', async () => ({
      body: { keys: [await provider.publicKey()] },
    }))
    return provider
  }

  get origins(): Readonly<Record<string, string>> {
    return Object.fromEntries(hosts.map((host) => [`https://${host}`, `${this.url}/${host}`]))
  }

  running(): SandboxView {
    return { origins: this.origins, apps: this.apps }
  }

  async open(): Promise<SandboxView> {
    return this.running()
  }

  /** What a path of a host answers from now on. */
  on(host: Host, path: string, handler: Handler): void {
    this.#handlers.set(`${host}${path}`, handler)
  }

  requests(host: Host, path: string): Seen[] {
    return this.seen.filter((request) => request.host === host && request.path.split('?', 1)[0] === path)
  }

  async publicKey(): Promise<object> {
    const { publicKey } = await this.#keys
    return { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' }
  }

  /** Google as it is when all is well: a grant for whoever comes, a person, a picture. */
  workAsGoogle(tokens: () => Promise<object> | object = () => ({})): void {
    let pairs = 0
    this.on('oauth2.googleapis.com', '/token', async ({ body }) => {
      const form = new URLSearchParams(body)
      const pair = ++pairs
      return {
        body: {
          access_token: `google-access-token-${pair}`,
          token_type: 'Bearer',
          expires_in: 3600,
          scope:
            'openid https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile https://www.googleapis.com/auth/calendar.events',
          ...(form.get('grant_type') === 'authorization_code' && {
            refresh_token: `google-refresh-token-${pair}`,
            id_token: await this.idToken({ nonce: form.get('code') ?? '' }),
          }),
          ...(await tokens()),
        },
      }
    })
    this.on('openidconnect.googleapis.com', '/v1/userinfo', () => ({
      body: {
        sub: 'google-person-1',
        name: 'Grace Hopper',
        email: 'grace@example.org',
        email_verified: true,
        picture: `${this.url}/www.googleapis.com/grace.png`,
      },
    }))
    this.on('www.googleapis.com', '/grace.png', () => ({
      headers: { 'content-type': 'image/png' },
      body: picture,
    }))
    this.on('oauth2.googleapis.com', '/revoke', () => ({ body: {} }))
  }

  /** GitHub as it is when all is well, with tokens that do not expire. */
  workAsGitHub(tokens: () => object = () => ({})): void {
    let grants = 0
    this.on('github.com', '/login/oauth/access_token', () => ({
      body: {
        access_token: `github-access-token-${++grants}`,
        token_type: 'bearer',
        scope: 'read:user,repo,user:email',
        ...tokens(),
      },
    }))
    this.on('api.github.com', '/user', () => ({
      body: {
        id: 4711,
        login: 'octo-ada',
        name: 'Ada Lovelace',
        email: null,
        avatar_url: `${this.url}/github.com/ada.png`,
      },
    }))
    this.on('api.github.com', '/user/emails', () => ({
      body: [
        { email: 'old@example.org', primary: false, verified: true },
        { email: 'ada@example.org', primary: true, verified: true },
      ],
    }))
    this.on('github.com', '/ada.png', () => ({ headers: { 'content-type': 'image/png' }, body: picture }))
    this.on('api.github.com', `/applications/${this.apps.github.clientId}/grant`, () => ({ status: 204 }))
  }

  /** An id_token of Google's, as true as the test wants it. */
  async idToken(claims: JWTPayload): Promise<string> {
    const { privateKey } = await this.#keys
    const now = Math.floor(Date.now() / 1000)
    return await new SignJWT({
      iss: 'https://accounts.google.com',
      aud: this.apps.google.clientId,
      sub: 'google-person-1',
      iat: now,
      exp: now + 3600,
      ...claims,
    })
      .setProtectedHeader({ alg: 'RS256', kid: 'k1' })
      .sign(privateKey)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, host = '', ...rest] = (request.url ?? '').split('/')
    const path = `/${rest.join('/')}`
    const body = (await buffer(request).catch(() => Buffer.alloc(0))).toString()
    const seen = { method: request.method ?? '', path, host, headers: request.headers, body }
    this.seen.push(seen)
    const handler = this.#handlers.get(`${host}${path.split('?', 1)[0]}`) ?? this.#handlers.get(`${host}*`)
    const said: Said | undefined =
      handler === undefined
        ? { status: 404, body: { message: 'Not Found' } }
        : await handler(seen, { request, response })
    if (said === undefined) return
    const isJson = typeof said.body === 'object' && !Buffer.isBuffer(said.body)
    response.writeHead(said.status ?? 200, {
      ...(isJson && { 'content-type': 'application/json' }),
      ...said.headers,
    })
    response.end(isJson ? JSON.stringify(said.body) : said.body)
  }
}
