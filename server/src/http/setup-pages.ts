import { type Html, html, page } from './page.ts'
import { pagePolicy } from './security-headers.ts'
import type { HttpServer } from './server.ts'

/** A page of words, lists and tables. In its texts `` `…` `` is set as code, and nothing else means anything. */
interface SetupPage {
  readonly path: string
  readonly title: string
  readonly summary: string
  readonly consoleUrl: string
  readonly sections: readonly {
    readonly heading: string
    readonly paragraphs?: readonly string[]
    readonly steps?: readonly string[]
    readonly table?: { readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] }
  }[]
}

/** One address each. Made anew for every visit, because the address of this server is in the words. */
export function setupPageDoors(http: HttpServer, pages: ReadonlyMap<string, () => SetupPage>): void {
  for (const [path, content] of pages) {
    http.get(path, async (_request, reply) => {
      const made = page({ title: content().title, body: bodyOf(content()) })
      return reply
        .header('content-security-policy', pagePolicy(made.nonce))
        .header('content-type', 'text/html; charset=utf-8')
        .send(made.html)
    })
  }
}

function bodyOf({ title, summary, consoleUrl, sections }: SetupPage): Html {
  return html`<main class="reference">
<h1>${title}</h1>
<p>${summary}</p>
<p><a href="${consoleUrl}" rel="noreferrer">Open the console of ${title}</a></p>
${sections.map(
  ({ heading, paragraphs = [], steps = [], table }) => html`<section>
<h2>${heading}</h2>
${paragraphs.map((text) => html`<p>${worded(text)}</p>`)}
${steps.length === 0 ? '' : html`<ol>${steps.map((text) => html`<li>${worded(text)}</li>`)}</ol>`}
${table === undefined ? '' : tableOf(table)}
</section>`,
)}
</main>`
}

function tableOf({ head, rows }: NonNullable<SetupPage['sections'][number]['table']>): Html {
  const titles = head.some((cell) => cell !== '')
    ? html`<thead><tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead>`
    : html``
  return html`<div class="wide"><table>${titles}<tbody>${rows.map(
    (row) => html`<tr>${row.map((cell) => html`<td>${worded(cell)}</td>`)}</tr>`,
  )}</tbody></table></div>`
}

function worded(text: string): Html {
  const parts = text.split('`').map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : html`${part}`))
  return html`${parts}`
}
