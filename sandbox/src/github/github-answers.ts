import { randomBytes } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { FastifyReply } from 'fastify'
import type { FaultManners } from '../faults.ts'

const documentation = 'https://docs.github.com/rest'

export interface FieldError {
  readonly resource: string
  readonly field: string
  readonly code: 'missing_field' | 'invalid' | 'custom'
  readonly value?: unknown
  readonly message?: string
}

/** GitHub's one shape of an API error. `status` is repeated as text in the body. */
export function apiProblem(
  reply: FastifyReply,
  status: number,
  message: string,
  errors?: readonly FieldError[],
): FastifyReply {
  reply.status(status).type('application/json; charset=utf-8')
  return reply.send(
    JSON.stringify({
      message,
      ...(errors === undefined ? undefined : { errors }),
      documentation_url: documentation,
      status: String(status),
    }),
  )
}

export function apiAnswer(reply: FastifyReply, body: unknown, status = 200): FastifyReply {
  return reply.status(status).type('application/json; charset=utf-8').send(JSON.stringify(body))
}

/** E.g. `C0DE:1A2B:3C4D5E:6F7081:6740A1B2`. */
export function requestId(): string {
  const hex = randomBytes(12).toString('hex').toUpperCase()
  return [hex.slice(0, 4), hex.slice(4, 8), hex.slice(8, 14), hex.slice(14, 20), hex.slice(20)].join(':')
}

/**
 * One page of `items` with its `Link` header: `per_page` 30, at most 100, pages from 1, and `rel` first, prev, next, last as
 * far as they exist.
 */
export function paginate<T>(reply: FastifyReply, url: URL, items: readonly T[]): readonly T[] {
  const { page, perPage } = pageOf(url)
  const last = Math.max(1, Math.ceil(items.length / perPage))
  const link = (to: number, rel: string) => {
    const target = new URL(url)
    target.searchParams.set('page', String(to))
    return `<${target.href}>; rel="${rel}"`
  }
  const links = [
    ...(page > 1 ? [link(page - 1, 'prev')] : []),
    ...(page < last ? [link(page + 1, 'next'), link(last, 'last')] : []),
    ...(page > 1 ? [link(1, 'first')] : []),
  ]
  if (links.length > 0) reply.header('link', links.join(', '))
  return items.slice((page - 1) * perPage, page * perPage)
}

function pageOf(url: URL): { page: number; perPage: number } {
  const whole = (name: string, fallback: number) => {
    const value = Number(url.searchParams.get(name) ?? fallback)
    return Number.isInteger(value) && value > 0 ? value : fallback
  }
  return { page: whole('page', 1), perPage: Math.min(100, whole('per_page', 30)) }
}

export const githubFaults: FaultManners = {
  prefix: '/github/',
  rateLimited: (reply, retryAfterSeconds) =>
    apiProblem(
      reply.headers({ 'retry-after': retryAfterSeconds, 'x-ratelimit-remaining': 0 }),
      403,
      'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.',
    ),
  failed: (reply, status) =>
    apiProblem(reply, status, status === 401 ? 'Bad credentials' : (STATUS_CODES[status] ?? 'Server Error')),
}
