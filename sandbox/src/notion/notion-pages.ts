import type { FastifyInstance } from 'fastify'
import { type Html, html, sendPage } from '../page.ts'
import { paramOf } from '../request-parts.ts'
import { type NotionBlock, type NotionData, roadmap, roadmapSchema } from './notion-data.ts'
import { normalId, personByNotionId } from './notion-ids.ts'

const note = 'Sandbox: a stand-in for Notion on this machine'
const pathTo = (id: string) => `/notion/${id.replaceAll('-', '')}`

/** Where the `url` of a page leads: the page, to look at. */
export function notionPages(app: FastifyInstance, data: NotionData): void {
  app.get('/notion/:id', async (request, reply) => {
    const page = data.page(normalId(paramOf(request, 'id')) ?? '')
    if (page === undefined) {
      return sendPage(reply, {
        title: 'Not found · Notion sandbox',
        note,
        status: 404,
        body: html`<h1>There is no such page</h1><p>The sandbox has no page at this address.</p>`,
      })
    }
    const above = page.parent === undefined ? undefined : data.page(page.parent)
    const rows = page.id === roadmap.parent ? data.pages().filter(({ row, inTrash }) => row && !inTrash) : []
    const children = data.childPages(page.id)
    return sendPage(reply, {
      title: `${page.title} · Notion sandbox`,
      note,
      wide: true,
      body: html`<p class="quiet">${above === undefined ? 'Atom Labs' : html`<a href="${pathTo(above.id)}">${above.title}</a>`}</p>
<h1>${page.title === '' ? 'Untitled' : page.title}</h1>
<div class="meta">${page.inTrash ? html`<span class="state closed">In the trash</span>` : undefined}<span>Changed ${page.editedAt.slice(0, 10)}</span></div>
${
  page.row
    ? html`<table><thead><tr><th scope="col">Property</th><th scope="col">Value</th></tr></thead><tbody>${Object.keys(
        roadmapSchema,
      )
        .filter((name) => name !== 'Name')
        .map((name) => html`<tr><td>${name}</td><td>${shown(page.values[name])}</td></tr>`)}</tbody></table>`
    : undefined
}
${data.blocksOf(page.id).map((block) => line(block))}
${children.length === 0 ? undefined : html`<h2>Pages</h2>${children.map((child) => html`<p><a href="${pathTo(child.id)}">${child.title}</a></p>`)}`}
${
  rows.length === 0
    ? undefined
    : html`<h2>${roadmap.title}</h2><table><thead><tr><th scope="col">Status</th><th scope="col">Plan</th></tr></thead><tbody>${rows.map(
        (row) =>
          html`<tr><td>${shown(row.values['Status'])}</td><td><a href="${pathTo(row.id)}">${row.title}</a></td></tr>`,
      )}</tbody></table>`
}`,
    })
  })
}

function line({ type, text, checked }: NotionBlock): Html {
  if (type.startsWith('heading_')) return html`<h2>${text}</h2>`
  if (type === 'divider') return html`<hr>`
  const mark = type === 'to_do' ? (checked ? '☑ ' : '☐ ') : type.endsWith('list_item') ? '• ' : ''
  return html`<p>${mark}${text}</p>`
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map((id) => personByNotionId(String(id))?.name ?? id).join(', ')
  if (typeof value === 'boolean') return value ? 'Yes' : 'No'
  return value === undefined ? '' : String(value)
}
