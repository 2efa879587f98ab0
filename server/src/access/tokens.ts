import type { AccountPrincipal } from './principal.ts'

export interface VerifiedToken {
  readonly principal: AccountPrincipal
  readonly expiresAt: Date
}

export interface MintedToken {
  readonly accessToken: string
  /** Seconds. */
  readonly expiresIn: number
}

export declare class AccessTokens {
  mint(principal: AccountPrincipal): Promise<MintedToken>
  /** @throws AtomError `unauthenticated` | `token_expired` | `session_revoked` */
  verify(token: string): Promise<VerifiedToken>
}
