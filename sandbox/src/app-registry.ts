import { timingSafeEqual } from 'node:crypto'
import type { AdapterPayload } from 'oidc-provider'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxApp, SandboxProviderId } from './stand-in.ts'

/** An app by what it is registered as: one for each provider, and the one that is installed at GitHub. */
export type AppName = SandboxProviderId | 'github-app'

/** The built-in apps, and where they may send people back to. */
export class AppRegistry {
  readonly #store: SandboxStore
  readonly #apps = new Map<AppName, SandboxApp>()
  readonly #redirectUris: Set<string>

  constructor(store: SandboxStore) {
    this.#store = store
    const kept: unknown = JSON.parse(store.setting('apps.redirectUris') ?? '[]')
    this.#redirectUris = new Set(Array.isArray(kept) ? kept.map(String) : [])
  }

  /** The provider's app; made and kept on first sight. */
  register(provider: AppName, make: () => SandboxApp): SandboxApp {
    const app: SandboxApp = JSON.parse(
      this.#store.settingOr(`apps.${provider}`, () => JSON.stringify(make())),
    ) as SandboxApp
    this.#apps.set(provider, app)
    return app
  }

  get redirectUris(): readonly string[] {
    return [...this.#redirectUris]
  }

  /** Where somebody is sent back to by a page that no redirect URI was given to: the first that names the provider, else the first. */
  redirectOf(provider: SandboxProviderId): string | undefined {
    const [first] = this.#redirectUris
    return this.redirectUris.find((uri) => new URL(uri).pathname.includes(provider)) ?? first
  }

  /** Throws `TypeError` for something that is no absolute http(s) URL, or has a fragment (RFC 6749, section 3.1.2). */
  allowRedirect(uri: string): void {
    const parsed = new URL(uri)
    if (!/^https?:$/.test(parsed.protocol) || uri.includes('#')) {
      throw new TypeError('A redirect URI is an absolute http or https URL without a fragment.')
    }
    if (this.#redirectUris.has(uri)) return
    this.#redirectUris.add(uri)
    this.#store.keepSetting('apps.redirectUris', JSON.stringify([...this.#redirectUris]))
  }

  clientIdOf(provider: AppName): string | undefined {
    return this.#apps.get(provider)?.clientId
  }

  knows(provider: AppName, clientId: string): boolean {
    return this.#apps.get(provider)?.clientId === clientId
  }

  authenticates(provider: AppName, clientId: string, secret: string): boolean {
    const app = this.#apps.get(provider)
    if (app?.clientId !== clientId) return false
    const [given, kept] = [Buffer.from(secret), Buffer.from(app.clientSecret)]
    return given.length === kept.length && timingSafeEqual(given, kept)
  }

  /** As `oidc-provider` wants to know it. */
  metadataOf(provider: AppName, clientId: string): AdapterPayload | undefined {
    const app = this.#apps.get(provider)
    if (app?.clientId !== clientId) return undefined
    return {
      client_id: app.clientId,
      client_secret: app.clientSecret,
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      // The library wants at least one; nobody can be sent to this.
      redirect_uris:
        this.#redirectUris.size > 0 ? [...this.#redirectUris] : ['https://unregistered.invalid/'],
    }
  }
}
