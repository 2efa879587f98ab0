import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import type { Failures } from '#foundation/failure-groups.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import { problemPage } from './error-page.ts'
import { problemOf, problemType } from './problem.ts'
import { pagePolicy } from './security-headers.ts'

/** Where a request keeps the error it was answered with, for its one log line. */
declare module 'fastify' {
  interface FastifyRequest {
    answeredWith: AtomError | undefined
  }
}

function frameworkCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown) || typeof thrown.code !== 'string') return undefined
  return thrown.code.startsWith('FST_') ? thrown.code : undefined
}

/** What Fastify and Node throw before a handler runs, in Atom's words. Everything unknown becomes `internal`. */
function translate(thrown: unknown, bodyLimit: number): AtomError {
  switch (frameworkCode(thrown)) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new AtomError('unsupported_media_type', undefined, { cause: thrown })
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new AtomError('payload_too_large', `The largest body accepted here is ${bodyLimit} bytes.`, {
        cause: thrown,
      })
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return new AtomError('malformed_request', undefined, { cause: thrown })
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new AtomError('malformed_request', 'The address could not be read.', { cause: thrown })
    default:
      return asAtomError(thrown)
  }
}

/** A person is looking at this answer: the browser went here as to a page, not as a script. */
export function isNavigation(request: FastifyRequest): boolean {
  if (request.method !== 'GET' && request.method !== 'HEAD') return false
  const mode = request.headers['sec-fetch-mode']
  if (mode !== undefined) return mode === 'navigate'
  return (request.headers.accept ?? '').includes('text/html')
}

/** Writes the one form every error has. A browser that came as to a page gets the same facts as a page. */
export function answerError(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  publicUrl: string,
): FastifyReply {
  const error = translate(thrown, request.routeOptions.bodyLimit ?? 0)
  request.answeredWith = error
  const problem = problemOf(error, { requestId: request.id, publicUrl })
  reply.code(problem.status)
  if (error.retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(error.retryAfterMs / 1000))
  else if (problem.status === 503 || problem.status === 429) reply.header('retry-after', 1)
  if (error.code === 'unauthenticated' || error.code === 'token_expired' || error.code === 'session_revoked')
    reply.header(
      'www-authenticate',
      error.code === 'unauthenticated' ? 'Bearer' : 'Bearer error="invalid_token"',
    )
  if (isNavigation(request)) {
    const page = problemPage(problem)
    return reply
      .header('content-security-policy', pagePolicy(page.nonce))
      .header('content-type', 'text/html; charset=utf-8')
      .serializer(String)
      .send(page.html)
  }
  return reply.header('content-type', problemType).serializer(JSON.stringify).send(problem)
}

/** How long somebody whose connection is at its end may take to read why, ms. */
const toReadMs = 1_000

/** Node's own refusals, before there is a request: answered on the bare socket, in the same form, and then closed. */
export function answerBrokenConnection(
  failure: NodeJS.ErrnoException,
  socket: Socket,
  options: {
    log: Log
    failures?: Pick<Failures, 'note'> | undefined
    publicUrl: string
    /** An answer has begun: whatever were said now would be read as a part of it. */
    underWay: boolean
  },
): void {
  if (failure.code === 'ECONNRESET' || !socket.writable || socket.destroyed || options.underWay) {
    socket.destroy()
    return
  }
  const requestId = newId()
  const error = brokenConnection(failure)
  const status = failure.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : error.row.status
  const body = JSON.stringify({ ...problemOf(error, { requestId, publicUrl: options.publicUrl }), status })
  options.failures?.note({ door: 'http', place: 'unreadable', error, requestId })
  options.log.info({ requestId, status, code: error.code, reason: failure.code }, 'request not readable')
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: ${problemType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n\r\n${body}`,
  )
  // Nobody reads what else it says, so nobody would hear that it goes away, either; and it need not.
  const cut = setTimeout(() => socket.destroy(), toReadMs)
  socket.once('close', () => clearTimeout(cut))
}

function brokenConnection(failure: NodeJS.ErrnoException): AtomError {
  if (failure.code === 'HPE_HEADER_OVERFLOW')
    return new AtomError('payload_too_large', 'The header fields are larger than 16384 bytes.', {
      cause: failure,
    })
  if (failure.code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new AtomError('malformed_request', 'The request took too long to arrive.', { cause: failure })
  return new AtomError('malformed_request', 'This is not well-formed HTTP.', { cause: failure })
}
