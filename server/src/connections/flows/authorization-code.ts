import { createHash } from 'node:crypto'
import * as oauth from 'oauth4webapi'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { fingerprint, newId, randomToken } from '#foundation/ids.ts'
import { filled, type Particulars, type Provider, scopeParameters, verdictOf } from '#providers/provider.ts'
import { placed } from '#providers/stand-in.ts'
import { type App, type Apps, askedParticulars, withAlways } from '../apps.ts'
import type { ConnectionRow, ConnectionStore, FlowRow } from '../connection-store.ts'
import type { CredentialVault } from '../credential-vault.ts'
import {
  authorizationServer,
  type Grant,
  GrantOutage,
  GrantRefused,
  type TokenEndpoint,
} from '../token-endpoint.ts'

const flowLifeMs = 10 * 60 * 1000
const cookiePrefix = 'atom_flow_'

/** What the browser keeps until it comes back: proof that the one who finishes is the one who began. */
interface FlowCookie {
  readonly name: string
  readonly value: string
  readonly maxAgeSeconds: number
}

export interface BegunFlow {
  readonly flowId: string
  readonly authorizeUrl: string
  readonly cookie: FlowCookie
}

export interface FlowWish {
  readonly provider: string
  readonly scopes?: readonly string[] | undefined
  readonly particulars?: Particulars | undefined
  readonly returnTo?: string | undefined
  /** Consent for this connection; the caller has seen that it is the person's. */
  readonly connectionId?: string | undefined
}

export interface Callback {
  readonly provider: string
  /** The query of the redirect URI, as the browser brought it. */
  readonly parameters: URLSearchParams
  readonly cookies: Readonly<Record<string, string | undefined>>
}

/** A callback that belongs to a flow, which is thereby used up. */
export interface TakenFlow {
  readonly flow: FlowRow
  readonly app: App
}

/** The authorization code flow with PKCE (RFC 6749 4.1, RFC 7636), hardened as RFC 9700 asks. */
export class AuthorizationCodeFlow {
  readonly #store: ConnectionStore
  readonly #vault: CredentialVault
  readonly #apps: Apps
  readonly #tokenEndpoint: TokenEndpoint
  readonly #clock: Clock

  constructor(dependencies: {
    store: ConnectionStore
    vault: CredentialVault
    apps: Apps
    tokenEndpoint: TokenEndpoint
    clock: Clock
  }) {
    this.#store = dependencies.store
    this.#vault = dependencies.vault
    this.#apps = dependencies.apps
    this.#tokenEndpoint = dependencies.tokenEndpoint
    this.#clock = dependencies.clock
  }

  /** @throws AtomError `provider_unknown` | `provider_not_configured` | `return_to_refused` | `validation_failed` */
  async begin(
    person: { workspaceId: string; accountId: string },
    wish: FlowWish,
    target?: ConnectionRow,
  ): Promise<BegunFlow> {
    const returnTo = localPath(wish.returnTo ?? '/connections')
    const particulars = askedParticulars(this.#apps.provider(wish.provider), {
      ...(target && askableOf(this.#apps.provider(wish.provider), target.particulars)),
      ...wish.particulars,
    })
    const app =
      target === undefined
        ? await this.#apps.current(person.workspaceId, wish.provider, particulars)
        : await this.#apps.again({ ...target, flow: 'authorization_code', particulars })
    const { provider } = app
    const scopes = scopesToAsk(app, wish, target)
    const state = randomToken()
    const browser = randomToken()
    const secrets = { codeVerifier: oauth.generateRandomCodeVerifier(), nonce: randomToken() }
    const id = newId()
    const redirectUri = this.#apps.redirectUri(provider)
    const createdAt = this.#clock.now()
    await this.#store.beginFlow({
      id,
      connectionId: target?.id ?? null,
      workspaceId: person.workspaceId,
      accountId: person.accountId,
      provider: provider.id,
      flow: 'authorization_code',
      appId: app.id,
      clientId: app.clientId,
      stateHash: fingerprint(state),
      browserHash: fingerprint(browser),
      redirectUri,
      returnTo,
      scopes,
      particulars,
      ...(await this.#vault.sealFlow({ workspaceId: person.workspaceId, flowId: id }, secrets)),
      createdAt,
      expiresAt: new Date(createdAt.getTime() + flowLifeMs),
    })
    const url = placed(provider.endpoints.authorization, app.standIns)
    const parameters = {
      response_type: 'code',
      client_id: app.clientId,
      redirect_uri: redirectUri,
      ...scopeParameters(provider, scopes),
      state,
      ...(provider.pkce === 'S256' && {
        code_challenge: await oauth.calculatePKCECodeChallenge(secrets.codeVerifier),
        code_challenge_method: 'S256',
      }),
      ...(provider.endpoints.jwks !== undefined && { nonce: secrets.nonce }),
      ...provider.authorizationExtras,
      ...(target && accountHint(provider, target)),
    }
    for (const [name, value] of Object.entries(parameters)) {
      if (value === '') url.searchParams.delete(name)
      else url.searchParams.set(name, value)
    }
    return {
      flowId: id,
      authorizeUrl: url.href,
      cookie: { name: cookieName(state), value: browser, maxAgeSeconds: flowLifeMs / 1000 },
    }
  }

  /** Name of the cookie that binds the flow of this callback. */
  cookieOf(callback: Callback): string | undefined {
    const state = callback.parameters.get('state')
    return state === null ? undefined : cookieName(state)
  }

  /** Where the person wanted to go afterwards; undefined where the callback belongs to no flow of this browser. */
  async returnTo(callback: Callback): Promise<string | undefined> {
    const state = callback.parameters.get('state')
    const flow = state === null ? undefined : await this.#store.flowWithState(fingerprint(state))
    return flow?.browserHash === browserHash(callback) ? flow.returnTo : undefined
  }

  /**
   * Takes the flow that a callback belongs to, once, whatever comes of it.
   * @throws AtomError `flow_invalid` | `flow_expired` | `flow_used` | `flow_other_browser` | `provider_unknown`
   */
  async take(callback: Callback): Promise<TakenFlow> {
    const provider = this.#apps.provider(callback.provider)
    const state = callback.parameters.get('state')
    if (state === null) throw new AtomError('flow_invalid')
    const stateHash = fingerprint(state)
    const at = this.#clock.now()
    const flow = await this.#store.takeFlow({
      stateHash,
      browserHash: browserHash(callback),
      provider: provider.id,
      redirectUri: this.#apps.redirectUri(provider),
      at,
    })
    if (flow === undefined) throw await this.#whyNot(callback, stateHash, at)
    return { flow, app: await this.#apps.of(flow) }
  }

  /**
   * Judges what the provider sent along and exchanges the code.
   * @throws AtomError `consent_denied` | `provider_refused` | `provider_misconfigured` | `provider_unavailable`
   */
  async exchange({ flow, app }: TakenFlow, callback: Callback): Promise<Grant> {
    const { provider } = app
    const secrets = await this.#vault.openFlow({ workspaceId: flow.workspaceId, flowId: flow.id }, flow)
    const client = this.#tokenEndpoint.client(app)
    let parameters: URLSearchParams
    try {
      // Checks `iss` where given (RFC 9207), state once more, and that there is a code and no error.
      parameters = oauth.validateAuthResponse(
        authorizationServer(provider),
        client,
        callback.parameters,
        callback.parameters.get('state') ?? '',
      )
    } catch (thrown) {
      if (thrown instanceof oauth.AuthorizationResponseError) throw refusal(app, thrown.error)
      throw new AtomError('provider_refused', 'The answer is not one of this provider to this request.')
    }
    try {
      return await this.#tokenEndpoint.exchange(app, {
        parameters,
        redirectUri: flow.redirectUri,
        ...secrets,
      })
    } catch (error) {
      if (error instanceof GrantOutage) {
        throw new AtomError(
          'provider_unavailable',
          `${provider.name} did not answer. Start connecting again.`,
          {
            cause: error,
          },
        )
      }
      if (error instanceof GrantRefused) throw refusal(app, error.error, error)
      throw error
    }
  }

  async #whyNot(callback: Callback, stateHash: string, at: Date): Promise<AtomError> {
    const flow = await this.#store.flowWithState(stateHash)
    if (flow === undefined || flow.provider !== callback.provider) return new AtomError('flow_invalid')
    if (flow.browserHash !== browserHash(callback)) return new AtomError('flow_other_browser')
    if (flow.used) return new AtomError('flow_used')
    if (flow.expiresAt <= at) return new AtomError('flow_expired')
    return new AtomError(
      'flow_invalid',
      'The address of this server has changed meanwhile. Start connecting again.',
    )
  }
}

/** One cookie per flow: two tabs that connect at once do not take each other's away. */
function cookieName(state: string): string {
  return cookiePrefix + createHash('sha256').update(`cookie ${state}`).digest('hex').slice(0, 16)
}

function browserHash(callback: Callback): string {
  const state = callback.parameters.get('state')
  return fingerprint((state === null ? undefined : callback.cookies[cookieName(state)]) ?? '')
}

/** What a provider's refusal means for whoever wanted to connect. */
export function refusal(app: App, error: string, cause?: Error): AtomError {
  const { provider } = app
  const circumstances = cause === undefined ? {} : { cause }
  switch (verdictOf(provider, error)) {
    case 'denied':
      return new AtomError('consent_denied', undefined, circumstances)
    case 'operator':
      return new AtomError('provider_misconfigured', undefined, circumstances)
    case 'retry':
      return new AtomError('provider_unavailable', undefined, circumstances)
    default:
      return new AtomError(
        'provider_refused',
        /^[\w.:-]{1,80}$/.test(error)
          ? `${provider.name} answered “${error}”. Start connecting again.`
          : undefined,
        circumstances,
      )
  }
}

/**
 * A path of this server, as the browser will read it (RFC 9700 4.11).
 * @throws AtomError `return_to_refused` for anything that could lead elsewhere
 */
export function localPath(text: string): string {
  const here = 'http://atom.invalid'
  const plain = text.startsWith('/') && !/^\/[/\\]|[\\\p{Cc}]/u.test(text)
  const url = plain && URL.canParse(text, here) ? new URL(text, here) : undefined
  if (url === undefined || url.origin !== here || url.pathname.startsWith('//')) {
    throw new AtomError('return_to_refused')
  }
  return `${url.pathname}${url.search}${url.hash}`
}

/** What the person said of them before consent, or could have: what only the provider says, it says again. */
function askableOf(provider: Provider, particulars: Particulars): Particulars {
  return Object.fromEntries(
    Object.entries(particulars).filter(([name]) => provider.particulars?.[name]?.askable === true),
  )
}

/** Asked anew, a connection is asked for what it was asked for before, and for what is wished besides. */
function scopesToAsk(app: App, wish: FlowWish, target: ConnectionRow | undefined): readonly string[] {
  if (target === undefined)
    return wish.scopes === undefined ? app.scopes : withAlways(app.provider, wish.scopes)
  return withAlways(app.provider, [...target.askedScopes, ...(wish.scopes ?? [])])
}

/** Parameters that make the provider offer the account of this connection; an empty one takes a standard one away. */
function accountHint(
  provider: Provider,
  { identity, particulars }: ConnectionRow,
): Readonly<Record<string, string>> {
  const { email = '', handle = '' } = identity
  const known = { email, handle, ...particulars }
  return Object.fromEntries(
    Object.entries(provider.accountHint ?? {}).map(([name, template]) => {
      const value = filled(template, known)
      return [name, /[{}]/.test(value) ? '' : value]
    }),
  )
}
