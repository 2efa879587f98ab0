import { hash, timingSafeEqual } from 'node:crypto'
import { operationRoutes } from '@atom/contract/operations.ts'
import { authenticate, bearerToken, requireAudience } from '#access/authenticate.ts'
import type { AccessTokens } from '#access/tokens.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Secret } from '#foundation/secret.ts'
import { exposition } from '#foundation/telemetry/metrics.ts'
import type { HttpServer } from '#http/server.ts'

/**
 * `/metrics`, for an operator or for whoever holds `scraperToken`. Where a request comes from opens nothing: behind a proxy on the
 * same machine everybody comes from loopback.
 */
export function metricsDoor(
  http: HttpServer,
  options: {
    /** Asked for by each scrape. */
    readonly text: () => Promise<string>
    readonly tokens: Pick<AccessTokens, 'verify'>
    readonly scraperToken: Secret | undefined
  },
): void {
  const { text, tokens, scraperToken } = options
  http.get(
    operationRoutes.metrics.path,
    async (request, reply) => {
      const { authorization } = request.headers
      if (scraperToken === undefined || !isSame(bearerToken(authorization), scraperToken.reveal())) {
        const principal = await authenticate(tokens, authorization).catch(async (thrown: unknown) => {
          // Whoever tries tokens here pays for it as at any other door.
          if (isRefusal(thrown)) await http.edge?.notLetIn(request, reply)
          throw thrown
        })
        http.edge?.requireAccount(principal.id)
        requireAudience('operator', principal)
      }
      return reply
        .header('content-type', exposition)
        .header('cache-control', 'no-store')
        .send(await text())
    },
    // Asked for every few seconds for ever.
    { quiet: true },
  )
}

function isRefusal(thrown: unknown): boolean {
  return thrown instanceof AtomError && thrown.row.status === 401
}

function isSame(given: string | undefined, expected: string): boolean {
  if (given === undefined) return false
  return timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', expected, 'buffer'))
}
