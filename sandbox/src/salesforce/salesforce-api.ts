import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationServer } from '../authorization-server.ts'
import type { Person } from '../people.ts'
import type { RateLimits } from '../rate-limits.ts'
import { bearerOf, objectOf, paramOf } from '../request-parts.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import {
  limitExceeded,
  SalesforceProblem,
  salesforceAnswer,
  salesforceProblem,
  sessionInvalid,
} from './salesforce-answers.ts'
import type { SalesforceData, SalesforceRecord } from './salesforce-data.ts'
import type { SalesforceOrg } from './salesforce-org.ts'
import { type Field, fieldOf, type ObjectType, objectTypeOf, objectTypes } from './salesforce-schema.ts'
import { parentOf, runQuery, valueAt } from './soql.ts'

interface Call {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly person: Person
  readonly query: URLSearchParams
  /** `/services/data/v62.0` */
  readonly root: string
}

const [oldest, newest] = [50, 66]

/**
 * A slice of the REST API (https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/) at the org's own host:
 * query, describe, records by id and by external id, limits.
 */
export function salesforceApi(
  app: FastifyInstance,
  dependencies: {
    org: SalesforceOrg
    server: AuthorizationServer
    data: SalesforceData
    limits: RateLimits
    clock: SandboxClock
  },
): void {
  const { org, server, data, limits, clock } = dependencies
  const services = `${org.paths.instance}/services/data`
  const base = `${services}/:version`

  const door = (handler: (call: Call) => FastifyReply) => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const owner = await server.owner(bearerOf(request) ?? '')
      if (owner === undefined) {
        return salesforceProblem(reply.header('www-authenticate', 'Token'), sessionInvalid)
      }
      // The org's allowance, whoever calls.
      const standing = limits.take('salesforce', org.id, 'core', true)
      reply.header('sforce-limit-info', `api-usage=${standing.limit - standing.remaining}/${standing.limit}`)
      if (standing.exceeded) return salesforceProblem(reply, limitExceeded)
      try {
        if (!['api', 'full'].some((scope) => owner.scopes.includes(scope))) {
          throw new SalesforceProblem(
            403,
            'API_DISABLED_FOR_ORG',
            'This session is not valid for use with the REST API',
          )
        }
        const version = paramOf(request, 'version')
        const number = Number(/^v(\d+)\.0$/.exec(version)?.[1])
        if (!(number >= oldest && number <= newest)) throw missing()
        const query = new URL(request.url, 'http://sandbox').searchParams
        return handler({ request, reply, person: owner.person, query, root: `/services/data/${version}` })
      } catch (thrown) {
        if (thrown instanceof SalesforceProblem) return salesforceProblem(reply, thrown)
        throw thrown
      }
    }
  }
  const typeOf = ({ request }: Call): ObjectType => {
    const type = objectTypeOf(paramOf(request, 'type'))
    if (type === undefined) throw missing()
    return type
  }
  const writableOf = (call: Call): ObjectType => {
    const type = typeOf(call)
    if (!type.writable) {
      throw new SalesforceProblem(
        400,
        'CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY',
        `entity type cannot be changed: ${type.name}`,
      )
    }
    return type
  }
  const recordOf = (call: Call, type: ObjectType): SalesforceRecord => {
    const record = data.find(type, paramOf(call.request, 'id'))
    if (record === undefined) throw missing()
    return record
  }
  const bodyOf = ({ request }: Call): Readonly<Record<string, unknown>> => {
    const body = objectOf(request)
    if (body === undefined) {
      throw new SalesforceProblem(400, 'JSON_PARSER_ERROR', 'Unexpected character in the request body')
    }
    return body
  }
  const externalOf = (call: Call, type: ObjectType): { field: Field; value: string } => {
    const field = fieldOf(type, paramOf(call.request, 'field'))
    if (field?.externalId !== true) {
      throw new SalesforceProblem(
        404,
        'NOT_FOUND',
        `Provided external ID field does not exist or is not accessible: ${paramOf(call.request, 'field')}`,
      )
    }
    return { field, value: paramOf(call.request, 'value') }
  }

  app.get(services, async (_request, reply) =>
    salesforceAnswer(
      reply,
      Array.from({ length: newest - oldest + 1 }, (_, index) => `${oldest + index}.0`).map((version) => ({
        label: `API ${version}`,
        url: `/services/data/v${version}`,
        version,
      })),
    ),
  )
  app.get(
    base,
    door(({ reply, root }) =>
      salesforceAnswer(reply, {
        query: `${root}/query`,
        sobjects: `${root}/sobjects`,
        limits: `${root}/limits`,
        identity: `${org.login}/id/${org.id}`,
      }),
    ),
  )
  app.get(
    `${base}/limits`,
    door(({ reply }) => {
      const { limit, remaining } = limits.look('salesforce', org.id, 'core', true)
      return salesforceAnswer(reply, { DailyApiRequests: { Max: limit, Remaining: remaining } })
    }),
  )

  /** `soql` from row `from` on, in answers of as many rows as the caller likes (200 to 2000). */
  const answerQuery = (call: Call, soql: string, from: number) => {
    const wished = Number(
      /batchSize=(\d+)/i.exec(String(call.request.headers['sforce-query-options'] ?? ''))?.[1] ?? 2000,
    )
    const size = Math.min(2000, Math.max(200, wished))
    const { type, records, fields } = runQuery(soql, data, clock.now())
    if (fields.length === 0) {
      return salesforceAnswer(call.reply, { totalSize: records.length, done: true, records: [] })
    }
    const done = from + size >= records.length
    return salesforceAnswer(call.reply, {
      totalSize: records.length,
      done,
      ...(done
        ? undefined
        : { nextRecordsUrl: `${call.root}/query/${Buffer.from(soql).toString('base64url')}-${from + size}` }),
      records: records.slice(from, from + size).map((record) => shown(data, type, record, fields, call.root)),
    })
  }
  for (const path of [`${base}/query`, `${base}/query/`, `${base}/queryAll`, `${base}/queryAll/`]) {
    app.get(
      path,
      door((call) => {
        const soql = call.query.get('q')
        if (soql === null) throw new SalesforceProblem(400, 'MALFORMED_QUERY', 'SOQL query is required')
        return answerQuery(call, soql, 0)
      }),
    )
  }
  app.get(
    `${base}/query/:locator`,
    door((call) => {
      const [, text, from] = /^(.+)-(\d+)$/.exec(paramOf(call.request, 'locator')) ?? []
      if (text === undefined || from === undefined) {
        throw new SalesforceProblem(400, 'INVALID_QUERY_LOCATOR', 'invalid query locator')
      }
      return answerQuery(call, Buffer.from(text, 'base64url').toString(), Number(from))
    }),
  )

  app.get(
    `${base}/sobjects`,
    door(({ reply, root }) =>
      salesforceAnswer(reply, {
        encoding: 'UTF-8',
        maxBatchSize: 200,
        sobjects: objectTypes.map((type) => brief(type, root)),
      }),
    ),
  )
  app.get(
    `${base}/sobjects/:type/describe`,
    door((call) => {
      const type = typeOf(call)
      return salesforceAnswer(call.reply, { ...brief(type, call.root), fields: type.fields.map(described) })
    }),
  )
  for (const path of [`${base}/sobjects/:type`, `${base}/sobjects/:type/`]) {
    app.post(
      path,
      door((call) => {
        const type = writableOf(call)
        const { Id } = data.create(call.person, type, bodyOf(call))
        call.reply.header('location', `${call.root}/sobjects/${type.name}/${Id}`)
        return salesforceAnswer(call.reply, { id: Id, success: true, errors: [] }, 201)
      }),
    )
  }
  app.get(
    `${base}/sobjects/:type/:id`,
    door((call) => {
      const type = typeOf(call)
      const record = recordOf(call, type)
      return salesforceAnswer(call.reply, shown(data, type, record, fieldsOf(call, type), call.root))
    }),
  )
  app.patch(
    `${base}/sobjects/:type/:id`,
    door((call) => {
      const type = writableOf(call)
      data.change(call.person, type, recordOf(call, type), bodyOf(call))
      return call.reply.status(204).send()
    }),
  )
  app.delete(
    `${base}/sobjects/:type/:id`,
    door((call) => {
      const type = writableOf(call)
      data.delete(call.person, type, recordOf(call, type))
      return call.reply.status(204).send()
    }),
  )
  app.get(
    `${base}/sobjects/:type/:field/:value`,
    door((call) => {
      const type = typeOf(call)
      const { field, value } = externalOf(call, type)
      const record = data.findBy(type, field, value)
      if (record === undefined) throw missing()
      return salesforceAnswer(call.reply, shown(data, type, record, fieldsOf(call, type), call.root))
    }),
  )
  // Made or changed, whichever it takes: the same request twice leaves one record.
  app.patch(
    `${base}/sobjects/:type/:field/:value`,
    door((call) => {
      const type = writableOf(call)
      const { field, value } = externalOf(call, type)
      const body = bodyOf(call)
      if (fieldOf(type, field.name) !== undefined && field.name in body) {
        throw new SalesforceProblem(
          400,
          'INVALID_FIELD',
          `The ${field.name} field should not be specified in the sobject data.`,
        )
      }
      const known = data.findBy(type, field, value)
      if (known === undefined) {
        const { Id } = data.create(call.person, type, { ...body, [field.name]: value })
        return salesforceAnswer(call.reply, { id: Id, success: true, errors: [], created: true }, 201)
      }
      data.change(call.person, type, known, body)
      return salesforceAnswer(call.reply, { id: known.Id, success: true, errors: [], created: false })
    }),
  )
}

function missing(): SalesforceProblem {
  return new SalesforceProblem(404, 'NOT_FOUND', 'The requested resource does not exist')
}

/** `fields=` of the request, or all. */
function fieldsOf(call: Call, type: ObjectType): string[] {
  const wished = call.query.get('fields')
  if (wished === null) return type.fields.map(({ name }) => name)
  return wished.split(',').map((name) => {
    const field = fieldOf(type, name.trim())
    if (field === undefined) {
      throw new SalesforceProblem(400, 'INVALID_FIELD', `No such column '${name}' on entity '${type.name}'.`)
    }
    return field.name
  })
}

/** The record with `attributes`; what is reached through a relationship is a record in it. */
function shown(
  data: SalesforceData,
  type: ObjectType,
  record: SalesforceRecord,
  fields: readonly string[],
  root: string,
): Readonly<Record<string, unknown>> {
  const own = fields.filter((path) => !path.includes('.'))
  const heads = new Set(
    fields.filter((path) => path.includes('.')).map((path) => path.slice(0, path.indexOf('.'))),
  )
  return {
    attributes: { type: type.name, url: `${root}/sobjects/${type.name}/${record.Id}` },
    ...Object.fromEntries(own.map((name) => [name, valueAt(data, type, record, name)])),
    ...Object.fromEntries(
      [...heads].map((head) => {
        const parent = parentOf(data, type, record, head)
        const inside = fields
          .filter((path) => path.startsWith(`${head}.`))
          .map((path) => path.slice(head.length + 1))
        return [head, parent === undefined ? null : shown(data, parent.type, parent.record, inside, root)]
      }),
    ),
  }
}

function brief(type: ObjectType, root: string) {
  const { name, label, plural, prefix, writable } = type
  return {
    name,
    label,
    labelPlural: plural,
    keyPrefix: prefix,
    createable: writable,
    updateable: writable,
    deletable: writable,
    queryable: true,
    custom: false,
    urls: {
      sobject: `${root}/sobjects/${name}`,
      describe: `${root}/sobjects/${name}/describe`,
      rowTemplate: `${root}/sobjects/${name}/{ID}`,
    },
  }
}

function described(field: Field) {
  const { name, label, type, required, writable, externalId, refersTo, relationship, values } = field
  return {
    name,
    label,
    type,
    createable: writable,
    updateable: writable,
    nillable: !required && type !== 'boolean' && type !== 'id',
    custom: name.endsWith('__c'),
    externalId,
    idLookup: externalId || type === 'id' || type === 'email',
    filterable: true,
    sortable: type !== 'textarea',
    unique: externalId,
    referenceTo: refersTo === undefined ? [] : [refersTo],
    relationshipName: relationship ?? null,
    picklistValues: values.map((value) => ({ active: true, defaultValue: false, label: value, value })),
  }
}
