import type { FastifyInstance } from 'fastify'
import { html, sendPage } from '../page.ts'
import { people } from '../people.ts'
import { paramOf } from '../request-parts.ts'
import { type CrmData, crmSchemas } from './crm-data.ts'
import { ownerId } from './hubspot-hub.ts'

const note = 'Sandbox: a stand-in for HubSpot on this machine'

/** Where the `url` of a record leads: the contact or deal, to look at. */
export function crmPages(app: FastifyInstance, data: CrmData): void {
  app.get('/hubspot/contacts/record/:type/:id', async (request, reply) => {
    const type = paramOf(request, 'type') === 'deals' ? 'deals' : 'contacts'
    const record = data.find(type, paramOf(request, 'id'))
    if (record === undefined) {
      return sendPage(reply, {
        title: 'Not found · HubSpot sandbox',
        note,
        status: 404,
        body: html`<h1>There is no such record</h1><p>The sandbox has no ${crmSchemas[type].singular} at this address.</p>`,
      })
    }
    const { singular, title, properties: known } = crmSchemas[type]
    const owner = people.find(({ key }) => ownerId(key) === record.properties['hubspot_owner_id'])
    const shown = known.filter(
      (name) => name !== 'hubspot_owner_id' && (record.properties[name] ?? '') !== '',
    )
    return sendPage(reply, {
      title: `${title(record.properties)} · HubSpot sandbox`,
      note,
      wide: true,
      body: html`<p class="quiet">${singular === 'deal' ? 'Deal' : 'Contact'} ${record.id}</p>
<h1>${title(record.properties)}</h1>
<div class="meta">${record.archivedAt === undefined ? undefined : html`<span class="state closed">Archived</span>`}${owner === undefined ? undefined : html`<span>Owner: ${owner.name}</span>`}<span>Changed ${record.updatedAt.slice(0, 10)}</span></div>
<table><thead><tr><th scope="col">Property</th><th scope="col">Value</th></tr></thead><tbody>${shown.map(
        (name) => html`<tr><td>${name}</td><td>${record.properties[name]}</td></tr>`,
      )}</tbody></table>`,
    })
  })
}
