import type { FlowName } from '@atom/contract/connections.ts'
import type { AuthorizationServer } from 'oauth4webapi'
import type { Static, TSchema } from 'typebox'
import type { Secret } from '#foundation/secret.ts'
import type { ProviderFlows } from './provider-flows.ts'
import type { ProviderGuide } from './provider-guide.ts'

/** One thing that a person is asked to allow, in the provider's word and in theirs. */
interface ProviderScope {
  readonly scope: string
  readonly meaning: string
}

interface ProviderScopes {
  /** Between scopes in a request. */
  readonly separator: ' ' | ','
  /** Between scopes in an answer. */
  readonly answerSeparator: RegExp
  /** Asked for when nothing else is said. */
  readonly standard: readonly ProviderScope[]
  /** What else there are words for, to be asked for when a connection is widened. */
  readonly further?: readonly ProviderScope[]
  /** Asked for whatever is said, because the person cannot be recognised without. */
  readonly always: readonly string[]
  /** What a granted scope contains besides itself, as the provider documents it. */
  readonly contains: Readonly<Record<string, readonly string[]>>
  /** Given like the others, but never named in an answer. */
  readonly unsaid?: readonly string[]
  /** Put before its own scopes in an answer, and not needed in a request. */
  readonly answerPrefix?: string
  /** Whether a refresh has to name the scopes again. */
  readonly onRefresh?: boolean
}

/**
 * What an error code, of OAuth or of the API, means for whoever has to act.
 * `denied` the person said no · `operator` the app is wrong · `reconnect` the grant is gone · `reconsent` the person has to
 * allow more, or once more · `refresh` the access token is old · `retry` the provider is not well · `refused` anything else
 * it does not want.
 */
export type Verdict = 'denied' | 'operator' | 'reconnect' | 'reconsent' | 'refresh' | 'retry' | 'refused'

/** What one of the provider's error codes means, where the verdict alone says too little. */
interface ProviderTrouble {
  /** The person who connected it, an admin of their organisation there, or Atom's operator. */
  readonly whose: 'person' | 'admin' | 'operator'
  readonly action: 'reconnect' | 'allow_more' | 'ask_admin' | 'configure_app'
  /** In plain words, with the next step. */
  readonly reason: string
}

/**
 * What differs from connection to connection and is no secret: Microsoft's tenant, Salesforce's host. `{name}` in an address
 * of a provider file stands for it.
 */
export type Particulars = Readonly<Record<string, string>>

export interface Particular {
  readonly meaning: string
  /** All of a value that is believed, wherever it came from: an address is made of it. */
  readonly pattern: RegExp
  /** Holds until the provider or the person says another. */
  readonly standard?: string
  /** Whether the person may say it before connecting. */
  readonly askable?: boolean
  /** Whether the operator says it with the app; it then holds for every connection of that app. */
  readonly configurable?: boolean
  /** Whether the one who is asked for it may leave it out. */
  readonly optional?: boolean
  /** What a form calls it; its name where absent. */
  readonly label?: string
}

/**
 * How an app proves itself at the token endpoint (RFC 6749 2.3.1, RFC 7523 2.2, RFC 8705 2; `none`: a public client,
 * RFC 6749 2.1).
 */
export type ClientAuthentication =
  | 'client_secret_post'
  | 'client_secret_basic'
  | 'client_secret_jwt'
  | 'private_key_jwt'
  | 'tls_client_auth'
  | 'self_signed_tls_client_auth'
  | 'none'

export interface ProviderApi {
  /** Where a path without a host goes. */
  readonly base: string
  /** The only hosts that ever receive a credential, `base`'s among them; a path may begin with one of them. */
  readonly hosts: readonly string[]
  /** Its own paths may begin with something that looks like a host. */
  readonly dottedPaths?: true
  /** Sent with every request of the API unless the caller sends its own. */
  readonly headers: Readonly<Record<string, string>>
  /** An answer with this status is a failure where the JSON in it has this member, which then is an error code. */
  readonly failures?: { readonly status: number; readonly code: string }
  /** Members of its JSON that are addresses of the API, such as of the next page. */
  readonly links?: readonly string[]
  /** Header fields in which the provider tells how much may still be asked. */
  readonly rateLimit: {
    readonly remaining?: string
    /** Unix seconds. */
    readonly reset?: string
    readonly retryAfter: string
    /** Words in the body of a 403 that make it a limit reached, and not a lack of rights. */
    readonly said?: readonly string[]
  }
}

/** A person as the provider knows them. `id` never changes and is never a mail address. */
export interface ProviderIdentity {
  readonly id: string
  readonly name: string
  readonly handle?: string
  readonly email?: string
  /** Address of a picture. */
  readonly picture?: string
  /** What only asking tells of them. */
  readonly particulars?: Particulars
}

/** Reads the provider's API with the access token that is being looked at. */
export interface ProviderReader {
  /** @throws ProviderAnswer where the status is not 200 or the body is not of this shape */
  get<T extends TSchema>(url: string, shape: T): Promise<Static<T>>
  /** The same for an API that is only asked by POST. `body` goes as JSON; undefined sends none. */
  post<T extends TSchema>(url: string, body: object | undefined, shape: T): Promise<Static<T>>
  /** RFC 7662, with token and client in the form. */
  introspect<T extends TSchema>(url: string, shape: T): Promise<Static<T>>
  /** The person as the verified id_token names them (`subjectClaims`), where there is one. */
  readonly subject: string | undefined
  /** The same as `get`, with an assertion that the app signs with its own key in place of the token. */
  getAsApp<T extends TSchema>(url: string, shape: T): Promise<Static<T>>
  readonly granted: readonly string[]
  /** The app that asks. */
  readonly clientId: string
  readonly particulars: Particulars
}

interface ProviderRevocation {
  readonly particulars: Particulars
  readonly clientId: string
  readonly clientSecret: Secret
  readonly accessToken: Secret
  readonly refreshToken: Secret | undefined
}

interface RevocationRequest {
  readonly method: 'POST' | 'DELETE'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What a token answer holds besides RFC 6749's fields, and the claims of the verified id_token. */
export interface GrantFacts {
  readonly answer: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>> | undefined
  /** What the server says of itself, where it was discovered. */
  readonly metadata?: AuthorizationServer | undefined
}

/** A credential in a token answer, besides or instead of the one in RFC 6749's own fields. */
export interface SlotTokens {
  readonly accessToken: string
  readonly refreshToken: string | undefined
  /** Seconds. */
  readonly expiresIn: number | undefined
  readonly scope: string | undefined
}

/** One consent gives several credentials, each with a name, a life and scopes of its own. */
export interface ProviderSlots {
  /**
   * Of those besides the first: scopes that begin with `prefix` are its own, and are asked for, without it, in `parameter`.
   * `own`: it is the person's, also where a whole team shares the first (`sharedGrant`).
   */
  readonly others: Readonly<
    Record<string, { readonly prefix: string; readonly parameter: string; readonly own: boolean }>
  >
  /** The name of the credential in the answer's own fields, and what else is in it. */
  of(facts: GrantFacts): {
    readonly first: string
    readonly others: Readonly<Record<string, SlotTokens>>
  }
}

/**
 * A SaaS, described by data; addresses are the real ones, always. What cannot be data is one of six small functions:
 * `adapt`, `tokenAnswer`, `particularsOf`, `slots.of`, `identify`, `revocation`, `revoked`.
 */
export interface Provider {
  readonly id: string
  readonly name: string
  /** Where an operator creates the app. */
  readonly appConsoleUrl: string
  readonly guide: ProviderGuide
  /** `iss` of authorization answers (RFC 9207) and of id_tokens. */
  readonly issuer: string
  readonly endpoints: {
    readonly authorization: string
    readonly token: string
    /** JWK set that signs id_tokens; with it, the flow asks for an id_token and verifies it. */
    readonly jwks?: string
    /** Where refreshes go instead of `token`. */
    readonly refresh?: string
    /** RFC 9126; with it, the browser carries a reference and none of the request. */
    readonly pushed?: string
    /** RFC 7009. `revocation` is for providers that do it in another way. */
    readonly revocation?: string
  }
  /**
   * Where endpoints are not written here but read from the server, under `issuer`: `openid` OpenID Connect Discovery 1.0,
   * `resource` by asking the API itself (RFC 9728), then its authorization server (RFC 8414), with which Atom registers
   * itself where no operator did (RFC 7591). `endpoints` are empty then.
   */
  readonly discovery?: 'openid' | 'resource'
  /** What a server that was discovered says of itself. */
  readonly metadata?: AuthorizationServer
  /** Whether its authorization answers always carry `iss`, so that one without is refused (RFC 9207 2.4). */
  readonly namesIssuer?: boolean
  /** RFC 8707: whose tokens these are to be. */
  readonly resource?: string
  /** RFC 9449: tokens are bound to a key of the connection, and so are of no use to whoever steals them. */
  readonly dpop?: boolean
  /** `iss` of id_tokens where it depends on their claims: `{tid}` stands for the claim. */
  readonly idTokenIssuer?: string
  /** Claims that together name the person; `sub` where absent. */
  readonly subjectClaims?: readonly string[]
  readonly particulars?: Readonly<Record<string, Particular>>
  /** The particular that everyone of one installation has in common, where they also share one grant. */
  readonly sharedGrant?: string
  /** Each consent is a grant of its own, also of those whom the provider does not tell apart. */
  readonly ownGrants?: boolean
  /** Absent where a consent gives one credential, as nearly everywhere. */
  readonly slots?: ProviderSlots
  /** How the app proves itself at the token endpoint, unless it has a key that can be used there. */
  readonly clientAuthentication: ClientAuthentication
  /**
   * Apps may prove themselves by a private key instead of the secret; whom the assertion has to name as its audience.
   * `unlessSecret`: not where there is a secret as well, because the key may be for something else.
   */
  readonly keyAssertion?: { readonly audience: 'issuer' | 'token_endpoint'; readonly unlessSecret?: true }
  /**
   * The private key that an operator may enter with the app; what it is for. `presented`: it may come with its certificate,
   * which the app then shows in the handshake with the server and its API (RFC 8705).
   */
  readonly appKey?: { readonly meaning: string; readonly required?: boolean; readonly presented?: true }
  /** How the token endpoint wants its requests; RFC 6749 knows forms only. */
  readonly tokenRequest?: 'form' | 'json'
  /** RFC 7636. Where it is off, why. */
  readonly pkce: 'S256' | { readonly off: string }
  /** Further parameters of the authorization request. */
  readonly authorizationExtras: Readonly<Record<string, string>>
  /** Ways to connect besides the authorization code. */
  readonly flows?: ProviderFlows
  /**
   * Further parameters that ask for the account of a connection instead of any: `{email}`, `{handle}` and particulars stand
   * for what is known of it. A parameter whose value is not known, or is empty, is left out.
   */
  readonly accountHint?: Readonly<Record<string, string>>
  /** What else is different with a flow, whose access may be nobody's, or no token at all. */
  readonly byFlow?: Readonly<Partial<Record<FlowName, FlowDifference>>>
  readonly scopes: ProviderScopes
  /** `single_use`: every refresh answers with the next token and ends the old one. */
  readonly refreshTokens: 'lasting' | 'single_use'
  /** Days without a refresh after which the refresh token ends; Atom uses it before. Absent where none is documented. */
  readonly idleLimitDays?: number
  /** OAuth error codes beyond RFC 6749's, or with another meaning here. */
  readonly errors: Readonly<Record<string, Verdict>>
  /** Of error codes that end an access or keep it from being renewed: whose job it is, and why. */
  readonly troubles?: Readonly<Record<string, ProviderTrouble>>
  readonly api: ProviderApi
  /** What disconnecting leaves behind or takes along, for the receipt. */
  readonly afterRevocation: string
  /** What is still there after a revocation that succeeded: until the access token expires, or until a person ends it. */
  readonly remains?: readonly { readonly what: string; readonly until: 'access_token' | 'person' }[]
  /** What the particulars change besides addresses, where the operator or the person describes the server. */
  adapt?(particulars: Particulars): Partial<Provider>
  /** Makes a token answer one that RFC 6749 5.1 and 5.2 would recognise. */
  tokenAnswer?(response: Response): Promise<Response>
  /** What this grant says of `particulars`. */
  particularsOf?(facts: GrantFacts): Readonly<Record<string, string | undefined>>
  identify(reader: ProviderReader): Promise<ProviderIdentity>
  /** Absent where the provider has no way to end a grant; undefined where there is none for these tokens. */
  revocation?(tokens: ProviderRevocation): RevocationRequest | undefined
  /** Whether this answer to the revocation means that the grant is gone. */
  revoked?(status: number, body: string): boolean
}

/** A provider as one of its flows knows it. */
interface FlowDifference {
  readonly api?: ProviderApi
  /** How the access ends; all of it, because nothing of the other's would hold. */
  readonly ending?: Pick<Provider, 'afterRevocation' | 'revocation' | 'revoked' | 'sharedGrant' | 'remains'>
  identify?(reader: ProviderReader): Promise<ProviderIdentity>
}

/** The provider answered, but not with what was asked for. */
export class ProviderAnswer extends Error {
  override readonly name = 'ProviderAnswer'
  readonly status: number

  constructor(status: number, what: string) {
    super(`${what} (status ${status})`)
    this.status = status
  }
}

/** RFC 6749 4.1.2.1 and 5.2, RFC 7009, OpenID Connect Core 3.1.2.6. */
const standardErrors: Readonly<Record<string, Verdict>> = {
  access_denied: 'denied',
  invalid_client: 'operator',
  unauthorized_client: 'operator',
  unsupported_grant_type: 'operator',
  unsupported_response_type: 'operator',
  invalid_redirect_uri: 'operator',
  invalid_scope: 'operator',
  invalid_grant: 'reconnect',
  interaction_required: 'reconnect',
  login_required: 'reconnect',
  consent_required: 'reconsent',
  insufficient_scope: 'reconsent',
  server_error: 'retry',
  temporarily_unavailable: 'retry',
}

export function verdictOf(provider: Provider, error: string): Verdict {
  for (const table of [provider.errors, standardErrors]) {
    if (Object.hasOwn(table, error)) return table[error] ?? 'refused'
  }
  return 'refused'
}

/** What was asked for and is not among what was granted. */
export function missingScopes(
  provider: Provider,
  asked: readonly string[],
  granted: readonly string[],
): readonly string[] {
  const { contains, unsaid = [] } = provider.scopes
  const held = new Set([...granted, ...unsaid])
  // A set iterates over what is added while it is walked: contained scopes may contain others.
  for (const scope of held) {
    const contained = Object.hasOwn(contains, scope) ? contains[scope] : undefined
    for (const inner of contained ?? []) held.add(inner)
  }
  return asked.filter((scope) => !held.has(scope))
}

/** The parameters of an authorization request that name these scopes. */
export function scopeParameters(
  { scopes: { separator }, slots }: Provider,
  asked: readonly string[],
): Readonly<Record<string, string>> {
  const named: Record<string, string[]> = {}
  for (const scope of asked) {
    const slot = Object.values(slots?.others ?? {}).find(({ prefix }) => scope.startsWith(prefix))
    const parameter = slot?.parameter ?? 'scope'
    named[parameter] = [...(named[parameter] ?? []), scope.slice(slot?.prefix.length ?? 0)]
  }
  return Object.fromEntries(Object.entries(named).map(([name, scopes]) => [name, scopes.join(separator)]))
}

/** The scopes that an answer names, as a request would name them. */
export function scopesIn(provider: Provider, answer: string): readonly string[] {
  const { answerSeparator, answerPrefix = '' } = provider.scopes
  return answer
    .split(answerSeparator)
    .filter((scope) => scope !== '')
    .map((scope) => (scope.startsWith(answerPrefix) ? scope.slice(answerPrefix.length) : scope))
}

/** The provider as a flow knows it. */
export function forFlow(provider: Provider, flow: FlowName): Provider {
  const difference = provider.byFlow?.[flow]
  if (difference === undefined) return provider
  const { ending, ...others } = difference
  const { revocation: _how, revoked: _when, sharedGrant: _whose, remains: _what, ...rest } = provider
  return { ...(ending === undefined ? provider : rest), ...ending, ...others }
}

/** The provider with the particulars of one connection in its addresses. What is not known yet stays open. */
export function settled(provider: Provider, particulars: Particulars): Provider {
  const declared = provider.particulars
  if (declared === undefined) return provider
  const known = { ...standardParticulars(provider), ...particulars }
  const fill = (address: string) => filled(address, known)
  const { authorization, token, ...others } = provider.endpoints
  return {
    ...provider,
    issuer: fill(provider.issuer),
    endpoints: {
      authorization: fill(authorization),
      token: fill(token),
      ...Object.fromEntries(Object.entries(others).map(([name, address]) => [name, fill(address)])),
    },
    api: { ...provider.api, base: fill(provider.api.base), hosts: provider.api.hosts.map(fill) },
    ...provider.adapt?.(known),
  }
}

export function standardParticulars(provider: Provider): Particulars {
  return Object.fromEntries(
    Object.entries(provider.particulars ?? {}).flatMap(([name, { standard }]) =>
      standard === undefined ? [] : [[name, standard]],
    ),
  )
}

/** What is asked for when nothing else is said. */
export function standardScopes({ scopes }: Provider): readonly string[] {
  return scopes.standard.map(({ scope }) => scope)
}

/** Names of the values that are none of this provider's, or not of the form that it gives them. */
export function unfitParticulars(provider: Provider, values: Particulars): readonly string[] {
  const declared = provider.particulars ?? {}
  return Object.entries(values)
    .filter(([name, value]) => !Object.hasOwn(declared, name) || !declared[name]?.pattern.test(value))
    .map(([name]) => name)
}

/** `{name}` replaced where `values` has it. */
export function filled(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (open, name: string) =>
    Object.hasOwn(values, name) ? (values[name] ?? open) : open,
  )
}
