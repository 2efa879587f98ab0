import type { FastifyReply } from 'fastify'
import type { FaultManners } from '../faults.ts'

/** Slack says yes and no with HTTP 200; only `ok` tells them apart. */
export function slackAnswer(reply: FastifyReply, body: object): FastifyReply {
  return reply
    .status(200)
    .headers({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'private, no-cache, no-store',
    })
    .send(JSON.stringify({ ok: true, ...body }))
}

export function slackProblem(
  reply: FastifyReply,
  error: string,
  more: Readonly<Record<string, unknown>> = {},
): FastifyReply {
  return slackAnswer(reply, { ok: false, error, ...more })
}

/** The one refusal that has a status of its own. */
export function rateLimited(reply: FastifyReply, retryAfterSeconds: number): FastifyReply {
  return reply
    .status(429)
    .headers({ 'content-type': 'application/json; charset=utf-8', 'retry-after': retryAfterSeconds })
    .send(JSON.stringify({ ok: false, error: 'ratelimited' }))
}

export const slackFaults: FaultManners = {
  prefix: '/slack/',
  rateLimited,
  failed: (reply, status) =>
    status === 401
      ? slackProblem(reply, 'invalid_auth')
      : reply
          .status(status)
          .type('application/json; charset=utf-8')
          .send(
            JSON.stringify({ ok: false, error: status === 503 ? 'service_unavailable' : 'internal_error' }),
          ),
}
