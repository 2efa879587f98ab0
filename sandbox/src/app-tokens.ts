import type { GrantStore } from './grant-store.ts'

// Kept as what the library calls an access token, so that whatever ages, ends or counts those does the same to these.
const model = 'AccessToken'
const kind = 'AppToken'

/** What a token of an app in its own name is worth. */
export interface AppToken {
  readonly clientId: string
  /** What it was given under, and ends with: a consent, an installation. */
  readonly grantId: string
  readonly scopes: readonly string[]
  /** Seconds since 1970, by the machine's clock. */
  readonly expiresAt: number
}

/** Tokens behind which no person stands: the app itself asked for them. */
export class AppTokens {
  readonly #grants: GrantStore
  readonly #mint: () => string

  constructor(dependencies: { grants: GrantStore; mint: () => string }) {
    this.#grants = dependencies.grants
    this.#mint = dependencies.mint
  }

  /** @param account whose word ends it, where that is somebody's */
  issue(token: Pick<AppToken, 'clientId' | 'grantId' | 'scopes'> & { seconds: number; account?: string }): {
    readonly token: string
    readonly expiresAt: number
  } {
    const minted = this.#mint()
    const now = Math.floor(Date.now() / 1000)
    this.#grants.save(model, minted, {
      kind,
      jti: minted,
      iat: now,
      exp: now + token.seconds,
      clientId: token.clientId,
      grantId: token.grantId,
      scope: token.scopes.join(' '),
      ...(token.account !== undefined && { accountId: token.account }),
    })
    return { token: minted, expiresAt: now + token.seconds }
  }

  /** Undefined for one that is none of these, has run out, or was ended. */
  find(token: string): AppToken | undefined {
    const payload = this.#grants.find(model, token)
    if (payload?.kind !== kind || (payload.exp ?? 0) <= Date.now() / 1000) return undefined
    return {
      clientId: payload.clientId ?? '',
      grantId: payload.grantId ?? '',
      scopes: (payload.scope ?? '').split(' ').filter((scope) => scope !== ''),
      expiresAt: payload.exp ?? 0,
    }
  }

  end(token: string): void {
    this.#grants.destroy(model, token)
  }

  endAll(grantId: string): void {
    this.#grants.destroyTokens(grantId)
  }
}
