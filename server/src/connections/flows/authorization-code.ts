import { createHash } from 'node:crypto'
import * as oauth from 'oauth4webapi'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { fingerprint, newId, randomToken } from '#foundation/ids.ts'
import { Secret } from '#foundation/secret.ts'
import {
  filled,
  type Particulars,
  type Provider,
  scopeParameters,
  type Verdict,
  verdictOf,
} from '#providers/provider.ts'
import { placed } from '#providers/stand-in.ts'
import type { App, Apps } from '../apps.ts'
import { type DpopProofs, newDpopKey } from '../authorization-server/dpop.ts'
import {
  authorizationServer,
  type Grant,
  GrantOutage,
  GrantRefused,
  type TokenEndpoint,
} from '../authorization-server/token-endpoint.ts'
import type { ConnectionRow } from '../connection-store.ts'
import type { CredentialVault } from '../credential-vault.ts'
import { particularsToAsk, scopesToAsk } from './asked-for.ts'
import { requireParticulars } from './flow-needs.ts'
import type { FlowRow, FlowStore } from './flow-store.ts'

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

/** Who begins a flow. */
export interface FlowPerson {
  readonly workspaceId: string
  readonly accountId: string
  readonly sessionId: string
}

export interface FlowWish {
  readonly provider: string
  readonly scopes?: readonly string[] | undefined
  readonly particulars?: Particulars | undefined
  readonly returnTo?: string | undefined
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
  readonly #store: FlowStore
  readonly #vault: CredentialVault
  readonly #apps: Apps
  readonly #tokenEndpoint: TokenEndpoint
  readonly #proofs: DpopProofs
  readonly #sessionEnded: (sessionId: string) => boolean
  readonly #clock: Clock

  constructor(dependencies: {
    store: FlowStore
    vault: CredentialVault
    apps: Apps
    tokenEndpoint: TokenEndpoint
    proofs: DpopProofs
    sessionEnded: (sessionId: string) => boolean
    clock: Clock
  }) {
    this.#store = dependencies.store
    this.#vault = dependencies.vault
    this.#apps = dependencies.apps
    this.#tokenEndpoint = dependencies.tokenEndpoint
    this.#proofs = dependencies.proofs
    this.#sessionEnded = dependencies.sessionEnded
    this.#clock = dependencies.clock
  }

  /**
   * @param target the connection that consent is given for anew
   * @throws AtomError `provider_unknown` | `provider_not_configured` | `return_to_refused` | `validation_failed` and, where the
   * server is asked first, `provider_unavailable` | `provider_misconfigured` | `provider_refused`
   */
  async begin(
    person: FlowPerson,
    wish: FlowWish,
    flow: 'authorization_code' | 'app_installation' = 'authorization_code',
    target?: ConnectionRow,
  ): Promise<BegunFlow> {
    const returnTo = localPath(wish.returnTo ?? '/connections')
    const known = this.#apps.provider(wish.provider)
    const asked = particularsToAsk(known, wish, target)
    const app =
      target === undefined
        ? await this.#apps.current(person, wish.provider, asked, flow)
        : await this.#apps.again(person, { ...target, flow, particulars: asked })
    const { provider } = app
    requireParticulars(provider, flow, app.particulars)
    const redirectUri = this.#apps.redirectUri(provider)
    const installed = installationRequest(app, redirectUri)
    const scopes = installed?.scopes ?? scopesToAsk(app, wish, target)
    const state = randomToken()
    const browser = randomToken()
    const dpopKey = provider.dpop === true ? await newDpopKey() : undefined
    const secrets = {
      codeVerifier: oauth.generateRandomCodeVerifier(),
      nonce: randomToken(),
      ...(dpopKey !== undefined && { dpopKey: dpopKey.reveal() }),
    }
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
      ...(asksIdToken(provider, scopes) && { nonce: secrets.nonce }),
      ...(provider.resource !== undefined && { resource: provider.resource }),
      // RFC 9449 10: the code too is then of use to the holder of the key only.
      ...(dpopKey !== undefined && { dpop_jkt: await this.#proofs.thumbprint(dpopKey) }),
      ...provider.authorizationExtras,
      ...(target && accountHint(provider, target)),
    }
    const carried =
      installed === undefined
        ? await this.#pushed(app, withoutEmpty(parameters), dpopKey)
        : { ...installed.parameters, state }
    const id = newId()
    const createdAt = this.#clock.now()
    await this.#store.beginFlow({
      id,
      connectionId: target?.id ?? null,
      workspaceId: person.workspaceId,
      accountId: person.accountId,
      sessionId: person.sessionId,
      provider: provider.id,
      flow,
      appId: app.id,
      clientId: app.clientId,
      stateHash: fingerprint(state),
      browserHash: fingerprint(browser),
      redirectUri,
      returnTo,
      scopes,
      particulars: app.particulars,
      ...(await this.#vault.sealFlow({ workspaceId: person.workspaceId, flowId: id }, secrets)),
      createdAt,
      expiresAt: new Date(createdAt.getTime() + flowLifeMs),
    })
    const url = placed(installed?.address ?? provider.endpoints.authorization, app.standIns)
    for (const [name, value] of Object.entries(carried)) url.searchParams.set(name, value)
    return {
      flowId: id,
      authorizeUrl: url.href,
      cookie: { name: cookieName(state), value: browser, maxAgeSeconds: flowLifeMs / 1000 },
    }
  }

  /** What the browser carries: the request, or a reference to it where the server has taken it beforehand (RFC 9126 4). */
  async #pushed(
    app: App,
    parameters: Readonly<Record<string, string>>,
    dpopKey: Secret | undefined,
  ): Promise<Readonly<Record<string, string>>> {
    if (app.provider.endpoints.pushed === undefined) return parameters
    try {
      const requestUri = await this.#tokenEndpoint.push(app, parameters, dpopKey)
      return { client_id: app.clientId, request_uri: requestUri }
    } catch (error) {
      throw await this.#outward(app, error)
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
   * @throws AtomError `flow_invalid` | `flow_expired` | `flow_used` | `flow_other_browser` | `flow_signed_out` |
   * `provider_unknown`
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
    // Whoever signed out, or was signed out, before coming back: nobody is there any more to connect an account for.
    if (flow.sessionId !== null && this.#sessionEnded(flow.sessionId)) throw new AtomError('flow_signed_out')
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
      if (thrown instanceof oauth.AuthorizationResponseError)
        throw refusal(app, verdictOf(provider, thrown.error), thrown.error)
      throw new AtomError('provider_refused', 'The answer is not one of this provider to this request.')
    }
    const { codeVerifier, nonce, dpopKey } = secrets
    try {
      return await this.#tokenEndpoint.exchange(app, {
        parameters,
        redirectUri: flow.redirectUri,
        codeVerifier,
        nonce,
        openid: asksIdToken(provider, flow.scopes),
        dpopKey: dpopKey === undefined ? undefined : new Secret(dpopKey),
      })
    } catch (error) {
      throw await this.#outward(app, error)
    }
  }

  /** What went wrong at the server, as its person is told. */
  async #outward(app: App, error: unknown): Promise<unknown> {
    const { name } = app.provider
    if (error instanceof GrantOutage) {
      return new AtomError('provider_unavailable', `${name} did not answer. Start connecting again.`, {
        cause: error,
      })
    }
    if (!(error instanceof GrantRefused)) return error
    if (error.error === 'invalid_client') await this.#apps.disowned(app)
    return refusal(app, error.verdict, error.error, error)
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

/** Where the browser goes to install an app; undefined where that is an ordinary consent. */
function installationRequest(
  app: App,
  redirectUri: string,
): { address: string; parameters: Readonly<Record<string, string>>; scopes: readonly string[] } | undefined {
  const installation = app.flow === 'app_installation' ? app.provider.flows?.app_installation : undefined
  if (installation === undefined || installation.by === 'consent') return undefined
  const values = { ...app.particulars, clientId: app.clientId, redirectUri }
  const parameters = Object.entries(installation.parameters).map(([name, text]) => [
    name,
    filled(text, values),
  ])
  return {
    address: filled(installation.address, values),
    parameters: Object.fromEntries(parameters),
    // What an installation may do was set with the app: nothing is asked for one by one.
    scopes: installation.by === 'admin' ? installation.scopes : [],
  }
}

/** Whether an id_token is asked for: where one is always given, or where its scope is among those wished for. */
function asksIdToken(provider: Provider, scopes: readonly string[]): boolean {
  if (provider.endpoints.jwks === undefined) return false
  return provider.metadata === undefined || scopes.includes('openid')
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
export function refusal(app: App, verdict: Verdict, error: string, cause?: Error): AtomError {
  const { provider } = app
  const circumstances = cause === undefined ? {} : { cause }
  switch (verdict) {
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

/** A parameter that a hint made empty is not sent at all. */
function withoutEmpty(parameters: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== ''))
}
