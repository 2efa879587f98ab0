import type { FastifyReply } from 'fastify'
import type { FaultManners } from '../faults.ts'

/** The error body of Google's APIs, v1 style with `errors[]`, as the Calendar API sends it. */
export function googleProblem(
  reply: FastifyReply,
  code: number,
  reason: string,
  message: string,
  more: { readonly status?: string; readonly location?: string; readonly locationType?: string } = {},
): FastifyReply {
  const { status, ...where } = more
  return reply
    .status(code)
    .type('application/json; charset=UTF-8')
    .send(
      JSON.stringify({
        error: {
          errors: [{ domain: domainOf(reason), reason, message, ...where }],
          code,
          message,
          ...(status === undefined ? undefined : { status }),
        },
      }),
    )
}

function domainOf(reason: string): string {
  return /ratelimit/i.test(reason) ? 'usageLimits' : 'global'
}

export function googleAnswer(reply: FastifyReply, body: unknown, status = 200): FastifyReply {
  return reply.status(status).type('application/json; charset=UTF-8').send(JSON.stringify(body))
}

export const googleFaults: FaultManners = {
  prefix: '/google/',
  rateLimited: (reply) => googleProblem(reply, 403, 'rateLimitExceeded', 'Rate Limit Exceeded'),
  failed: (reply, status) =>
    status === 401
      ? googleProblem(reply, 401, 'authError', 'Invalid Credentials', { status: 'UNAUTHENTICATED' })
      : googleProblem(reply, status, status === 429 ? 'rateLimitExceeded' : 'backendError', 'Backend Error'),
}
