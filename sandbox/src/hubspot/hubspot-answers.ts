import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { FastifyReply } from 'fastify'
import type { FaultManners } from '../faults.ts'

/** HubSpot's one shape of an API error: https://developers.hubspot.com/docs/api/error-handling */
export function crmProblem(
  reply: FastifyReply,
  status: number,
  category: string,
  message: string,
  more: Readonly<Record<string, unknown>> = {},
): FastifyReply {
  return crmAnswer(
    reply,
    { status: 'error', message, correlationId: randomUUID(), ...more, category },
    status,
  )
}

export function crmAnswer(reply: FastifyReply, body: unknown, status = 200): FastifyReply {
  return reply.status(status).type('application/json;charset=utf-8').send(JSON.stringify(body))
}

/** Since 2026-03 the OAuth endpoints say it twice: as RFC 6749 does, and in HubSpot's older words. */
export function oauthProblem(
  reply: FastifyReply,
  status: number,
  error: string,
  legacy: string,
  message: string,
): FastifyReply {
  return crmAnswer(
    reply.header('cache-control', 'no-store'),
    { error, error_description: message, status: legacy, message, correlationId: randomUUID() },
    status,
  )
}

export function rateLimited(reply: FastifyReply, policy: 'TEN_SECONDLY_ROLLING' | 'SECONDLY'): FastifyReply {
  return crmProblem(reply, 429, 'RATE_LIMITS', `You have reached your ${policy.toLowerCase()} limit.`, {
    errorType: 'RATE_LIMIT',
    policyName: policy,
  })
}

export const hubspotFaults: FaultManners = {
  prefix: '/hubspot/',
  rateLimited: (reply, retryAfterSeconds) =>
    rateLimited(reply.header('retry-after', retryAfterSeconds), 'TEN_SECONDLY_ROLLING'),
  failed: (reply, status) =>
    status === 401
      ? expired(reply)
      : crmProblem(
          reply,
          status,
          status === 429 ? 'RATE_LIMITS' : 'INTERNAL_ERROR',
          STATUS_CODES[status] ?? 'Error',
        ),
}

export function expired(reply: FastifyReply): FastifyReply {
  return crmProblem(
    reply,
    401,
    'EXPIRED_AUTHENTICATION',
    'The OAuth token used to make this call expired. Use your refresh token to get a new one.',
  )
}
