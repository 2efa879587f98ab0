import type { KeyedProvider } from './service-keys.ts'
import type { SandboxProviderId } from './stand-in.ts'

/** What goes wrong on purpose. Faults live in memory: a restart forgets them. */
export interface Fault {
  /** Path below the sandbox's URL; `*` stands for any run of characters, e.g. `/github/api/repos/*`. */
  readonly path: string
  readonly method?: string
  /** How many matching requests it strikes; 1 where absent. */
  readonly times?: number
  /** Waits this long first. */
  readonly delayMs?: number
  /**
   * `status`: answers with it, in the provider's own error shape. `rate_limited`: the provider's own way to say so.
   * `cut`: the connection breaks before the request is handled. `cut_after`: it is handled, then the answer is lost.
   * `none` (where absent): only the delay.
   */
  readonly outcome?: 'none' | 'rate_limited' | 'cut' | 'cut_after' | { readonly status: number }
  /** `Retry-After` of `status` and `rate_limited`. */
  readonly retryAfterSeconds?: number
}

/** A change that was made through a provider's API, in order. */
export interface Effect {
  readonly seq: number
  readonly at: string
  readonly provider: SandboxProviderId
  /** E.g. `issue.created`, `comment.created`, `event.created`, `task.changed`, `record.created`. */
  readonly kind: string
  /** Login or e-mail of who did it. */
  readonly person: string
  /** What it was done to, e.g. `atom-labs/app#43`. */
  readonly target: string
  readonly title: string
}

/** One request as the sandbox saw it. */
export interface SeenRequest {
  readonly at: string
  readonly method: string
  readonly path: string
  readonly status: number
}

/** The sandbox's other side: what a test or a curious person turns. Also over HTTP below `/_control`. */
export interface Control {
  /** From now on, until it has struck `times` times. Returns a handle that lifts it. */
  fault(fault: Fault): Disposable & { readonly struck: number }
  /** Those that have not struck as often as they shall, and how often they have. */
  faults(): (Fault & { readonly struck: number })[]
  clearFaults(): void
  /** As `Sandbox.allowRedirect`. */
  allowRedirect(uri: string): void
  /** What somebody wrote, oldest first. Exactly-once tests count these. */
  effects(filter?: {
    readonly provider?: SandboxProviderId
    readonly kind?: string
    readonly title?: string
  }): Effect[]
  /** The last requests, oldest first (at most 10 000). */
  requests(filter?: { readonly method?: string; readonly path?: string }): SeenRequest[]
  /** The last codes and tokens that left the sandbox, in the clear, oldest first (at most 10 000). */
  issued(): string[]
  /**
   * The person (`ada`, `grace`, `katherine`; everybody where absent) withdraws their consent at the provider: every token and
   * the grant are dead, and the GitHub App is uninstalled where they installed it. What an administrator allowed ends with
   * everybody's consent: Microsoft's admin consent (Ada's alone does it too, she gave it), Google's domain-wide delegation,
   * Salesforce's approval (of one person, where one is named); the last two until `reset`. Returns tokens killed; throws `TypeError` for somebody who does not exist.
   */
  revoke(provider: SandboxProviderId, person?: string): number
  /**
   * Microsoft judges the person's sessions anew (Continuous Access Evaluation): Graph answers the tokens of the person (of
   * everybody where absent) with 401 and a claims challenge, their refresh tokens with `invalid_grant`; the consent stands,
   * so that a fresh sign-in mends it. Returns tokens challenged; throws `TypeError` for somebody who does not exist.
   * Google's session control, by which a Workspace ends the sessions of apps, does the same with `invalid_rapt`.
   */
  challenge(person?: string, provider?: 'microsoft' | 'google'): number
  /** Access tokens expire now; refresh tokens live on. Returns how many. */
  expireTokens(provider?: SandboxProviderId): number
  /** Lets time pass for everything that expires. */
  advance(seconds: number): void
  /** The sandbox's time: the machine's, and what was let pass. */
  now(): Date
  /**
   * Slack: from now on new tokens live for twelve hours and come with a refresh token, as when an operator opts in. There is
   * no way back at Slack, and none here but `reset`.
   */
  turnOnSlackTokenRotation(): void
  /**
   * Requests a token has in the provider's own window (an hour at GitHub and Google, a minute at Notion and for each method of
   * Slack, ten seconds at HubSpot); the provider's own number where nothing is said.
   */
  rateLimit(provider: SandboxProviderId, perHour: number): void
  /**
   * What connects without consent: Google's key file of a service account that may act for everybody of the domain, the
   * private key of the certificate that was uploaded to the app at Salesforce, and that of the GitHub App.
   */
  serviceKey(provider: KeyedProvider): string
  /**
   * Whether the GitHub App asks people to authorize it while they install it ("Request user authorization (OAuth) during
   * installation"): then they come back with a `code` beside the installation. Off at first, and after `reset`.
   */
  authorizeOnInstall(on: boolean): void
  /** Consents, tokens, effects, faults and data as on the first day; apps, secrets and redirect URIs stay. */
  reset(): void
}
