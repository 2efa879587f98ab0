import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationServer } from '../authorization-server.ts'
import { type Person, people } from '../people.ts'
import type { RateLimits } from '../rate-limits.ts'
import { bearerOf, objectOf, paramOf } from '../request-parts.ts'
import { type CrmData, type CrmRecord, type CrmType, crmSchemas, dealStages, recordPath } from './crm-data.ts'
import { searchRecords } from './crm-search.ts'
import { crmAnswer, crmProblem, expired, rateLimited } from './hubspot-answers.ts'
import { hub, hubspotUserId, ownerId } from './hubspot-hub.ts'

interface Call {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly person: Person
  readonly query: URLSearchParams
}

const daily = 250_000

/**
 * A slice of the CRM API v3 (https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide): contacts, deals, their
 * search, owners, and the account. A burst of 110 requests in ten seconds, five searches a second.
 */
export function crmApi(
  app: FastifyInstance,
  dependencies: { server: AuthorizationServer; data: CrmData; limits: RateLimits; url: () => string },
): void {
  const { server, data, limits } = dependencies
  let usedToday = 0

  const door = (scope: string, handler: (call: Call) => FastifyReply, kind: 'burst' | 'search' = 'burst') => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const token = bearerOf(request)
      const owner = token === undefined ? undefined : await server.owner(token)
      if (token === undefined || owner === undefined) {
        if (token !== undefined && (await server.expired(token))) return expired(reply)
        const message =
          token === undefined
            ? 'Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview'
            : 'Authentication credentials are invalid. The access token is unknown or was revoked.'
        return crmProblem(reply, 401, 'INVALID_AUTHENTICATION', message)
      }
      if (kind === 'search') {
        // Search counts apart, and says nothing about it in headers.
        if (limits.spend('hubspot', `${token} search`, { requests: 5, seconds: 1 }).exceeded) {
          return rateLimited(reply, 'SECONDLY')
        }
      } else {
        const standing = limits.spend('hubspot', token, { requests: 110, seconds: 10 })
        usedToday += 1
        reply.headers({
          'x-hubspot-ratelimit-max': standing.limit,
          'x-hubspot-ratelimit-remaining': standing.remaining,
          'x-hubspot-ratelimit-interval-milliseconds': 10_000,
          'x-hubspot-ratelimit-daily': daily,
          'x-hubspot-ratelimit-daily-remaining': Math.max(0, daily - usedToday),
        })
        if (standing.exceeded) return rateLimited(reply, 'TEN_SECONDLY_ROLLING')
      }
      if (!owner.scopes.includes(scope)) {
        const message =
          'This app hasn’t been granted all required scopes to make this call. Read more about required scopes here: https://developers.hubspot.com/scopes.'
        return crmProblem(reply, 403, 'MISSING_SCOPES', message, {
          errors: [{ message, context: { requiredGranularScopes: [scope] } }],
        })
      }
      const query = new URL(request.url, dependencies.url()).searchParams
      return handler({ request, reply, person: owner.person, query })
    }
  }

  const view = (record: CrmRecord, asked: readonly string[]) => ({
    id: record.id,
    properties: Object.fromEntries(
      [...new Set(asked.length > 0 ? [...asked, ...alwaysThere(record.type)] : crmSchemas[record.type].usual)]
        .sort()
        .map((name) => [name, record.properties[name] ?? null]),
    ),
    createdAt: record.createdAt,
    updatedAt: record.updatedAt,
    archived: record.archivedAt !== undefined,
    ...(record.archivedAt === undefined ? undefined : { archivedAt: record.archivedAt }),
    url: `${dependencies.url()}${recordPath(record)}`,
  })
  const missing = (reply: FastifyReply) => crmProblem(reply, 404, 'OBJECT_NOT_FOUND', 'resource not found')

  for (const type of ['contacts', 'deals'] as const) {
    const base = `/hubspot/api/crm/v3/objects/${type}`
    const [reads, writes] = [`crm.objects.${type}.read`, `crm.objects.${type}.write`]
    const onRecord = (handler: (call: Call, record: CrmRecord) => FastifyReply) => (call: Call) => {
      const id = paramOf(call.request, 'id')
      const record =
        type === 'contacts' && call.query.get('idProperty') === 'email'
          ? data.contactByEmail(id)
          : data.find(type, id)
      const wanted = call.query.get('archived') === 'true'
      return record === undefined || (record.archivedAt !== undefined) !== wanted
        ? missing(call.reply)
        : handler(call, record)
    }

    app.get(
      base,
      door(reads, ({ reply, query }) => {
        const limit = Number(query.get('limit') ?? 10)
        if (!Number.isInteger(limit) || limit < 1 || limit > 100) {
          return invalid(reply, 'limit must be less than or equal to 100')
        }
        const records = data.list(type, query.get('archived') === 'true')
        // The cursor is the id of the record the next page begins with.
        const after = query.get('after')
        const from = after === null ? 0 : records.findIndex(({ id }) => Number(id) >= Number(after))
        const page = from < 0 ? [] : records.slice(from, from + limit)
        const next = from < 0 ? undefined : records[from + limit]
        return crmAnswer(reply, {
          results: page.map((record) => view(record, propertiesOf(query))),
          ...(next === undefined
            ? undefined
            : { paging: pagingTo(next.id, query, `${dependencies.url()}${base}`) }),
        })
      }),
    )
    app.get(
      `${base}/:id`,
      door(
        reads,
        onRecord(({ reply, query }, record) => crmAnswer(reply, view(record, propertiesOf(query)))),
      ),
    )
    app.post(
      base,
      door(writes, ({ request, reply, person }) => {
        const properties = propertiesFrom(type, objectOf(request))
        if (!('values' in properties)) return invalidProperties(reply, properties)
        const { email } = properties.values
        const known = type === 'contacts' && email !== undefined ? data.contactByEmail(email) : undefined
        if (known !== undefined) return conflict(reply, known)
        return crmAnswer(
          reply,
          view(data.create(person, type, properties.values), Object.keys(properties.values)),
          201,
        )
      }),
    )
    app.patch(
      `${base}/:id`,
      door(
        writes,
        onRecord(({ request, reply, person }, record) => {
          const properties = propertiesFrom(type, objectOf(request))
          if (!('values' in properties)) return invalidProperties(reply, properties)
          const { email } = properties.values
          const known = type === 'contacts' && email !== undefined ? data.contactByEmail(email) : undefined
          if (known !== undefined && known.id !== record.id) return conflict(reply, known)
          const changed = data.change(person, record, properties.values)
          return crmAnswer(reply, view(changed, Object.keys(properties.values)))
        }),
      ),
    )
    // Archiving what is archived, or was never there, is no error.
    app.delete(
      `${base}/:id`,
      door(writes, ({ request, reply, person }) => {
        const record = data.find(type, paramOf(request, 'id'))
        if (record !== undefined && record.archivedAt === undefined) data.archive(person, record)
        return reply.status(204).send()
      }),
    )
    app.post(
      `${base}/search`,
      door(
        reads,
        ({ request, reply }) => {
          const body = objectOf(request)
          if (body === undefined) return invalid(reply, 'Invalid input JSON')
          const page = searchRecords(type, data.list(type, false), body)
          if (typeof page === 'string') return invalid(reply, page)
          const asked = Array.isArray(body['properties']) ? body['properties'].map(String) : []
          return crmAnswer(reply, {
            total: page.total,
            results: page.found.map((record) => view(record, asked)),
            ...(page.next === undefined ? undefined : { paging: { next: { after: String(page.next) } } }),
          })
        },
        'search',
      ),
    )
  }

  for (const path of ['/hubspot/api/crm/v3/owners', '/hubspot/api/crm/v3/owners/']) {
    app.get(
      path,
      door('crm.objects.owners.read', ({ reply, query }) => {
        const email = query.get('email')?.toLowerCase()
        return crmAnswer(reply, {
          results: people
            .filter((person) => email === undefined || person.email === email)
            .map((person) => ({
              id: ownerId(person.key),
              email: person.email,
              firstName: person.givenName,
              lastName: person.familyName,
              userId: hubspotUserId(person),
              type: 'PERSON',
              createdAt: '2024-02-12T09:00:00.000Z',
              updatedAt: '2024-02-12T09:00:00.000Z',
              archived: false,
            })),
        })
      }),
    )
  }
  app.get(
    '/hubspot/api/account-info/v3/details',
    door('oauth', ({ reply }) =>
      crmAnswer(reply, {
        portalId: hub.id,
        accountType: 'STANDARD',
        timeZone: 'UTC',
        companyCurrency: 'EUR',
        additionalCurrencies: [],
        utcOffset: '+00:00',
        utcOffsetMilliseconds: 0,
        uiDomain: 'app.hubspot.com',
        dataHostingLocation: 'na1',
      }),
    ),
  )
  app.all('/hubspot/api/*', async (_request, reply) => missing(reply))
}

function alwaysThere(type: CrmType): string[] {
  return ['createdate', 'hs_object_id', crmSchemas[type].modified]
}

function propertiesOf(query: URLSearchParams): string[] {
  return query
    .getAll('properties')
    .flatMap((list) => list.split(','))
    .filter((name) => name !== '')
}

function pagingTo(after: string, query: URLSearchParams, base: string) {
  const next = new URLSearchParams(query)
  next.set('after', after)
  return { next: { after, link: `${base}?${next}` } }
}

type WrongProperty = { readonly name: string; readonly error: string; readonly message: string }

/** The properties a body sets, as text; what is wrong with the first wrong one. */
function propertiesFrom(
  type: CrmType,
  body: Readonly<Record<string, unknown>> | undefined,
): { readonly values: Readonly<Record<string, string>> } | WrongProperty {
  const sent: unknown = body?.['properties']
  if (typeof sent !== 'object' || sent === null || Array.isArray(sent)) {
    return { name: 'properties', error: 'MISSING_REQUIRED', message: 'properties is required' }
  }
  const known: readonly string[] = crmSchemas[type].properties
  const values: Record<string, string> = {}
  for (const [name, value] of Object.entries(sent)) {
    if (!known.includes(name)) {
      return { name, error: 'PROPERTY_DOESNT_EXIST', message: `Property "${name}" does not exist` }
    }
    const text = value === null ? '' : String(value)
    const error = wrongValue(name, text)
    if (error !== undefined) return { name, error, message: `${text} was not valid for ${name}` }
    values[name] = name === 'email' ? text.toLowerCase() : text
  }
  return { values }
}

function wrongValue(name: string, text: string): string | undefined {
  if (text === '') return undefined
  if (name === 'email' && !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(text)) return 'INVALID_EMAIL'
  if (name === 'amount' && !/^-?\d+(\.\d+)?$/.test(text)) return 'INVALID_NUMBER'
  if (name === 'closedate' && Number.isNaN(Date.parse(text)) && !/^\d+$/.test(text)) return 'INVALID_DATE'
  if (name === 'dealstage' && !dealStages.includes(text)) return 'INVALID_OPTION'
  return undefined
}

function invalid(reply: FastifyReply, message: string) {
  return crmProblem(reply, 400, 'VALIDATION_ERROR', message)
}

function invalidProperties(reply: FastifyReply, { name, error, message }: WrongProperty) {
  const detail = [{ isValid: false, message, error, name }]
  return crmProblem(
    reply,
    400,
    'VALIDATION_ERROR',
    `Property values were not valid: ${JSON.stringify(detail)}`,
    {
      errors: [{ message, code: error, context: { propertyName: [name] } }],
    },
  )
}

function conflict(reply: FastifyReply, known: CrmRecord) {
  return crmProblem(reply, 409, 'CONFLICT', `Contact already exists. Existing ID: ${known.id}`)
}
