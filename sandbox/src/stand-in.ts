/** Every provider the sandbox can stand in for, and what it is called. */
export const providerNames = {
  github: 'GitHub',
  google: 'Google',
  microsoft: 'Microsoft',
  asana: 'Asana',
  salesforce: 'Salesforce',
  hubspot: 'HubSpot',
  notion: 'Notion',
  slack: 'Slack',
} as const

export type SandboxProviderId = keyof typeof providerNames

export function isSandboxProvider(id: unknown): id is SandboxProviderId {
  return typeof id === 'string' && id in providerNames
}

/** The provider's own origins that the sandbox answers for. */
export type StandInOrigin =
  | 'https://github.com'
  | 'https://api.github.com'
  | 'https://accounts.google.com'
  | 'https://oauth2.googleapis.com'
  | 'https://openidconnect.googleapis.com'
  | 'https://www.googleapis.com'
  | 'https://app.hubspot.com'
  | 'https://api.hubapi.com'
  | 'https://api.notion.com'
  | 'https://slack.com'
  | 'https://login.microsoftonline.com'
  | 'https://graph.microsoft.com'
  | 'https://app.asana.com'
  | 'https://login.salesforce.com'
  | 'https://test.salesforce.com'
  | 'https://atom-labs.my.salesforce.com'
  | 'https://atom-labs--test.sandbox.my.salesforce.com'

export interface SandboxApp {
  readonly clientId: string
  readonly clientSecret: string
  /** Beside it, where the provider has such: the app that is installed rather than allowed (GitHub App). */
  readonly installable?: InstallableApp
}

/** An app that acts in its own name wherever an account has installed it, and proves itself by its key. */
export interface InstallableApp {
  readonly clientId: string
  readonly clientSecret: string
  readonly appId: string
  /** PEM (PKCS #1), made when it is first looked at. */
  readonly privateKey: string
  /** What an operator would copy besides: `slug`, its name in addresses. */
  readonly settings: { readonly slug: string }
}

/** Where the sandbox writes what it does; a pino logger fits. */
export interface SandboxLog {
  info(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** How the sandbox is reached; what its front page and its controls tell. */
export interface SandboxAddress {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** Real origin → base URL of its stand-in, without a slash at the end: the real path can be appended. */
  readonly origins: Readonly<Record<StandInOrigin, string>>
  readonly apps: Readonly<Record<SandboxProviderId, SandboxApp>>
}
