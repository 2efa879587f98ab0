import type { Problem } from '@atom/contract/errors.ts'
import { type Html, html, page } from './page.ts'

/** The page a browser shows where a door that people reach directly has to say no. Says what happened and what to do next. */
export function problemPage(problem: Problem): { readonly html: string; readonly nonce: string } {
  const body: Html = html`<main class="notice">
<h1>${problem.title}</h1>
<p>${problem.detail}</p>
<p><a class="action" href="/">Open Atom</a></p>
<p class="fine"><a href="/docs/errors#${problem.code}"><code>${problem.code}</code></a><br>Request <code>${problem.requestId}</code></p>
</main>`
  return page({ title: problem.title, body })
}
