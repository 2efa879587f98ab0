import type { Static, TSchema } from 'typebox'
import type { Secret } from '#foundation/secret.ts'

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
  /** Asked for whatever is said, because the person cannot be recognised without. */
  readonly always: readonly string[]
  /** What a granted scope contains besides itself, as the provider documents it. */
  readonly contains: Readonly<Record<string, readonly string[]>>
}

/**
 * What an OAuth error code means for whoever has to act.
 * `denied` the person said no · `operator` the app is wrong · `reconnect` the grant is gone · `retry` the provider is not
 * well · `refused` anything else it does not want.
 */
export type Verdict = 'denied' | 'operator' | 'reconnect' | 'retry' | 'refused'

export interface ProviderApi {
  /** Where a path without a host goes. */
  readonly base: string
  /** The only hosts that ever receive a credential, `base`'s among them; a path may begin with one of them. */
  readonly hosts: readonly string[]
  /** Sent with every request of the API unless the caller sends its own. */
  readonly headers: Readonly<Record<string, string>>
  /** Header fields in which the provider tells how much may still be asked. */
  readonly rateLimit: {
    readonly remaining?: string
    /** Unix seconds. */
    readonly reset?: string
    readonly retryAfter: string
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
}

/** Reads the provider's API with the access token that is being looked at. */
export interface ProviderReader {
  /** @throws ProviderAnswer where the status is not 200 or the body is not of this shape */
  get<T extends TSchema>(url: string, shape: T): Promise<Static<T>>
  /** `sub` of the verified id_token, where there is one. */
  readonly subject: string | undefined
  readonly granted: readonly string[]
}

interface ProviderRevocation {
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

/**
 * A SaaS, described by data; addresses are the real ones, always. What cannot be data is one of four small functions:
 * `tokenAnswer`, `identify`, `revocation`, `revoked`.
 */
export interface Provider {
  readonly id: string
  readonly name: string
  /** Where an operator creates the app. */
  readonly appConsoleUrl: string
  /** `iss` of authorization answers (RFC 9207) and of id_tokens. */
  readonly issuer: string
  readonly endpoints: {
    readonly authorization: string
    readonly token: string
    /** JWK set that signs id_tokens; with it, the flow asks for an id_token and verifies it. */
    readonly jwks?: string
  }
  /** RFC 6749 2.3.1: how the app proves itself at the token endpoint. */
  readonly clientAuthentication: 'client_secret_post' | 'client_secret_basic'
  readonly pkce: 'S256' | 'off'
  /** Further parameters of the authorization request. */
  readonly authorizationExtras: Readonly<Record<string, string>>
  readonly scopes: ProviderScopes
  /** `single_use`: every refresh answers with the next token and ends the old one. */
  readonly refreshTokens: 'lasting' | 'single_use'
  /** OAuth error codes beyond RFC 6749's, or with another meaning here. */
  readonly errors: Readonly<Record<string, Verdict>>
  readonly api: ProviderApi
  /** What disconnecting leaves behind or takes along, for the receipt. */
  readonly afterRevocation: string
  /** Makes a token answer one that RFC 6749 5.1 and 5.2 would recognise. */
  tokenAnswer?(response: Response): Promise<Response>
  identify(reader: ProviderReader): Promise<ProviderIdentity>
  revocation(tokens: ProviderRevocation): RevocationRequest
  /** Whether this answer to the revocation means that the grant is gone. */
  revoked(status: number): boolean
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
  consent_required: 'reconnect',
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
  const { contains } = provider.scopes
  const held = new Set(granted)
  // A set iterates over what is added while it is walked: contained scopes may contain others.
  for (const scope of held) {
    const contained = Object.hasOwn(contains, scope) ? contains[scope] : undefined
    for (const inner of contained ?? []) held.add(inner)
  }
  return asked.filter((scope) => !held.has(scope))
}
