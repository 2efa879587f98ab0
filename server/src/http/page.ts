import { newNonce } from './security-headers.ts'

/** Text that is known to be safe inside HTML. Only `html` makes it, so foreign text cannot get there unescaped. */
export class Html {
  readonly #markup: string

  constructor(markup: string) {
    this.#markup = markup
  }

  toString(): string {
    return this.#markup
  }
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

type Insert = string | number | Html | readonly Html[]

function inserted(value: Insert): string {
  if (value instanceof Html) return String(value)
  if (typeof value === 'object') return value.join('')
  return String(value).replace(/[&<>"']/g, (character) => escapes[character] ?? character)
}

/** Template tag: everything inserted is escaped unless it is `Html` itself. */
export function html(strings: TemplateStringsArray, ...values: readonly Insert[]): Html {
  return new Html(String.raw({ raw: strings }, ...values.map(inserted)))
}

/** Slate and iris of the design's scales, light and dark from one set of names; nothing is fetched. */
const style = `
:root{color-scheme:light dark;--surface:#fcfcfd;--raised:#f9f9fb;--line:#d9d9e0;--text:#1c2024;--quiet:#60646c;--accent:#5753c6;--accent-text:#fff;--code:#f0f0f3}
@media(prefers-color-scheme:dark){:root{--surface:#111113;--raised:#18191b;--line:#363a3f;--text:#edeef0;--quiet:#b0b4ba;--accent:#b1a9ff;--accent-text:#13131e;--code:#212225}}
*{box-sizing:border-box}
body{margin:0;background:var(--surface);color:var(--text);font:14px/1.6 "Inter Variable",Inter,system-ui,sans-serif}
code,pre{font:12px/1.6 "JetBrains Mono Variable","JetBrains Mono",ui-monospace,monospace}
code{background:var(--code);border-radius:4px;padding:1px 4px}
pre{background:var(--raised);border:1px solid var(--line);border-radius:8px;padding:12px 16px;overflow-x:auto}
pre code{background:none;padding:0}
a{color:var(--accent)}
h1{font-size:20px;font-weight:600;line-height:1.3;margin:0 0 8px}
h2{font-size:16px;font-weight:600;margin:40px 0 8px;scroll-margin-top:16px}
h3{font-size:14px;font-weight:600;margin:24px 0 4px;scroll-margin-top:16px}
.notice{max-width:480px;margin:20vh auto 0;padding:0 24px}
.notice p{margin:0 0 20px}
.action{display:inline-block;background:var(--accent);color:var(--accent-text);border-radius:6px;padding:6px 12px;text-decoration:none;font-weight:500}
.action:focus-visible,a:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.fine,.quiet{color:var(--quiet);font-size:12px}
.fine a{color:inherit}
.fine code{white-space:nowrap}
.reference{max-width:1040px;margin:0 auto;padding:40px 24px 96px}
.reference table{border-collapse:collapse;width:100%;font-size:13px}
.reference th{color:var(--quiet);font-weight:500;text-align:left}
.reference th,.reference td{border-bottom:1px solid var(--line);padding:6px 16px 6px 0;vertical-align:top;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}
.entry{border:1px solid var(--line);border-radius:8px;margin:0 0 12px;background:var(--raised)}
.entry summary{cursor:pointer;display:flex;flex-wrap:wrap;gap:4px 12px;align-items:baseline;padding:10px 16px}
.entry summary::before{content:"›";color:var(--quiet)}
.entry[open] summary::before{content:"⌄"}
.entry>div{border-top:1px solid var(--line);padding:4px 16px 16px}
.method{color:var(--quiet);display:inline-block;min-width:4.5ch;font-weight:600}
nav.contents{display:flex;flex-wrap:wrap;gap:4px 16px;margin:16px 0 0}
`

/** One whole document and the nonce its style needs in the policy. */
export function page(content: { title: string; body: Html }): {
  readonly html: string
  readonly nonce: string
} {
  const nonce = newNonce()
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${content.title} · Atom</title>
<style nonce="${nonce}">${new Html(style)}</style>
</head>
<body>
${content.body}
</body>
</html>
`
  return { html: String(document), nonce }
}
