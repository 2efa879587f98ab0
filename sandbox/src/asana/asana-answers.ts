import type { FastifyReply } from 'fastify'
import type { FaultManners } from '../faults.ts'

/** The one shape of an API error. https://developers.asana.com/docs/errors */
export function asanaProblem(reply: FastifyReply, status: number, message: string): FastifyReply {
  const help =
    'For more information on API status codes and how to handle them, read the docs on errors: https://developers.asana.com/docs/errors'
  return asanaAnswer(reply, { errors: [{ message, help }] }, status)
}

export function asanaAnswer(reply: FastifyReply, body: unknown, status = 200): FastifyReply {
  return reply.status(status).type('application/json; charset=UTF-8').send(JSON.stringify(body))
}

export function tooMany(reply: FastifyReply, retryAfterSeconds: number): FastifyReply {
  reply.header('retry-after', retryAfterSeconds)
  return asanaProblem(reply, 429, 'You have made too many requests recently. Please, be chill.')
}

export const asanaFaults: FaultManners = {
  prefix: '/asana/',
  rateLimited: tooMany,
  failed: (reply, status) =>
    reply.request.url.startsWith('/asana/-/')
      ? asanaAnswer(reply, { error: status >= 500 ? 'server_error' : 'invalid_request' }, status)
      : asanaProblem(reply, status, status === 401 ? 'Not Authorized' : 'Server Error'),
}
