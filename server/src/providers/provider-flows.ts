import type { FlowName } from '@atom/contract/connections.ts'

/** One thing that a person gives for a flow that takes a credential. */
export interface CredentialField {
  readonly name: string
  readonly label: string
  /** What it is, and where the provider has it. */
  readonly meaning: string
  readonly secret?: true
  readonly optional?: true
  /** More than one line. */
  readonly multiline?: true
  /** All of a value that is believed. */
  readonly pattern?: RegExp
}

/** What a person gave, by the names of the fields. */
export type CredentialValues = Readonly<Record<string, string>>

/** How a key is attached to a request. `{name}` stands for a field of the credential. */
export type KeyAttachment =
  /** RFC 6750 2.1. */
  | { readonly as: 'bearer'; readonly key: string }
  | { readonly as: 'header'; readonly header: string; readonly key: string }
  /** RFC 7617. */
  | { readonly as: 'basic'; readonly user: string; readonly password: string }

/** What every flow may say of itself. */
interface Flow {
  /** Particulars that the person has to say first, and how they must look for this flow. */
  readonly needs?: Readonly<Record<string, RegExp>>
}

interface ApiKeyFlow extends Flow {
  /** Where the operator's settings say whose key it is; else a key needs no app. */
  readonly app?: 'needed'
  readonly fields: readonly CredentialField[]
  readonly attach: KeyAttachment
}

/** RFC 8628. */
interface DeviceCodeFlow extends Flow {
  /** Absent: what the server says of itself, where it was discovered (RFC 8628 4). */
  readonly endpoint?: string
}

/** RFC 6749 4.4: the app in its own name, which only an operator may begin. */
interface ClientCredentialsFlow extends Flow {
  /** What is asked for instead of the connection's scopes; empty where the app's own settings decide. */
  readonly scopes?: readonly string[]
  readonly parameters?: Readonly<Record<string, string>>
}

/** What a signed assertion says, besides audience and time. */
export interface AssertionParts {
  readonly issuer: string
  readonly subject?: string
  readonly keyId?: string
  /** PEM or JWK; the app's own where absent, which only an operator may have sign. */
  readonly privateKey?: string
}

/** RFC 7523 2.1. */
interface JwtBearerFlow extends Flow {
  readonly fields: readonly CredentialField[]
  /** `none`: whoever signs is the client. */
  readonly app: 'needed' | 'none'
  /** The app proves itself besides (RFC 7521 4.1); else the assertion is all the proof there is. */
  readonly client?: 'authenticates'
  readonly audience: string
  /** The only one that is taken; absent: the one that the key signs with. */
  readonly algorithm?: 'RS256' | 'ES256'
  readonly lifetimeSeconds: number
  /** Where the scopes go; `none` where what was set at the provider decides. */
  readonly scopes: 'claim' | 'parameter' | 'none'
  /** @throws CredentialUnfit */
  assertion(given: { readonly clientId: string; readonly values: CredentialValues }): AssertionParts
}

/** RFC 8693. */
interface TokenExchangeFlow extends Flow {
  readonly fields: readonly CredentialField[]
  /** The token that is given, and its type; `{name}` stands for a field. */
  readonly subjectToken: string
  readonly subjectTokenType: string
  readonly parameters?: Readonly<Record<string, string>>
}

/** A field of the query that the browser brings back. */
interface CallbackField {
  readonly name: string
  readonly value: string
}

/** The app signs for itself and asks for tokens of the installation. */
export interface InstalledByKey extends Installed {
  readonly by: 'key'
  /** Where a token of the installation is asked for. */
  readonly token: string
}

/** An administrator allows the app, which then asks by client credentials. */
interface InstalledByAdmin extends Installed {
  readonly by: 'admin'
  readonly scopes: readonly string[]
}

/** Only an operator may begin these: the app acts in its own name. */
interface Installed extends Flow {
  /** Where the browser is sent, with `state` and these parameters; `{name}` stands for a particular, `clientId`, `redirectUri`. */
  readonly address: string
  readonly parameters: Readonly<Record<string, string>>
  /** The particular that says where it was installed. */
  readonly particular: string
  readonly answer: {
    /** Where the callback names it. */
    readonly name: string
    /** How it must look, where the particular itself may be less exact. */
    readonly pattern?: RegExp
    /** What the callback says besides where it was done. */
    readonly confirmed?: CallbackField
    /** What it says where somebody else has to agree first. */
    readonly pending?: CallbackField
    /** Errors that are a no here, whatever they mean elsewhere. */
    readonly denied?: readonly string[]
  }
}

/** An ordinary consent that counts only where it was given for a whole organisation. */
interface InstalledByConsent extends Flow {
  readonly by: 'consent'
  readonly granted: Readonly<Record<string, RegExp>>
}

/** The flows that a provider offers besides the authorization code, and how each goes there. */
export interface ProviderFlows {
  readonly app_installation?: InstalledByKey | InstalledByAdmin | InstalledByConsent
  readonly device_code?: DeviceCodeFlow
  readonly client_credentials?: ClientCredentialsFlow
  readonly jwt_bearer?: JwtBearerFlow
  readonly token_exchange?: TokenExchangeFlow
  readonly api_key?: ApiKeyFlow
}

/** What a person gave cannot be used; `field` says what of it. */
export class CredentialUnfit extends Error {
  override readonly name = 'CredentialUnfit'
  readonly field: string

  constructor(field: string, detail: string) {
    super(detail)
    this.field = field
  }
}

const inOrder: readonly FlowName[] = [
  'app_installation',
  'device_code',
  'api_key',
  'jwt_bearer',
  'token_exchange',
  'client_credentials',
]

/** Particulars that a flow cannot do without, and how they must look. */
export function needsOf(flows: ProviderFlows | undefined, flow: FlowName): Readonly<Record<string, RegExp>> {
  const offered: Readonly<Partial<Record<FlowName, Flow>>> = { ...flows }
  return offered[flow]?.needs ?? {}
}

/** The ways to connect, the usual one first. */
export function flowNames(flows: ProviderFlows | undefined): readonly FlowName[] {
  const offered: Readonly<Record<string, unknown>> = { ...flows }
  return ['authorization_code', ...inOrder.filter((name) => offered[name] !== undefined)]
}

/** The fields of each flow that takes a credential. */
export function credentialFields(
  flows: ProviderFlows | undefined,
): readonly { readonly flow: FlowName; readonly fields: readonly CredentialField[] }[] {
  return (['api_key', 'jwt_bearer', 'token_exchange'] as const).flatMap((flow) => {
    const fields = flows?.[flow]?.fields
    return fields === undefined || fields.length === 0 ? [] : [{ flow, fields }]
  })
}
