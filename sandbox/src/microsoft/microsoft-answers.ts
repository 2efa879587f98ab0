import { randomBytes, randomUUID } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import type { FaultManners } from '../faults.ts'
import { html, sendPage } from '../page.ts'

const json =
  'application/json; odata.metadata=minimal; odata.streaming=true; IEEE754Compatible=false; charset=utf-8'

/** Microsoft Graph's one shape of an error. https://learn.microsoft.com/graph/errors */
export function graphProblem(
  reply: FastifyReply,
  status: number,
  code: string,
  message: string,
): FastifyReply {
  const id = randomUUID()
  return reply
    .status(status)
    .headers({ 'request-id': id, 'client-request-id': id })
    .type('application/json')
    .send(
      JSON.stringify({
        error: {
          code,
          message,
          innerError: {
            date: new Date().toISOString().slice(0, 19),
            'request-id': id,
            'client-request-id': id,
          },
        },
      }),
    )
}

export function graphAnswer(reply: FastifyReply, body: unknown, status = 200): FastifyReply {
  const id = randomUUID()
  return reply
    .status(status)
    .headers({ 'request-id': id, 'client-request-id': id })
    .type(json)
    .send(JSON.stringify(body))
}

/** What Entra's token endpoint refuses with: the words and numbers are for people, only `error` is for programs. */
export function entraProblem(
  reply: FastifyReply,
  status: number,
  error: string,
  number: number,
  words: string,
  more: Readonly<Record<string, string>> = {},
): FastifyReply {
  const [trace, correlation] = [randomUUID(), randomUUID()]
  const timestamp = `${new Date().toISOString().slice(0, 19).replace('T', ' ')}Z`
  return entraAnswer(
    reply,
    {
      error,
      error_description: `AADSTS${number}: ${words} Trace ID: ${trace} Correlation ID: ${correlation} Timestamp: ${timestamp}`,
      error_codes: [number],
      timestamp,
      trace_id: trace,
      correlation_id: correlation,
      error_uri: `https://login.microsoftonline.com/error?code=${number}`,
      ...more,
    },
    status,
  )
}

export function entraAnswer(reply: FastifyReply, body: unknown, status = 200): FastifyReply {
  return reply
    .status(status)
    .header('x-ms-request-id', randomUUID())
    .type('application/json; charset=utf-8')
    .send(JSON.stringify(body))
}

export function tooMany(reply: FastifyReply, retryAfterSeconds: number): FastifyReply {
  reply.header('retry-after', retryAfterSeconds)
  return graphProblem(
    reply,
    429,
    'TooManyRequests',
    'Too many requests have been sent in a given amount of time.',
  )
}

export const microsoftFaults: FaultManners = {
  prefix: '/microsoft/',
  rateLimited: tooMany,
  failed: (reply, status) => {
    if (reply.request.url.includes('/oauth2/')) {
      return status >= 500
        ? entraProblem(
            reply,
            status,
            'temporarily_unavailable',
            90033,
            'A transient error has occurred. Please try again.',
          )
        : entraProblem(reply, status, 'invalid_request', 900144, 'The request is malformed.')
    }
    return status === 401
      ? graphProblem(reply, 401, 'InvalidAuthenticationToken', 'Access token validation failure.')
      : graphProblem(
          reply,
          status,
          status === 429 ? 'TooManyRequests' : status === 503 ? 'serviceNotAvailable' : 'generalException',
          'The service could not answer.',
        )
  },
}

/** Where Entra cannot go back to the app. */
export function refuse(reply: FastifyReply, number: number, words: string) {
  return sendPage(reply, {
    title: 'Sign-in failed · Microsoft sandbox',
    note: 'Sandbox: a stand-in for Microsoft on this machine',
    status: 400,
    body: html`<h1>Sorry, but we’re having trouble signing you in</h1><p>${words}</p><p><code>AADSTS${number}</code></p>
<p>Go back to the app and connect again.</p>`,
  })
}

/** Looks like a JWT, as Graph's tokens do; it is meant for Graph alone, and nobody else can verify it. */
export function tokenLooks(claims: Readonly<Record<string, string>>): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return [
    part({ typ: 'JWT', nonce: randomUUID(), alg: 'RS256' }),
    part({ aud: 'https://graph.microsoft.com/', ...claims }),
    randomBytes(256).toString('base64url'),
  ].join('.')
}
