import { randomUUID } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import type { FaultManners } from '../faults.ts'

/** https://developers.notion.com/reference/status-codes */
export function notionProblem(
  reply: FastifyReply,
  status: number,
  code: string,
  message: string,
): FastifyReply {
  return notionAnswer(reply, { object: 'error', status, code, message }, status)
}

export function notionAnswer(reply: FastifyReply, body: object, status = 200): FastifyReply {
  const requestId = randomUUID()
  return reply
    .status(status)
    .headers({ 'content-type': 'application/json; charset=utf-8', 'x-notion-request-id': requestId })
    .send(JSON.stringify({ ...body, request_id: requestId }))
}

export function notFound(reply: FastifyReply, what: string, id: string): FastifyReply {
  return notionProblem(
    reply,
    404,
    'object_not_found',
    `Could not find ${what} with ID: ${id}. Make sure the relevant pages and databases are shared with your integration "Atom".`,
  )
}

export function unauthorized(reply: FastifyReply): FastifyReply {
  return notionProblem(reply, 401, 'unauthorized', 'API token is invalid.')
}

export function rateLimited(reply: FastifyReply, retryAfterSeconds: number): FastifyReply {
  return notionProblem(
    reply.header('retry-after', retryAfterSeconds),
    429,
    'rate_limited',
    'You have been rate limited. Please try again in a few minutes.',
  )
}

const failures: Readonly<Record<number, readonly [code: string, message: string]>> = {
  401: ['unauthorized', 'API token is invalid.'],
  403: ['restricted_resource', 'Insufficient permissions for this endpoint.'],
  409: ['conflict_error', 'Conflict occurred while saving. Please try again.'],
  429: ['rate_limited', 'You have been rate limited. Please try again in a few minutes.'],
  500: ['internal_server_error', 'Unexpected error occurred.'],
  503: ['service_unavailable', 'Notion is unavailable. Please try again later.'],
  504: ['gateway_timeout', 'Notion timed out while attempting to complete this request.'],
  529: ['service_overload', 'Notion is overloaded. Please try again later.'],
}

export const notionFaults: FaultManners = {
  prefix: '/notion/',
  rateLimited,
  failed: (reply, status) => {
    const [code, message] = failures[status] ?? ['internal_server_error', 'Unexpected error occurred.']
    return notionProblem(reply, status, code, message)
  },
}
