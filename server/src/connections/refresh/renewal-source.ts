import type { FlowName } from '@atom/contract/connections.ts'
import { Secret } from '#foundation/secret.ts'
import type { Particulars } from '#providers/provider.ts'
import type { CredentialValues } from '#providers/provider-flows.ts'

/**
 * What new access tokens come from where there is no refresh token: what the person gave, and what is asked for. It is kept
 * sealed in the refresh token's place, so that all that is true of refreshing (one holder, generations, the order of
 * storing) is true of it as well.
 */
export interface RenewalSource {
  readonly flow: FlowName
  readonly scopes: readonly string[]
  readonly values: CredentialValues
  /** What was said of the provider before it was asked. */
  readonly particulars: Particulars
}

/** No refresh token begins so: it is no VSCHAR (RFC 6749 appendix A.17), and others are not taken. */
const mark = '\u0001'

export function sourceSecret(source: RenewalSource): Secret {
  return new Secret(mark + JSON.stringify(source))
}

/** Undefined where it is a refresh token. */
export function sourceIn(secret: Secret): RenewalSource | undefined {
  const text = secret.reveal()
  // Sealed by us and bound to its row: what is in there is what `sourceSecret` wrote.
  return text.startsWith(mark) ? (JSON.parse(text.slice(mark.length)) as RenewalSource) : undefined
}

/** A refresh token that may be told to a provider; what is kept in its place never is. */
export function refreshTokenIn(secret: Secret | undefined): Secret | undefined {
  return secret === undefined || sourceIn(secret) !== undefined ? undefined : secret
}
