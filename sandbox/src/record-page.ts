import type { FastifyReply } from 'fastify'
import { type Html, html, sendPage } from './page.ts'

/** One thing out of a provider's data, to look at. */
export interface RecordPage {
  /** What kind of thing it is and where it belongs: "Task in Website relaunch". */
  readonly kind: string
  readonly title: string
  readonly facts: readonly (readonly [name: string, value: string])[]
  readonly text?: string
  readonly comments?: readonly { readonly author: string; readonly at: string; readonly text: string }[]
}

/** Where a provider's link to one of its things leads. Without a thing: the page that says so. */
export function sendRecord(
  reply: FastifyReply,
  provider: string,
  record: RecordPage | undefined,
): FastifyReply {
  const note = `Sandbox: a stand-in for ${provider} on this machine`
  if (record === undefined) {
    return sendPage(reply, {
      title: `Not found · ${provider} sandbox`,
      note,
      status: 404,
      body: html`<h1>There is nothing here</h1><p>The sandbox has nothing at this address.</p>`,
    })
  }
  const { kind, title, facts, text = '', comments = [] } = record
  return sendPage(reply, {
    title: `${title} · ${provider} sandbox`,
    note,
    wide: true,
    body: html`<p class="quiet">${kind}</p>
<h1>${title}</h1>
${text === '' ? undefined : html`<div class="text">${text}</div>`}
<h2>Details</h2><table><thead><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead><tbody>${facts
      .filter(([, value]) => value !== '')
      .map(([name, value]) => html`<tr><td>${name}</td><td>${value}</td></tr>`)}</tbody></table>
${comments.map(comment)}`,
  })
}

function comment({ author, at, text }: { author: string; at: string; text: string }): Html {
  return html`<section class="comment"><div class="meta"><b>${author}</b><span>${moment(at)}</span></div><div class="text">${text}</div></section>`
}

/** In words, UTC: `Monday, 23 November 2026 at 09:30`. */
export function moment(at: string): string {
  return new Date(at).toLocaleString('en-GB', { dateStyle: 'full', timeStyle: 'short', timeZone: 'UTC' })
}
