import type { FastifyRequest } from 'fastify'
import type { Parameters } from './authorization-server.ts'

export function queryOf(request: FastifyRequest): Parameters {
  return Object.fromEntries(new URL(request.url, 'http://sandbox').searchParams)
}

export function paramOf(request: FastifyRequest, name: string): string {
  const { params } = request
  const value: unknown = typeof params === 'object' && params !== null ? Reflect.get(params, name) : undefined
  return typeof value === 'string' ? value : ''
}

/** The fields of a form or a JSON object; a body that is neither has none. */
export function fieldsOf(request: FastifyRequest): Parameters {
  const raw = typeof request.body === 'string' ? request.body : ''
  if (!(request.headers['content-type'] ?? '').includes('json')) {
    return Object.fromEntries(new URLSearchParams(raw))
  }
  try {
    const parsed: unknown = JSON.parse(raw)
    if (typeof parsed !== 'object' || parsed === null) return {}
    return Object.fromEntries(
      Object.entries(parsed).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    )
  } catch {
    return {}
  }
}

export function basicOf(request: FastifyRequest): { id: string; secret: string } | undefined {
  const [scheme, encoded] = (request.headers.authorization ?? '').split(' ')
  if (scheme?.toLowerCase() !== 'basic' || encoded === undefined) return undefined
  const decoded = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  return colon < 0 ? undefined : { id: decoded.slice(0, colon), secret: decoded.slice(colon + 1) }
}

/** As `fieldsOf`, with the client's id and secret also where they came as `Authorization: Basic`. */
export function fieldsWithClientOf(request: FastifyRequest): Parameters {
  const basic = basicOf(request)
  return {
    ...fieldsOf(request),
    ...(basic === undefined ? undefined : { client_id: basic.id, client_secret: basic.secret }),
  }
}

/** `Authorization: Bearer …` or `token …`; undefined where there is none. */
export function bearerOf(request: FastifyRequest): string | undefined {
  return /^(?:bearer|token)\s+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
}

/** The JSON object of the body; undefined where it is none. An absent body is an empty object. */
export function objectOf(request: FastifyRequest): Readonly<Record<string, unknown>> | undefined {
  if (typeof request.body !== 'string' || request.body === '') return {}
  try {
    const parsed: unknown = JSON.parse(request.body)
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : undefined
  } catch {
    return undefined
  }
}
