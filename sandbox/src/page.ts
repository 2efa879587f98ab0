import { createHash } from 'node:crypto'
import type { FastifyReply } from 'fastify'

/** Markup that is known to be safe; everything else put into `html` is escaped. */
export class Html {
  readonly markup: string
  constructor(markup: string) {
    this.markup = markup
  }
}

type Part = string | number | Html | readonly Html[] | undefined

export function html(pieces: TemplateStringsArray, ...parts: Part[]): Html {
  return new Html(
    pieces.map((piece, index) => piece + (index < parts.length ? render(parts[index]) : '')).join(''),
  )
}

function render(part: Part): string {
  if (part === undefined) return ''
  if (part instanceof Html) return part.markup
  if (typeof part === 'object') return part.map(render).join('')
  return String(part).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

// Values are those of the Radix scales slate and iris, light and dark; the pages load nothing.
const style = `
:root { color-scheme: light dark; --ground: #f9f9fb; --card: #ffffff; --line: #d9d9e0; --soft: #f0f0f3; --text: #1c2024;
  --quiet: #60646c; --accent: #5b5bd6; --accent-hover: #5151cd; --on-accent: #ffffff; --ring: #5b5bd6; --note: #f0f1fe;
  --note-text: #5753c6; --open: #2a7e3b; --closed: #5753c6; }
@media (prefers-color-scheme: dark) { :root { --ground: #111113; --card: #18191b; --line: #363a3f; --soft: #212225;
  --text: #edeef0; --quiet: #b0b4ba; --accent: #5b5bd6; --accent-hover: #6e6ade; --on-accent: #ffffff; --ring: #b1a9ff;
  --note: #202248; --note-text: #b1a9ff; --open: #71d083; --closed: #b1a9ff; } }
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--ground); color: var(--text); display: flex; flex-direction: column;
  align-items: center; padding: 48px 16px; font: 400 14px/20px "Inter Variable", Inter, system-ui, -apple-system, "Segoe UI", sans-serif; }
main { width: 100%; max-width: 400px; }
main.wide { max-width: 720px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 24px; }
.note { margin: 0 0 16px; padding: 8px 12px; border-radius: 6px; background: var(--note); color: var(--note-text); font-size: 13px; text-align: center; }
h1 { margin: 0; font-size: 20px; line-height: 28px; font-weight: 600; overflow-wrap: anywhere; }
h2 { margin: 24px 0 8px; font-size: 14px; line-height: 20px; font-weight: 600; }
p { margin: 8px 0 0; text-wrap: pretty; }
.quiet, footer { color: var(--quiet); }
footer { margin-top: 16px; text-align: center; text-wrap: balance; font-size: 12px; line-height: 16px; overflow-wrap: anywhere; }
a { color: inherit; text-underline-offset: 3px; }
img { display: block; border-radius: 50%; background: var(--soft); }
form { margin: 0; }
button { font: inherit; font-weight: 500; color: inherit; border: 1px solid var(--line); border-radius: 6px; background: var(--card);
  padding: 9px 16px; cursor: pointer; transition: background 120ms; }
button:hover { background: var(--soft); }
button.next { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button.next:hover { background: var(--accent-hover); }
a:focus-visible, button:focus-visible, input:focus-visible { outline: 2px solid var(--ring); outline-offset: 2px; }
.actions { display: flex; gap: 8px; margin-top: 24px; }
.actions button { flex: 1; }
.people { display: grid; gap: 8px; margin-top: 16px; }
.people button, .as { display: flex; align-items: center; gap: 12px; text-align: left; }
.people button { padding: 10px 12px; width: 100%; }
.as { margin-top: 16px; padding: 12px; border-radius: 6px; background: var(--soft); }
.as form { margin-left: auto; }
.who { display: block; min-width: 0; overflow-wrap: anywhere; }
.who b { display: block; font-weight: 500; }
.who span { display: block; font-weight: 400; font-size: 13px; line-height: 16px; color: var(--quiet); }
.link { border: 0; background: none; padding: 0; font-weight: 400; font-size: 13px; text-decoration: underline; text-underline-offset: 3px; }
ul.scopes { list-style: none; margin: 0; padding: 0; border-top: 1px solid var(--line); }
ul.scopes li { padding: 10px 0; border-bottom: 1px solid var(--line); }
ul.scopes label { display: flex; gap: 10px; align-items: flex-start; cursor: pointer; }
ul.scopes input { width: 16px; height: 16px; margin: 2px 0 0; accent-color: var(--accent); flex: none; }
code { font: 12px/16px "JetBrains Mono Variable", ui-monospace, Menlo, Consolas, monospace; color: var(--quiet); overflow-wrap: anywhere; }
ul.scopes code { display: block; }
input.code { width: 100%; padding: 9px 12px; border: 1px solid var(--line); border-radius: 6px; background: var(--card); color: inherit;
  font: 500 16px/20px "JetBrains Mono Variable", ui-monospace, Menlo, Consolas, monospace; letter-spacing: 2px; text-transform: uppercase; }
td code { overflow-wrap: anywhere; }
.card > p:first-child { margin-top: 0; }
.meta { display: flex; flex-wrap: wrap; gap: 4px 12px; margin-top: 8px; color: var(--quiet); font-size: 13px; }
.state { font-weight: 500; } .state.open { color: var(--open); } .state.closed { color: var(--closed); }
.tag { border: 1px solid var(--line); border-radius: 999px; padding: 0 8px; font-size: 12px; }
.text { margin-top: 16px; white-space: pre-wrap; overflow-wrap: anywhere; }
.comment { border-top: 1px solid var(--line); margin-top: 24px; padding-top: 16px; }
table { width: 100%; border-collapse: collapse; margin-top: 8px; }
th, td { text-align: left; vertical-align: top; padding: 8px 8px 8px 0; border-top: 1px solid var(--line); overflow-wrap: break-word; }
th { font-weight: 500; color: var(--quiet); font-size: 13px; }
td:first-child { white-space: nowrap; font-variant-numeric: tabular-nums; }
@media (max-width: 430px) { body { padding: 16px 12px; } .card { padding: 20px 16px; } }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
`
const styleHash = createHash('sha256').update(style).digest('base64')

export interface Page {
  readonly title: string
  /** Said above the card: what this page is not. */
  readonly note: string
  readonly body: Html
  readonly footer?: Html
  readonly wide?: boolean
  readonly status?: number
  /** Where a form of this page may lead in the end; browsers apply `form-action` to the redirects that follow it. */
  readonly formTarget?: string | undefined
}

/** Answers with a page that loads nothing but its own pictures, runs nothing, and cannot be framed. */
export function sendPage(reply: FastifyReply, page: Page): FastifyReply {
  const target = page.formTarget === undefined ? '' : ` ${new URL(page.formTarget).origin}`
  return reply
    .status(page.status ?? 200)
    .headers({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; img-src 'self'; form-action 'self'${target}; frame-ancestors 'none'; base-uri 'none'`,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
    .send(
      html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${page.title}</title><style>${new Html(style)}</style></head>
<body><main class="${page.wide === true ? 'wide' : ''}"><p class="note">${page.note}</p>
<div class="card">${page.body}</div>${page.footer === undefined ? undefined : html`<footer>${page.footer}</footer>`}</main></body></html>`
        .markup,
    )
}
