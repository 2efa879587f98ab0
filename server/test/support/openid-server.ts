import { createHash, type X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { TLSSocket } from 'node:tls'
import { decodeJwt, exportJWK, generateKeyPair, importJWK, type JWK, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import {
  type ClientMetadata,
  type Configuration,
  errors,
  type KoaContextWithOIDC,
  Provider,
} from 'oidc-provider'

export const issuer = 'https://as.example.test'
export const api = 'https://api.example.test'
/** Where the same server asks for certificates (RFC 8705 5). */
export const mutualIssuer = 'https://mtls.as.example.test'

export const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
/** The one token of somebody else's that the server takes in exchange. */
export const foreignToken = 'a-token-of-somebody-elses'
/** What the server's page says when a device code was entered and allowed. */
const entered = 'Connected. This window can be closed.'

export interface ServerManners {
  readonly redirectUris: readonly string[]
  readonly clients?: readonly ClientMetadata[]
  /** RFC 9126: nothing but pushed requests is taken. */
  readonly pushedOnly?: boolean
  /** RFC 9449 8 and 9: server and API want their nonce in every proof. */
  readonly nonces?: boolean
  readonly registration?: boolean
  /** Where the person who signs in is called otherwise. */
  readonly subject?: () => string
  /** Whose assertions it takes (RFC 7523), and the keys they are signed with. */
  readonly asserting?: Readonly<Record<string, JWK>>
}

/** Of a server that listens by TLS, in PEM. */
interface ServerTls {
  readonly cert: string
  readonly key: string
  /** Certificates of apps, or of who made them, that it vouches for. */
  readonly ca: string
}

interface AskedApi {
  readonly method: string
  readonly path: string
  readonly scheme: string
  readonly proven: boolean
}

/**
 * A certified authorization server and an API beside it, at addresses of their own that lead to loopback. Every decision of
 * the protocol is `oidc-provider`'s, and the API's are those of oauth4webapi's side for resource servers, so that what Atom sends
 * is judged by code that was not written for it.
 */
export class OpenIdServer implements AsyncDisposable {
  readonly url: string
  /** Requests of the authorization server: method, path, body. */
  readonly seen: { method: string; path: string; body: string }[] = []
  readonly asked: AskedApi[] = []
  /** Paths of the authorization server, and of the API with `api` before, that a certificate was shown for. */
  readonly certified = new Set<string>()
  /** What the API answers in place of its own. */
  readonly answers = new Map<string, (response: ServerResponse, body: string) => void>()
  /** Changes what the authorization server says of itself. */
  metadata: (document: Record<string, unknown>) => Record<string, unknown> = (document) => document
  /** Changes what the token endpoint answers. */
  tokens: (answer: Record<string, unknown>) => Record<string, unknown> = (answer) => answer
  /** Changes what the registration endpoint answers. */
  registered: (answer: Record<string, unknown>) => Record<string, unknown> = (answer) => answer
  /** Whether the server answers nothing but 503. */
  away = false
  /** Changes the address that the server sends the browser back to. */
  callback: (url: URL) => URL = (url) => url
  readonly #server: Server
  readonly #mutual: Server | undefined
  #provider: Provider | undefined
  #nonces = false
  #nonce = 1

  private constructor(server: Server, mutual: Server | undefined) {
    this.#server = server
    this.#mutual = mutual
    this.url = addressOf(server, mutual !== undefined)
    for (const one of this.#servers) {
      one.on('request', (request: IncomingMessage, response: ServerResponse) => {
        this.#route(request, response).catch((error: unknown) => {
          response.writeHead(500).end(String(error))
        })
      })
    }
  }

  /** @param tls for a server that listens by TLS, and at a second address asks for certificates, which its API does as well */
  static async start(tls?: ServerTls): Promise<OpenIdServer> {
    const server = tls === undefined ? createServer() : createTlsServer({ cert: tls.cert, key: tls.key })
    const mutual = tls && createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false })
    for (const one of [server, mutual]) {
      if (one === undefined) continue
      one.listen(0, '127.0.0.1')
      await once(one, 'listening')
    }
    return new OpenIdServer(server, mutual)
  }

  /** Where it asks for certificates. */
  get mutualUrl(): string {
    return this.#mutual === undefined ? this.url : addressOf(this.#mutual, true)
  }

  get origins(): Readonly<Record<string, string>> {
    return {
      [issuer]: `${this.url}/as`,
      [mutualIssuer]: `${this.mutualUrl}/as`,
      [api]: `${this.mutualUrl}/api`,
    }
  }

  get #servers(): readonly Server[] {
    return this.#mutual === undefined ? [this.#server] : [this.#server, this.#mutual]
  }

  get provider(): Provider {
    if (this.#provider === undefined) throw new Error('the server has no manners yet')
    return this.#provider
  }

  /** Takes requests from now on. */
  async open(manners: ServerManners): Promise<void> {
    this.#nonces = manners.nonces === true
    const { privateKey } = await generateKeyPair('RS256', { extractable: true })
    const elliptic = await generateKeyPair('ES256', { extractable: true })
    const subject = manners.subject ?? (() => 'ada')
    const configuration: Configuration = {
      clients: (manners.clients ?? []).map((client) => ({
        redirect_uris: [...manners.redirectUris],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        ...client,
      })),
      jwks: {
        keys: [
          { ...(await exportJWK(privateKey)), kid: 'rsa', alg: 'RS256', use: 'sig' },
          { ...(await exportJWK(elliptic.privateKey)), kid: 'ec', alg: 'ES256', use: 'sig' },
        ] as never,
      },
      scopes: ['openid', 'offline_access', 'profile', 'email', 'api:read'],
      claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'] },
      findAccount: (_context, sub) => ({
        accountId: sub,
        claims: () => ({
          sub,
          name: 'Ada Lovelace',
          preferred_username: sub,
          email: `${sub}@example.org`,
        }),
      }),
      interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
      cookies: { keys: ['a key of the test'] },
      ...(this.#mutual !== undefined && {
        clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth'],
        discovery: {
          mtls_endpoint_aliases: {
            token_endpoint: `${mutualIssuer}/token`,
            revocation_endpoint: `${mutualIssuer}/token/revocation`,
            pushed_authorization_request_endpoint: `${mutualIssuer}/request`,
            device_authorization_endpoint: `${mutualIssuer}/device/auth`,
            userinfo_endpoint: `${mutualIssuer}/me`,
          },
        },
      }),
      pkce: { required: () => true },
      rotateRefreshToken: true,
      issueRefreshToken: (_context, client, code) =>
        client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
      features: {
        devInteractions: { enabled: false },
        revocation: { enabled: true },
        clientCredentials: { enabled: true },
        deviceFlow: {
          enabled: true,
          userCodeInputSource: (context, form) => {
            context.body = form
          },
          userCodeConfirmSource: (context, form) => {
            context.body = form
          },
          successSource: (context) => {
            context.body = entered
          },
        },
        registration: { enabled: manners.registration === true },
        ...(this.#mutual !== undefined && {
          mTLS: {
            enabled: true,
            certificateBoundAccessTokens: true,
            selfSignedTlsClientAuth: true,
            tlsClientAuth: true,
            getCertificate: ({ req }) => shownBy(req)?.toString(),
            certificateAuthorized: ({ req }) => isVouchedFor(req),
            certificateSubjectMatches: ({ req }, property, expected) =>
              property === 'tls_client_auth_san_ip' && shownBy(req)?.checkIP(expected) === expected,
          },
        }),
        pushedAuthorizationRequests: {
          enabled: true,
          requirePushedAuthorizationRequests: manners.pushedOnly === true,
        },
        dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => this.#nonces },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => [],
          useGrantedResource: () => true,
          getResourceServerInfo: (_context, resource) => {
            if (!resource.startsWith(api)) throw new errors.InvalidTarget()
            return {
              scope: 'api:read',
              audience: resource,
              accessTokenFormat: 'jwt',
              jwt: { sign: { alg: 'ES256' } },
            }
          },
        },
      },
    }
    this.#provider = new Provider(issuer, configuration)
    this.#provider.proxy = true
    this.#exchangeTokens(this.#provider)
    this.#takeAssertions(this.#provider, manners.asserting ?? {})
    this.#subject = subject
  }

  #subject: () => string = () => 'ada'

  /** Signs in and agrees to everything, as a browser would be led; returns the address that leads back to the app. */
  async visit(authorizeUrl: string | URL): Promise<URL> {
    const cookies = new Map<string, string>()
    let at = new URL(authorizeUrl)
    for (let step = 0; step < 20; step++) {
      const answer = await fetch(this.#placed(at), {
        redirect: 'manual',
        headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      })
      for (const line of answer.headers.getSetCookie()) {
        const [name = '', value = ''] = (line.split(';', 1)[0] ?? '').split(/=(.*)/s)
        cookies.set(name, value)
      }
      const location = answer.headers.get('location')
      const page = await answer.text()
      if (location === null) throw new Error(`${answer.status} at ${at.href}: ${page.slice(0, 800)}`)
      at = new URL(location, at)
      if (at.origin !== issuer) return this.callback(at)
    }
    throw new Error('the server leads in circles')
  }

  /** Enters a device code on the server's page, signs in and agrees, as a browser would be led. */
  async enter(verificationUri: string, userCode: string): Promise<void> {
    const cookies = new Map<string, string>()
    let at = new URL(verificationUri)
    let form: URLSearchParams | undefined
    for (let step = 0; step < 20; step++) {
      const answer = await fetch(this.#placed(at), {
        redirect: 'manual',
        headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
        ...(form !== undefined && { method: 'POST', body: form }),
      })
      for (const line of answer.headers.getSetCookie()) {
        const [name = '', value = ''] = (line.split(';', 1)[0] ?? '').split(/=(.*)/s)
        cookies.set(name, value)
      }
      const location = answer.headers.get('location')
      const page = await answer.text()
      if (page === entered) return
      form = undefined
      if (location !== null) {
        at = new URL(location, at)
        continue
      }
      const hidden = [...page.matchAll(/name="(\w+)" value="([^"]*)"/g)]
      if (answer.status !== 200 || hidden.length === 0)
        throw new Error(`${answer.status}: ${page.slice(0, 800)}`)
      form = new URLSearchParams({ user_code: userCode })
      for (const [, name = '', value = ''] of hidden) form.set(name, value)
    }
    throw new Error('the server leads in circles')
  }

  /** RFC 8693 for one token that it knows; the library leaves the grant to whoever runs it. */
  #exchangeTokens(provider: Provider): void {
    const parameters = ['subject_token', 'subject_token_type', 'scope']
    provider.registerGrantType(tokenExchange, (context) => this.#exchange(provider, context), parameters)
  }

  /** RFC 7523 2.1, with jose as the judge of assertions. */
  #takeAssertions(provider: Provider, asserting: Readonly<Record<string, JWK>>): void {
    const take = async (context: KoaContextWithOIDC) => {
      const assertion = String(context.oidc.params?.['assertion'])
      const key = asserting[String(decodeJwt(assertion).iss)]
      const verified =
        key &&
        (await jwtVerify(assertion, await importJWK(key), {
          audience: [issuer, `${issuer}/token`],
          requiredClaims: ['exp', 'jti', 'sub'],
        }).catch(() => undefined))
      if (verified === undefined) throw new errors.InvalidGrant('the assertion is not one of ours')
      await this.#give(provider, context, String(verified.payload.sub))
    }
    provider.registerGrantType(jwtBearer, take, ['assertion', 'scope'])
  }

  async #exchange(provider: Provider, context: KoaContextWithOIDC): Promise<void> {
    if (context.oidc.params?.['subject_token'] !== foreignToken) {
      throw new errors.InvalidGrant('the subject token is none of ours')
    }
    await this.#give(provider, context, 'ada')
  }

  /** A token for somebody, without their being there. */
  async #give(provider: Provider, context: KoaContextWithOIDC, accountId: string): Promise<void> {
    const { client, params } = context.oidc
    if (client === undefined) throw new errors.InvalidClient('nobody asks')
    const scope = String(params?.['scope'] ?? '')
    const grant = new provider.Grant({ accountId, clientId: client.clientId })
    grant.addOIDCScope(scope)
    const grantId = await grant.save()
    const token = new provider.AccessToken({ client, accountId, grantId, scope, gty: 'given' })
    context.body = {
      access_token: await token.save(),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: token.expiration,
      scope,
    }
  }

  requests(path: string): URLSearchParams[] {
    return this.seen.filter((one) => one.path === path).map(({ body }) => new URLSearchParams(body))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }

  #placed(url: URL): string {
    return `${this.origins[url.origin]}${url.pathname}${url.search}`
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, place, ...rest] = (request.url ?? '').split('/')
    request.url = `/${rest.join('/')}`
    const [path = ''] = request.url.split('?', 1)
    if (shownBy(request) !== undefined) this.certified.add(place === 'api' ? `api${path}` : path)
    if (place === 'api') return await this.#api(request, response)
    if (path.startsWith('/interaction/')) return await this.#agree(request, response)
    if (path.startsWith('/.well-known/')) return await this.#describe(request, response)
    if (this.away) return void response.writeHead(503).end()
    const body = await text(request)
    this.seen.push({ method: request.method ?? '', path, body })
    // What was read is handed on as a body parser would.
    Object.assign(request, { body })
    this.#speakFor(request)
    if (path === '/token') return await this.#rewritten(request, response, (answer) => this.tokens(answer))
    if (path === '/reg') return await this.#rewritten(request, response, (answer) => this.registered(answer))
    await this.provider.callback()(request, response)
  }

  /** As behind a proxy that ends TLS. */
  #speakFor(request: IncomingMessage): void {
    request.headers['x-forwarded-proto'] = 'https'
    request.headers['x-forwarded-host'] = new URL(issuer).host
  }

  async #describe(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.away) return void response.writeHead(503).end()
    this.seen.push({ method: 'GET', path: request.url ?? '', body: '' })
    this.#speakFor(request)
    await this.#rewritten(request, response, (document) => this.metadata(document))
  }

  /** The server's own answer, with what a test changes of it. */
  async #rewritten(
    request: IncomingMessage,
    response: ServerResponse,
    rewrite: (answer: Record<string, unknown>) => Record<string, unknown>,
  ): Promise<void> {
    const inner = new Promise<string>((resolve) => {
      const chunks: Buffer[] = []
      const end = response.end.bind(response)
      Object.assign(response, {
        end: (chunk?: Buffer | string) => {
          if (chunk !== undefined) chunks.push(Buffer.from(chunk))
          response.end = end
          resolve(Buffer.concat(chunks).toString())
          return response
        },
      })
    })
    await this.provider.callback()(request, response)
    const said = await inner
    if (response.statusCode > 201) return void response.end(said)
    const document = Buffer.from(JSON.stringify(rewrite(JSON.parse(said) as Record<string, unknown>)))
    response.setHeader('content-length', document.length)
    response.end(document)
  }

  async #agree(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#speakFor(request)
    const details = await this.provider.interactionDetails(request, response)
    const { prompt, params, session, grantId } = details
    if (prompt.name === 'login') {
      const login = { accountId: this.#subject() }
      return await this.provider.interactionFinished(request, response, { login })
    }
    const grant =
      (grantId === undefined ? undefined : await this.provider.Grant.find(grantId)) ??
      new this.provider.Grant({ accountId: session?.accountId ?? '', clientId: String(params['client_id']) })
    grant.addOIDCScope(String(params['scope']))
    for (const resource of [params['resource'] ?? []].flat())
      grant.addResourceScope(String(resource), String(params['scope']))
    const consent = { grantId: await grant.save() }
    await this.provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true })
  }

  async #api(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.split('?', 1)[0] ?? ''
    const answer = this.answers.get(path)
    const open = request.headers.authorization === undefined
    if (open && this.#challenge?.path === path) {
      return void response.writeHead(401, { 'www-authenticate': this.#challenge.says }).end()
    }
    if (answer !== undefined && open) return answer(response, '')
    const judged = await this.#judge(request, path)
    this.asked.push({
      method: request.method ?? '',
      path,
      scheme: request.headers.authorization?.split(' ', 1)[0] ?? '',
      proven: typeof judged !== 'string' && judged.proven,
    })
    if (typeof judged === 'string') {
      response.writeHead(401, {
        'www-authenticate': judged,
        'content-type': 'application/json',
        ...(this.#nonces && { 'dpop-nonce': `api-${this.#nonce}` }),
      })
      return void response.end('{"error":"unauthorized"}')
    }
    const body = await text(request)
    if (answer !== undefined) return answer(response, body)
    response.writeHead(200, {
      'content-type': 'application/json',
      ...(this.#nonces && { 'dpop-nonce': `api-${this.#nonce}` }),
    })
    response.end(JSON.stringify({ id: judged.sub, name: 'Ada at the API', method: request.method, body }))
  }

  /** An MCP server at `/mcp` of the API: its challenge, its metadata, and `initialize`, answered as an event. */
  workAsMcp({ metadata, pointer }: { metadata?: object; pointer?: string } = {}): void {
    const at = '/.well-known/oauth-protected-resource/mcp'
    this.#challenge = {
      path: '/mcp',
      says: `Bearer resource_metadata="${pointer ?? api + at}", scope="openid api:read"`,
    }
    const document = metadata ?? { resource: `${api}/mcp`, authorization_servers: [issuer] }
    this.answers.set(at, (response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document))
    })
    const result = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      serverInfo: { name: 'calculator', title: 'Calculator', version: '1' },
    }
    this.answers.set('/mcp', (response, body) => {
      if (!body.includes('"initialize"')) {
        return void response
          .writeHead(200, { 'content-type': 'application/json' })
          .end('{"jsonrpc":"2.0","id":2}')
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      // The stream stays open, as it may: whoever waits for its end waits in vain.
      response.write(': hello\n\nevent: message\n')
      response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', id: 1, result })}\n\n`)
    })
  }

  #challenge: { path: string; says: string } | undefined

  /** The server does not know this app any more. */
  async forget(clientId: string): Promise<void> {
    const { adapter } = this.provider.Client as unknown as {
      adapter: { destroy(id: string): Promise<void> }
    }
    await adapter.destroy(clientId)
  }

  /** From now on the API wants another nonce. */
  nextNonce(): void {
    this.#nonce += 1
  }

  /** RFC 9068 and RFC 9449 as oauth4webapi judges them; tokens that are no JWT as the server itself knows them. */
  async #judge(request: IncomingMessage, path: string): Promise<{ sub: string; proven: boolean } | string> {
    const [scheme = '', token = ''] = (request.headers.authorization ?? '').split(' ')
    const proof = request.headers['dpop']
    if (typeof proof === 'string' && this.#nonces && decodeJwt(proof)['nonce'] !== `api-${this.#nonce}`)
      return 'DPoP error="use_dpop_nonce", error_description="the nonce is another"'
    if (token.split('.').length !== 3) {
      const known = scheme === 'Bearer' ? await this.provider.AccessToken.find(token) : undefined
      if (known?.accountId === undefined || known.jkt !== undefined) return 'Bearer error="invalid_token"'
      if (!isOfCertificate(request, known['x5t#S256'])) return 'Bearer error="invalid_token"'
      return { sub: known.accountId, proven: false }
    }
    try {
      const claims = await oauth.validateJwtAccessToken(
        { issuer, jwks_uri: `${issuer}/jwks` },
        new Request(`${api}${path}`, {
          method: request.method ?? 'GET',
          headers: Object.entries(request.headers).flatMap(([name, value]) =>
            typeof value === 'string' ? [[name, value]] : [],
          ) as [string, string][],
        }),
        String(decodeJwt(token).aud).startsWith(api) ? String(decodeJwt(token).aud) : api,
        { [oauth.customFetch]: (url) => fetch(this.#placed(new URL(url))) },
      )
      if (!isOfCertificate(request, claims.cnf?.['x5t#S256'])) return 'Bearer error="invalid_token"'
      return { sub: claims.sub, proven: scheme === 'DPoP' }
    } catch (error) {
      return `${scheme} error="invalid_token", error_description="${String(error).replace(/[^\w ]/g, ' ')}"`
    }
  }
}

function addressOf(server: Server, secure: boolean): string {
  return `${secure ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** What was shown in the handshake. */
function shownBy({ socket }: IncomingMessage): X509Certificate | undefined {
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
}

function isVouchedFor({ socket }: IncomingMessage): boolean {
  return socket instanceof TLSSocket && socket.authorized
}

/** RFC 8705 3: whether a token is for whoever shows this certificate; one that is bound to none is for everybody. */
function isOfCertificate(request: IncomingMessage, thumbprint: unknown): boolean {
  if (thumbprint === undefined) return true
  const shown = shownBy(request)
  return shown !== undefined && createHash('sha256').update(shown.raw).digest('base64url') === thumbprint
}

/** The private key of an app, and the half that its server knows. */
export async function appKey(alg: 'RS256' | 'ES256' | 'EdDSA'): Promise<{ own: JWK; known: JWK }> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const head = { kid: `${alg}-1`, alg }
  return {
    own: { ...(await exportJWK(privateKey)), ...head },
    known: { ...(await exportJWK(publicKey)), ...head },
  }
}
