import type { FastifyReply, FastifyRequest } from 'fastify'
import { AtomError } from '#foundation/errors.ts'
import { answerOf } from './answer.ts'

/**
 * Which pages of other origins may speak with this server. Origins are compared whole and exactly, never by pattern, and
 * never reflected without being in the set. Pages served by Atom itself need no entry.
 */
export class CrossOrigin {
  readonly #allowed: ReadonlySet<string>
  readonly #own: () => string

  /** `own`: the origin people use; a proxy may have changed the Host field on the way. */
  constructor(options: { allowed: readonly string[]; own: () => string }) {
    this.#allowed = new Set(options.allowed)
    this.#own = options.own
  }

  /** Marks answers for allowed origins. True where the request is a preflight of one, which `allow` answers. */
  mark(request: FastifyRequest, reply: FastifyReply): boolean {
    const { origin } = request.headers
    if (origin === undefined || this.#allowed.size === 0) return false
    const answer = answerOf(reply.raw)
    answer.stand('vary', 'Origin')
    if (!this.#allowed.has(origin)) return false
    answer.stand('access-control-allow-origin', origin)
    answer.stand('access-control-allow-credentials', 'true')
    answer.stand('access-control-expose-headers', 'x-request-id, retry-after, ratelimit, ratelimit-policy')
    answer.standInstead('cross-origin-resource-policy', 'cross-origin')
    return request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined
  }

  allow(reply: FastifyReply): void {
    reply
      .code(204)
      .header('access-control-allow-methods', 'GET, HEAD, POST, PUT, PATCH, DELETE')
      .header('access-control-allow-headers', 'authorization, content-type, idempotency-key, traceparent')
      .header('access-control-max-age', '600')
      .send()
  }

  /**
   * Refuses a request that a page of a foreign origin made with this server's cookies (cross-site request forgery). A caller
   * that is no browser sends neither field and is let through: it has no cookies but its own.
   *
   * @throws AtomError `origin_refused`
   */
  requireOwn(headers: {
    origin?: string | undefined
    host?: string | undefined
    site?: string | undefined
  }): void {
    if (headers.origin !== undefined) {
      if (headers.origin === this.#own() || this.#allowed.has(headers.origin)) return
      const host = URL.canParse(headers.origin) ? new URL(headers.origin).host : undefined
      if (host !== undefined && host !== '' && host === headers.host?.toLowerCase()) return
      throw new AtomError('origin_refused')
    }
    if (headers.site !== undefined && headers.site !== 'same-origin' && headers.site !== 'none')
      throw new AtomError('origin_refused')
  }
}
