import type { FastifyReply } from 'fastify'
import type { FaultManners } from '../faults.ts'

/** A REST answer of Salesforce that is not a success: always a list of problems. */
export class SalesforceProblem extends Error {
  readonly status: number
  readonly errorCode: string
  readonly fields: readonly string[] | undefined

  constructor(status: number, errorCode: string, message: string, fields?: readonly string[]) {
    super(message)
    this.status = status
    this.errorCode = errorCode
    this.fields = fields
  }
}

/** https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm */
export function salesforceProblem(reply: FastifyReply, problem: SalesforceProblem): FastifyReply {
  const { status, message, errorCode, fields } = problem
  return salesforceAnswer(
    reply,
    [{ message, errorCode, ...(fields === undefined ? undefined : { fields }) }],
    status,
  )
}

export function salesforceAnswer(reply: FastifyReply, body: unknown, status = 200): FastifyReply {
  return reply.status(status).type('application/json;charset=UTF-8').send(JSON.stringify(body))
}

export const sessionInvalid = new SalesforceProblem(401, 'INVALID_SESSION_ID', 'Session expired or invalid')
export const limitExceeded = new SalesforceProblem(
  403,
  'REQUEST_LIMIT_EXCEEDED',
  'TotalRequests Limit exceeded.',
)

export const salesforceFaults: FaultManners = {
  prefix: '/salesforce',
  // It does not say when to come back: the limit is over 24 hours.
  rateLimited: (reply) =>
    salesforceProblem(reply.header('sforce-limit-info', 'api-usage=15000/15000'), limitExceeded),
  failed: (reply, status) =>
    reply.request.url.includes('/services/oauth2/')
      ? salesforceAnswer(reply, { error: 'unknown_error', error_description: 'retry your request' }, status)
      : salesforceProblem(
          reply,
          status === 401
            ? sessionInvalid
            : new SalesforceProblem(
                status,
                status === 503 ? 'SERVER_UNAVAILABLE' : 'UNKNOWN_EXCEPTION',
                'An unexpected error occurred.',
              ),
        ),
}
