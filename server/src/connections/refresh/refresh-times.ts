import type { Provider } from '#providers/provider.ts'

const dayMs = 24 * 3600 * 1000

/** A token as far as its times go; `id` decides where within its span a connection's turn is. */
interface Aging {
  readonly id: string
  readonly issuedAt: Date
  readonly expiresAt: Date | null
}

/**
 * From when on an access token is renewed before it expires: in the last tenth of its life, at most five minutes before its
 * end, earlier by up to half as much again for some connections than for others, so that those connected together do not all
 * refresh together. Null where it does not expire.
 */
export function earlyRefreshAt({ id, issuedAt, expiresAt }: Aging): Date | null {
  if (expiresAt === null) return null
  const life = expiresAt.getTime() - issuedAt.getTime()
  const spread = Number.parseInt(id.slice(-4), 16) / 0xffff
  return new Date(expiresAt.getTime() - Math.min(life / 10, 300_000) * (1 + spread / 2))
}

/**
 * When a credential that nobody uses is refreshed all the same, because its refresh token would end otherwise: somewhere
 * between seven and eight and a half tenths of its life, so that there is time for more than one attempt, and those connected
 * together do not come together. Null where nothing ends.
 */
export function keepAliveAt(
  provider: Provider,
  grant: { readonly refreshable: boolean; readonly at: Date; readonly refreshExpiresAt: Date | null },
): Date | null {
  if (!grant.refreshable) return null
  const from = grant.at.getTime()
  const ends = [
    ...(grant.refreshExpiresAt === null ? [] : [grant.refreshExpiresAt.getTime()]),
    ...(provider.idleLimitDays === undefined ? [] : [from + provider.idleLimitDays * dayMs]),
  ]
  if (ends.length === 0) return null
  const life = Math.min(...ends) - from
  return new Date(from + life * (0.7 + 0.15 * Math.random()))
}
