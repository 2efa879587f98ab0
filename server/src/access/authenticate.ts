import type { Audience } from '@atom/contract/route.ts'
import { AtomError } from '#foundation/errors.ts'
import type { AccountPrincipal } from './principal.ts'
import type { AccessTokens, VerifiedToken } from './tokens.ts'

/** RFC 6750 2.1; the token itself is judged by `AccessTokens`. */
const bearer = /^Bearer ([\w.~+/=-]{1,8192})$/i

/**
 * Who is behind a request with a token that was verified before and still holds. What such a token looks like was judged
 * then: here it is only cut out.
 */
export function knownBearer(
  tokens: Pick<AccessTokens, 'known'>,
  authorization: string | undefined,
): AccountPrincipal | undefined {
  return authorization?.startsWith('Bearer ') === true
    ? tokens.known(authorization.slice('Bearer '.length))?.principal
    : undefined
}

export function bearerToken(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : bearer.exec(authorization)?.[1]
}

/**
 * Who is behind a request.
 *
 * @throws AtomError `unauthenticated` without a usable token, `token_expired`, `session_revoked`
 */
export async function authenticate(
  tokens: Pick<AccessTokens, 'verify'>,
  authorization: string | undefined,
): Promise<AccountPrincipal> {
  return (await authenticated(tokens, authorization)).principal
}

/** The same, with the end of the token: for answers that outlast it. */
export async function authenticated(
  tokens: Pick<AccessTokens, 'verify'>,
  authorization: string | undefined,
): Promise<VerifiedToken> {
  const token = bearerToken(authorization)
  if (token === undefined) throw new AtomError('unauthenticated')
  return await tokens.verify(token)
}

/** @throws AtomError `forbidden` where the route is for operators and the caller is none */
export function requireAudience(audience: Audience, principal: AccountPrincipal): void {
  if (audience === 'operator' && !isOperator(principal)) throw new AtomError('forbidden')
}

export function isOperator(principal: AccountPrincipal): boolean {
  return principal.role === 'owner' || principal.role === 'admin'
}

/** Whether the caller is an operator; a stranger or a spent token is simply none. */
export async function isOperatorsToken(
  tokens: Pick<AccessTokens, 'verify'>,
  authorization: string | undefined,
): Promise<boolean> {
  if (authorization === undefined) return false
  try {
    return isOperator(await authenticate(tokens, authorization))
  } catch (thrown) {
    if (thrown instanceof AtomError && thrown.row.status === 401) return false
    throw thrown
  }
}
