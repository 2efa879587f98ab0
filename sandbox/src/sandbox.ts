import type { Control } from './control.ts'

/** Every provider the sandbox can stand in for. */
export type SandboxProviderId = 'github' | 'google'

/** The provider's own origins that the sandbox answers for. */
export type StandInOrigin =
  | 'https://github.com'
  | 'https://api.github.com'
  | 'https://accounts.google.com'
  | 'https://oauth2.googleapis.com'
  | 'https://openidconnect.googleapis.com'
  | 'https://www.googleapis.com'

export interface SandboxApp {
  readonly clientId: string
  readonly clientSecret: string
}

/** Where the sandbox writes what it does; a pino logger fits. */
export interface SandboxLog {
  info(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface SandboxOptions {
  /** Folder for `sandbox.sqlite`: apps, consents, tokens and data survive a restart and a kill. Memory where absent. */
  readonly dataDir?: string
  /** Absent: the port of last time if it is free, else any free one. Given and taken: the start fails. */
  readonly port?: number
  /** Redirect URIs the built-in apps accept, matched exactly; see `Sandbox.allowRedirect`. */
  readonly redirectUris?: readonly string[]
  readonly log?: SandboxLog
}

/**
 * GitHub and Google on this machine: their OAuth endpoints at their true paths below a prefix, over the certified
 * `oidc-provider`, and a slice of their APIs with data to work on. One port, 127.0.0.1 only.
 *
 * **How a client reaches it.** It keeps the provider's true URLs and swaps the origin when it dials:
 * `origins['https://api.github.com'] + '/user/repos'`. The browser is sent to the swapped authorize URL. What the sandbox
 * *says* about itself stays true to the provider, so nothing else of a client changes:
 *
 * | | GitHub | Google |
 * |---|---|---|
 * | RFC 9207 `iss` in the callback | none (GitHub sends none) | `https://accounts.google.com` |
 * | `id_token` | none | RS256, `iss` `https://accounts.google.com`, `aud` = `azp` = client id, `nonce` when sent |
 * | JWKS | none | `https://www.googleapis.com/oauth2/v3/certs`: dial it through `origins` |
 * | discovery | none | `https://accounts.google.com/.well-known/openid-configuration`, Google's true URLs in it: dial each through `origins` |
 * | errors of the token endpoint | HTTP 200 and `{error}` | RFC 6749, 400/401 |
 * | extra callback parameters | none | `scope`, `authuser`, `prompt` |
 *
 * URLs inside API answers (`html_url`, `avatar_url`, `url`, `picture`, `htmlLink`, pagination `Link`) point at the sandbox
 * itself, so that they open; they begin with `url`.
 */
export interface Sandbox extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly port: number
  /** Real origin → base URL of its stand-in, without a slash at the end: the real path can be appended. */
  readonly origins: Readonly<Record<StandInOrigin, string>>
  readonly apps: Readonly<Record<SandboxProviderId, SandboxApp>>
  /** Lets both built-in apps send people back to `uri`, from now on; kept in the data folder. Idempotent. */
  allowRedirect(uri: string): void
  readonly control: Control
}

export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  throw new Error(`not yet: ${Object.keys(options).join()}`)
}
