import type { FastifyInstance } from 'fastify'
import { sendRecord } from '../record-page.ts'
import { paramOf } from '../request-parts.ts'
import { type SalesforceData, titleOf } from './salesforce-data.ts'
import type { SalesforceOrg } from './salesforce-org.ts'
import { objectTypes } from './salesforce-schema.ts'
import { parentOf } from './soql.ts'

/** A record at the org's own host, by its id alone, as Salesforce's links go. */
export function salesforcePages(
  app: FastifyInstance,
  dependencies: { org: SalesforceOrg; data: SalesforceData },
): void {
  const { org, data } = dependencies
  app.get(`${org.paths.instance}/:id`, async (request, reply) => {
    const id = paramOf(request, 'id')
    const type = objectTypes.find(({ prefix }) => id.startsWith(prefix))
    const record = type === undefined ? undefined : data.find(type, id)
    if (type === undefined || record === undefined) return sendRecord(reply, 'Salesforce', undefined)
    return sendRecord(reply, 'Salesforce', {
      kind: type.label,
      title: titleOf(record),
      facts: type.fields
        .filter(({ name, type: kind }) => kind !== 'id' && kind !== 'boolean' && name !== 'SystemModstamp')
        .map(({ name, label, relationship }) => {
          const parent = relationship === undefined ? undefined : parentOf(data, type, record, relationship)
          return parent === undefined
            ? [label, String(record[name] ?? '')]
            : [label.replace(/ ID$/, ''), titleOf(parent.record)]
        }),
    })
  })
}
