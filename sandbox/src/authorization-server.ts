import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import inject from 'light-my-request'
import { type Configuration, interactionPolicy, type KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { AppName, AppRegistry } from './app-registry.ts'
import type { GrantStore } from './grant-store.ts'
import { type Person, people } from './people.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxLog } from './stand-in.ts'

const tenYears = 10 * 365 * 24 * 3600

/** How one provider's authorization server differs from the standard one, as data and small functions. */
export interface AuthorizationDialect {
  /** The app that it knows; also the name of its cookies and secrets. */
  readonly provider: AppName
  readonly issuer: string
  /** Paths below the sandbox's URL. The browser's cookies are bound to `cookiePath`. */
  readonly paths: {
    readonly authorize: string
    readonly consent: string
    readonly token: string
    readonly jwks: string
    readonly cookies: string
  }
  readonly scopes: readonly string[]
  /** Claims of the id_token by scope. */
  readonly claims: Readonly<Record<string, readonly string[]>>
  /** The id the authorization server knows the person by; `sub` where there is an id_token. */
  subjectOf(person: Person): string
  claimsOf(person: Person, clientId: string): Record<string, string | boolean>
  /** A function where the provider draws lots. */
  readonly accessTokenSeconds: number | (() => number)
  /** For ever where absent. */
  readonly refreshTokenSeconds?: number
  readonly refreshTokens: boolean
  /**
   * Whether a refresh token works once. Absent: it works for ever. `single_use`: the next one takes its place, and the spent
   * one is refused, without consequences for the others. `family`: using a spent one ends everything under the grant.
   */
  readonly rotation?: 'single_use' | 'family'
  /** A fresh code or token of the provider's looks; `scope` is what it is worth. */
  mint(kind: 'code' | 'access' | 'refresh', scope: string): string
  /** What a request stands for once it is known who asks and what they granted before. */
  widen(requested: readonly string[], granted: readonly string[], parameters: Parameters): readonly string[]
  /** Parameters beyond OAuth that `widen`, the pages or `issueRefreshToken` read. */
  readonly extraParameters: readonly string[]
  /** Should the code that is about to be issued be worth a refresh token? */
  offline(parameters: Parameters, consentShown: boolean): boolean
}

export type Parameters = Readonly<Record<string, string | undefined>>

/** Where an authorization request stands. */
export type Outcome =
  /** The person has something to do: a page below the sandbox. */
  | { readonly kind: 'page'; readonly location: string; readonly cookies: readonly string[] }
  /** It is over, well or not: the app's redirect URI with `code` or `error`. */
  | {
      readonly kind: 'callback'
      readonly url: URL
      readonly cookies: readonly string[]
      /** What the code is worth; empty with an error. */
      readonly scope: string
      readonly consentShown: boolean
    }
  /** It cannot go back to the app. */
  | { readonly kind: 'refused'; readonly error: string; readonly description: string }

export interface TokenAnswer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  /** What exactly was wrong, in the words of `oidc-provider`; never sent outside. */
  readonly detail: string
}

/** What the person is asked. */
export interface Question {
  readonly uid: string
  readonly step: 'person' | 'consent'
  readonly person: Person | undefined
  readonly parameters: Parameters
  /** The scopes to consent to; what was granted before is left out unless consent is asked again. */
  readonly asked: readonly string[]
}

/** A token that is good. Times are the machine's, in seconds since 1970. */
export interface TokenState extends TokenOwner {
  readonly kind: 'access' | 'refresh'
  readonly issuedAt: number
  readonly expiresAt: number
}

export interface TokenOwner {
  readonly person: Person
  readonly clientId: string
  readonly scopes: readonly string[]
  readonly grantId: string | undefined
}

export interface TokenPair {
  readonly accessToken: string
  readonly refreshToken: string | undefined
}

/**
 * A real authorization server: the certified `oidc-provider`, called in-process. A dialect translates what goes in and what
 * comes out, so that the protocol's decisions are never ours and the provider's manners never the library's.
 */
export class AuthorizationServer {
  readonly dialect: AuthorizationDialect
  readonly #grants: GrantStore
  readonly #cookie: string
  readonly #open: () => Provider
  #opened:
    | { provider: Provider; handle: (request: IncomingMessage, response: ServerResponse) => Promise<void> }
    | undefined
  #lastToken: Promise<unknown> = Promise.resolve()

  constructor(dependencies: {
    dialect: AuthorizationDialect
    store: SandboxStore
    grants: GrantStore
    apps: AppRegistry
    log: SandboxLog | undefined
  }) {
    const { dialect, store, grants, apps, log } = dependencies
    this.dialect = dialect
    this.#grants = grants
    this.#cookie = `sandbox_${dialect.provider}`
    this.#open = () => this.#build({ store, apps, log })
  }

  // On first use: a sandbox that is asked for one provider does not pay for the signing keys of all.
  get #running() {
    if (this.#opened === undefined) {
      const provider = this.#open()
      this.#opened = { provider, handle: provider.callback() }
    }
    return this.#opened
  }

  get #provider(): Provider {
    return this.#running.provider
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#running.handle(request, response)
  }

  #build(dependencies: { store: SandboxStore; apps: AppRegistry; log: SandboxLog | undefined }): Provider {
    const { store, apps, log } = dependencies
    const { dialect } = this
    const grants = this.#grants
    const secret = (name: string) =>
      store.settingOr(`${dialect.provider}.${name}`, () => randomBytes(32).toString('base64url'))
    const configuration: Configuration = {
      adapter: (model: string) =>
        model === 'Client'
          ? { ...grants.adapter(model), find: async (id: string) => apps.metadataOf(dialect.provider, id) }
          : model === 'RefreshToken' && dialect.rotation === 'single_use'
            ? // A spent one that is kept makes the library end the whole family; forgotten, it is only refused.
              { ...grants.adapter(model), consume: async (id: string) => grants.destroy(model, id) }
            : grants.adapter(model),
      jwks: { keys: [JSON.parse(store.settingOr(`${dialect.provider}.jwk`, signingKey))] },
      cookies: {
        keys: [secret('cookieKey')],
        names: {
          session: this.#cookie,
          interaction: `${this.#cookie}_page`,
          resume: `${this.#cookie}_resume`,
        },
        long: { httpOnly: true, sameSite: 'lax', signed: true, path: dialect.paths.cookies },
        short: { httpOnly: true, sameSite: 'lax', signed: true },
      },
      routes: {
        authorization: dialect.paths.authorize,
        token: dialect.paths.token,
        jwks: dialect.paths.jwks,
      },
      features: {
        devInteractions: { enabled: false },
        rpInitiatedLogout: { enabled: false },
        userinfo: { enabled: false },
      },
      scopes: ['openid', ...dialect.scopes],
      claims: Object.fromEntries(
        Object.entries(dialect.claims).map(([scope, claims]) => [scope, [...claims]]),
      ),
      conformIdTokenClaims: false,
      // One clock on this machine: what has expired is refused at once.
      clockTolerance: 0,
      responseTypes: ['code'],
      pkce: { required: () => false },
      extraParams: [...dialect.extraParameters],
      findAccount: async (ctx, subject) => {
        const person = this.#person(subject)
        if (person === undefined) return undefined
        const clientId = ctx.oidc.client?.clientId ?? ''
        return {
          accountId: subject,
          claims: async () => ({ sub: subject, ...dialect.claimsOf(person, clientId) }),
        }
      },
      loadExistingGrant: async (ctx) => this.#existingGrant(ctx),
      interactions: {
        policy: policy(),
        url: (_ctx, interaction) => `${dialect.paths.consent}/${interaction.uid}`,
      },
      expiresWithSession: async () => false,
      rotateRefreshToken: dialect.rotation !== undefined,
      revokeGrantPolicy: () => false,
      issueRefreshToken: async (_ctx, _client, code) =>
        dialect.refreshTokens && grants.find('Offline', code.jti) !== undefined,
      ttl: {
        AccessToken: () =>
          typeof dialect.accessTokenSeconds === 'number'
            ? dialect.accessTokenSeconds
            : dialect.accessTokenSeconds(),
        AuthorizationCode: 600,
        Grant: tenYears,
        IdToken: 3600,
        Interaction: 3600,
        RefreshToken: dialect.refreshTokenSeconds ?? tenYears,
        Session: 14 * 24 * 3600,
      },
      renderError: async (ctx, out) => {
        ctx.body = out
      },
    }
    const provider = new Provider(dialect.issuer, configuration)
    const shape = (model: { prototype: object }, kind: 'code' | 'access' | 'refresh') => {
      const usual: unknown = Reflect.get(model.prototype, 'generateTokenId')
      Object.defineProperty(model.prototype, 'generateTokenId', {
        value: function mintInstead(this: object) {
          // The library settles the token's format on the way; only the id it makes is not wanted.
          if (typeof usual === 'function') Reflect.apply(usual, this, [])
          return dialect.mint(kind, String(Reflect.get(this, 'scope') ?? ''))
        },
      })
    }
    shape(provider.AuthorizationCode, 'code')
    shape(provider.AccessToken, 'access')
    shape(provider.RefreshToken, 'refresh')
    provider.on('grant.error', (ctx, error) => {
      ctx.set('x-sandbox-detail', String(error.error_detail ?? ''))
    })
    provider.on('authorization.success', (ctx, out) => {
      const code = out?.['code']
      if (typeof code !== 'string') return
      const consentShown = ctx.oidc.result?.consent !== undefined
      ctx.set('x-sandbox-consent', consentShown ? 'shown' : 'known')
      ctx.set('x-sandbox-scope', grants.find('AuthorizationCode', code)?.scope ?? '')
      if (dialect.offline(parametersOf(ctx.oidc.params ?? {}), consentShown)) {
        grants.save('Offline', code, { exp: Math.floor(Date.now() / 1000) + 600 })
      }
    })
    provider.on('server_error', (_ctx, error) => {
      log?.error({ provider: dialect.provider, err: error }, 'the sandbox authorization server failed')
    })
    return provider
  }

  /** A new authorization request. `forgetPerson`: the browser's session is not looked at, so that the person chooses again. */
  async begin(
    parameters: Parameters,
    cookie: string | undefined,
    options: { forgetPerson: boolean },
  ): Promise<Outcome> {
    const query = new URLSearchParams(
      Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== undefined),
    )
    const outcome = await this.#visit(
      `${this.dialect.paths.authorize}?${query}`,
      options.forgetPerson ? undefined : cookie,
    )
    if (!options.forgetPerson || outcome.kind === 'refused') return outcome
    const forgotten = [this.#cookie, `${this.#cookie}.sig`].map(
      (name) =>
        `${name}=; path=${this.dialect.paths.cookies}; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly`,
    )
    return { ...outcome, cookies: [...forgotten, ...outcome.cookies] }
  }

  /** On with a request whose page has been answered. */
  async resume(uid: string, cookie: string | undefined): Promise<Outcome> {
    return this.#visit(`${this.dialect.paths.authorize}/${encodeURIComponent(uid)}`, cookie)
  }

  /** The page that is open in this browser; undefined where there is none (any more). */
  async question(request: IncomingMessage, response: ServerResponse): Promise<Question | undefined> {
    const interaction = await this.#interaction(request, response)
    if (interaction === undefined) return undefined
    const parameters = parametersOf(interaction.params)
    const person = this.#person(interaction.session?.accountId)
    const consent = interaction.prompt.name === 'consent'
    const grant = interaction.grantId ? await this.#provider.Grant.find(interaction.grantId) : undefined
    const granted = grant?.getOIDCScope().split(' ') ?? []
    const requested = scopeList(parameters['scope'])
    const fresh = requested.filter((scope) => !granted.includes(scope))
    return {
      uid: interaction.uid,
      step: consent ? 'consent' : 'person',
      person,
      parameters,
      asked: scopeList(parameters['prompt']).includes('consent') ? requested : fresh,
    }
  }

  /** Where the browser goes on, below the sandbox; undefined where the page is no longer open. */
  async choosePerson(
    request: IncomingMessage,
    response: ServerResponse,
    person: Person,
  ): Promise<string | undefined> {
    return this.#answer(request, response, { login: { accountId: this.dialect.subjectOf(person) } })
  }

  /** Grants `scopes` to the app, on top of what it has. */
  async consent(
    request: IncomingMessage,
    response: ServerResponse,
    scopes: readonly string[],
  ): Promise<string | undefined> {
    const interaction = await this.#interaction(request, response)
    if (interaction?.session === undefined) return undefined
    const known = interaction.grantId ? await this.#provider.Grant.find(interaction.grantId) : undefined
    const grant =
      known ??
      new this.#provider.Grant({
        accountId: interaction.session.accountId,
        clientId: String(interaction.params['client_id']),
      })
    grant.addOIDCScope(scopes.join(' '))
    return this.#answer(request, response, { consent: { grantId: await grant.save() } })
  }

  async cancel(request: IncomingMessage, response: ServerResponse): Promise<string | undefined> {
    return this.#answer(request, response, { error: 'access_denied' })
  }

  async token(parameters: Parameters, authorization: string | undefined): Promise<TokenAnswer> {
    if (this.dialect.rotation === undefined) return this.#token(parameters, authorization)
    // The library reads a token and marks it used in two steps; one request at a time makes them one.
    const answer = this.#lastToken.then(() => this.#token(parameters, authorization))
    // Who asked hears of a failure; who comes next need not.
    this.#lastToken = answer.then(
      () => undefined,
      () => undefined,
    )
    return answer
  }

  async #token(parameters: Parameters, authorization: string | undefined): Promise<TokenAnswer> {
    const form = new URLSearchParams(
      Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== undefined),
    )
    const answer = await inject((request, response) => void this.#handle(request, response), {
      method: 'POST',
      url: this.dialect.paths.token,
      headers: {
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
        ...(authorization === undefined ? undefined : { authorization }),
      },
      payload: form.toString(),
    })
    if (answer.statusCode >= 500) throw new Error('The authorization server failed at its token endpoint.')
    return {
      status: answer.statusCode,
      body: answer.json<Record<string, unknown>>(),
      detail: String(answer.headers['x-sandbox-detail'] ?? ''),
    }
  }

  async jwks(): Promise<unknown> {
    const answer = await inject((request, response) => void this.#handle(request, response), {
      method: 'GET',
      url: this.dialect.paths.jwks,
    })
    return answer.json()
  }

  /** Who a live access token speaks for; undefined where it is unknown, expired or revoked. */
  async owner(accessToken: string): Promise<TokenOwner | undefined> {
    const token = await this.#provider.AccessToken.find(accessToken)
    const person = this.#person(token?.accountId)
    if (token === undefined || person === undefined) return undefined
    return {
      person,
      clientId: token.clientId ?? '',
      scopes: scopeList(token.scope),
      grantId: token.grantId,
    }
  }

  /** True for an access token that was alive once and has run out since. */
  async expired(accessToken: string): Promise<boolean> {
    return (
      this.#grants.find('AccessToken', accessToken) !== undefined &&
      (await this.#provider.AccessToken.find(accessToken)) === undefined
    )
  }

  /**
   * Splits what a code was worth: ends `accessToken` and gives a token of its own for each part of its scopes, as Slack does
   * for the bot and the person. `seconds` is the life of the access tokens; with `refresh` each comes with a refresh token.
   */
  async split(
    accessToken: string,
    scopes: readonly string[],
    options: { readonly seconds: number; readonly refresh: boolean },
  ): Promise<TokenPair[]> {
    const { AccessToken, RefreshToken, Client } = this.#provider
    const whole = await AccessToken.find(accessToken)
    const client = await Client.find(whole?.clientId ?? '')
    if (whole?.grantId === undefined || client === undefined) {
      throw new TypeError('Only a live access token can be split.')
    }
    const { accountId, grantId } = whole
    const pairs = scopes.map(async (scope): Promise<TokenPair> => {
      // The mark that an authorization leaves on its tokens: each part is one of its own.
      const sessionUid = randomUUID()
      const part = { client, accountId, grantId, scope, sessionUid, gty: 'authorization_code' }
      return {
        accessToken: await new AccessToken({ ...part, expiresIn: options.seconds }).save(),
        refreshToken: options.refresh ? await new RefreshToken(part).save() : undefined,
      }
    })
    this.revokeAccessToken(accessToken)
    return Promise.all(pairs)
  }

  /** A token for consent that was given elsewhere than on the pages of an authorization request. */
  async issue(person: Person, clientId: string, scopes: readonly string[]): Promise<string> {
    const { AccessToken, Client, Grant } = this.#provider
    const client = await Client.find(clientId)
    if (client === undefined) throw new TypeError('A token needs an app that it is for.')
    const accountId = this.dialect.subjectOf(person)
    const known = this.#grants.grantIdOf(accountId, clientId)
    const grant = (known && (await Grant.find(known))) || new Grant({ accountId, clientId })
    const scope = scopes.join(' ')
    grant.addOIDCScope(scope)
    const grantId = await grant.save()
    const { accessTokenSeconds: life } = this.dialect
    const part = { client, accountId, grantId, scope, sessionUid: randomUUID(), gty: 'device_code' }
    return await new AccessToken({ ...part, expiresIn: typeof life === 'number' ? life : life() }).save()
  }

  /** A token that no consent stands behind: an administrator has allowed the app to act for the person. */
  async assume(
    person: Person,
    clientId: string,
    scopes: readonly string[],
    seconds: number,
  ): Promise<string> {
    const { AccessToken, Client } = this.#provider
    const client = await Client.find(clientId)
    if (client === undefined) throw new TypeError('A token needs an app that it is for.')
    const accountId = this.dialect.subjectOf(person)
    const part = { client, accountId, grantId: randomUUID(), scope: scopes.join(' '), gty: 'jwt_bearer' }
    return await new AccessToken({ ...part, expiresIn: seconds }).save()
  }

  /** Kills the token and those that came with it or after it in the same authorization; others of the same grant live on. */
  revokeAuthorization(token: string): void {
    const payload = this.#grants.find('AccessToken', token) ?? this.#grants.find('RefreshToken', token)
    if (payload?.grantId === undefined || payload.sessionUid === undefined) return
    this.#grants.destroyAuthorization(payload.grantId, payload.sessionUid)
  }

  /** Kills the access tokens that were issued with or after this refresh token, in the same authorization. */
  revokeAccessTokensOf(refreshToken: string): void {
    const payload = this.#grants.find('RefreshToken', refreshToken)
    if (payload?.grantId === undefined || payload.sessionUid === undefined) return
    this.#grants.destroyAuthorization(payload.grantId, payload.sessionUid, 'AccessToken')
  }

  /** Access tokens of the same authorization as this refresh token: what a refresh takes the place of. */
  tokensBeside(refreshToken: string): string[] {
    const payload = this.#grants.find('RefreshToken', refreshToken)
    if (payload?.grantId === undefined || payload.sessionUid === undefined) return []
    return this.#grants.inAuthorization(payload.grantId, payload.sessionUid, 'AccessToken')
  }

  revokeRefreshToken(token: string): void {
    this.#grants.destroy('RefreshToken', token)
  }

  /** What a live token is worth; undefined where it is unknown, used up, expired or revoked. */
  stateOf(token: string): TokenState | undefined {
    const access = this.#grants.find('AccessToken', token)
    const payload = access ?? this.#grants.find('RefreshToken', token)
    const person = this.#person(payload?.accountId)
    if (payload === undefined || person === undefined || payload.consumed) return undefined
    const { exp = 0, iat = 0 } = payload
    if (exp <= Date.now() / 1000) return undefined
    return {
      kind: access === undefined ? 'refresh' : 'access',
      person,
      clientId: payload.clientId ?? '',
      scopes: scopeList(payload.scope),
      grantId: payload.grantId,
      issuedAt: iat,
      expiresAt: exp,
    }
  }

  /** One more refresh token worth what `token` is worth, which stays good; undefined where it is not (any more). */
  anotherRefreshToken(token: string): string | undefined {
    const payload = this.#grants.find('RefreshToken', token)
    if (payload === undefined) return undefined
    const minted = this.dialect.mint('refresh', payload.scope ?? '')
    const now = Math.floor(Date.now() / 1000)
    const exp = now + (this.dialect.refreshTokenSeconds ?? tenYears)
    this.#grants.save('RefreshToken', minted, { ...payload, jti: minted, iat: now, exp })
    return minted
  }

  /** From now on these people's tokens are good for being told to sign in afresh. Returns how many. */
  challenge(person: Person | undefined): number {
    return this.#grants.challenge(person === undefined ? undefined : this.dialect.subjectOf(person))
  }

  challenged(token: string): boolean {
    return ['ChallengedAccessToken', 'ChallengedRefreshToken'].some(
      (model) => this.#grants.find(model, token) !== undefined,
    )
  }

  /** The grant an access or refresh token was issued under, whether or not the token has expired. */
  grantOf(token: string): string | undefined {
    const payload = this.#grants.find('AccessToken', token) ?? this.#grants.find('RefreshToken', token)
    return payload?.grantId
  }

  /** Where the code was sent; for providers that do not want to hear it again. */
  redirectUriOf(code: string): string | undefined {
    return this.#grants.find('AuthorizationCode', code)?.redirectUri
  }

  revokeAccessToken(token: string): void {
    this.#grants.destroy('AccessToken', token)
  }

  /** As if the person withdrew their consent on the provider's own pages; everybody where nobody is named. */
  withdraw(person: Person | undefined): number {
    return this.#grants.revoke(person === undefined ? undefined : this.dialect.subjectOf(person))
  }

  /** The consent and every token under it. */
  revokeGrant(grantId: string): void {
    this.#grants.destroyTokens(grantId)
    this.#grants.destroy('Grant', grantId)
  }

  #person(subject: string | undefined): Person | undefined {
    return people.find((person) => this.dialect.subjectOf(person) === subject)
  }

  async #existingGrant(ctx: KoaContextWithOIDC) {
    const { client, session, params } = ctx.oidc
    if (client === undefined || session?.accountId === undefined || params === undefined) return undefined
    const grantId = this.#grants.grantIdOf(session.accountId, client.clientId)
    const grant = grantId === undefined ? undefined : await this.#provider.Grant.find(grantId)
    const parameters = parametersOf(params)
    const granted = scopeList(grant?.getOIDCScope())
    const widened = this.dialect.widen(scopeList(parameters['scope']), granted, parameters)
    params['scope'] = [...new Set(widened)].join(' ')
    return grant
  }

  async #visit(url: string, cookie: string | undefined): Promise<Outcome> {
    const answer = await inject((request, response) => void this.#handle(request, response), {
      method: 'GET',
      url,
      headers: { accept: 'application/json', ...(cookie === undefined ? undefined : { cookie }) },
    })
    const { location, 'set-cookie': set } = answer.headers
    if (location === undefined) {
      const { error, error_description: description } = answer.json<Record<string, unknown>>()
      return { kind: 'refused', error: String(error), description: String(description ?? '') }
    }
    const cookies = set === undefined ? [] : Array.isArray(set) ? set : [set]
    return location.startsWith('/')
      ? { kind: 'page', location, cookies }
      : {
          kind: 'callback',
          url: new URL(location),
          cookies,
          scope: String(answer.headers['x-sandbox-scope'] ?? ''),
          consentShown: answer.headers['x-sandbox-consent'] === 'shown',
        }
  }

  async #interaction(request: IncomingMessage, response: ServerResponse) {
    try {
      return await this.#provider.interactionDetails(request, response)
    } catch (thrown) {
      // The library's way to say that the page is no longer open; anything else is a fault of ours.
      if (thrown instanceof Error && thrown.name === 'SessionNotFound') return undefined
      throw thrown
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse, result: object) {
    if ((await this.#interaction(request, response)) === undefined) return undefined
    const returnTo = await this.#provider.interactionResult(request, response, { ...result })
    // The library believes to be reachable under the provider's own name; only the path is ours.
    return new URL(returnTo).pathname
  }
}

export function scopeList(scope: string | undefined): string[] {
  return (scope ?? '').split(/[\s,]+/).filter((part) => part !== '')
}

function parametersOf(source: object): Parameters {
  return Object.fromEntries(
    Object.entries(source).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

function signingKey(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return JSON.stringify({
    ...privateKey.export({ format: 'jwk' }),
    kid: randomBytes(20).toString('hex'),
    alg: 'RS256',
    use: 'sig',
  })
}

/**
 * The library's consent check counts a declined scope as settled for ever; the providers ask again when it is requested
 * again. So: consent is needed whenever something requested is not granted, once per request.
 */
function policy(): interactionPolicy.DefaultPolicy {
  const { base, Check, Prompt } = interactionPolicy
  const prompts = base()
  prompts.remove('consent')
  prompts.add(
    new Prompt(
      { name: 'consent', requestable: true },
      new Check('scopes_missing', 'requested scopes not granted', 'consent_required', (ctx) => {
        if (ctx.oidc.result?.consent !== undefined) return Check.NO_NEED_TO_PROMPT
        const granted = scopeList(ctx.oidc.entities.Grant?.getOIDCScope())
        const requested = scopeList(parametersOf(ctx.oidc.params ?? {})['scope'])
        return requested.some((scope) => !granted.includes(scope))
      }),
    ),
  )
  return prompts
}
