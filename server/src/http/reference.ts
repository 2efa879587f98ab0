import { proxyLimits, proxyPath } from '@atom/contract/connections.ts'
import { errorCodes, errorTable } from '@atom/contract/errors.ts'
import { RoomEvent } from '@atom/contract/rooms.ts'
import type { Audience, Route } from '@atom/contract/route.ts'
import {
  clientFrames,
  closeReasons,
  FrameContext,
  Handshake,
  protocolVersion,
  serverFrames,
  socketLimits,
} from '@atom/contract/socket.ts'
import type { FastifyReply } from 'fastify'
import type { TSchema } from 'typebox'
import { errorsOf, isNothing, type RouteGroup, requiredOf, routeGroups } from './openapi.ts'
import { type Html, html, page } from './page.ts'
import { schemaText } from './schema-text.ts'
import { pagePolicy } from './security-headers.ts'
import type { HttpServer } from './server.ts'

const audiences: Record<Audience, string> = {
  anyone: 'anyone',
  member: 'signed in',
  operator: 'owner or admin',
}

/** `/docs` and `/docs/errors`: the contract's objects as pages. Made once; they change only with the code. */
export function referenceDoors(http: HttpServer): void {
  const reference = referenceBody()
  const errors = errorsBody()
  http.get('/docs', async (_request, reply) => sendPage(reply, { title: 'Reference', body: reference }))
  http.get('/docs/errors', async (_request, reply) => sendPage(reply, { title: 'Errors', body: errors }))
}

function sendPage(reply: FastifyReply, content: { title: string; body: Html }): FastifyReply {
  const made = page(content)
  return reply
    .header('content-security-policy', pagePolicy(made.nonce))
    .header('content-type', 'text/html; charset=utf-8')
    .send(made.html)
}

function referenceBody(): Html {
  return html`<main class="reference">
<h1>Reference</h1>
<p>JSON in and out. Times are RFC 3339 in UTC, ids are UUIDs, lists are <code>{items, next}</code>: give <code>next</code> back as
<code>cursor</code>. Send <code>Authorization: Bearer &lt;access token&gt;</code>. Errors are problem details with a
<a href="/docs/errors"><code>code</code></a> of a closed list. The same as a document for tools:
<a href="/openapi.json">OpenAPI 3.1</a>.</p>
<nav class="contents" aria-label="Contents">${routeGroups.map(({ name }) => html`<a href="#${name}">${titled(name)}</a>`)}<a href="#proxy">Proxy</a><a href="#sockets">Sockets</a><a href="#events">Room events</a></nav>
${routeGroups.map(groupSection)}
${proxySection()}
${socketSection()}
</main>`
}

function titled(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`
}

function groupSection(group: RouteGroup): Html {
  return html`<section aria-labelledby="${group.name}">
<h2 id="${group.name}">${titled(group.name)}</h2>
<p class="quiet">${group.summary}</p>
${Object.entries(group.routes).map(([name, route]) => routeEntry(`${group.name}.${name}`, route))}
</section>`
}

function routeEntry(anchor: string, route: Route): Html {
  return html`<details class="entry" id="${anchor}">
<summary><span class="method">${route.method}</span> <code>${route.path}</code> <span>${route.summary}</span> <span class="quiet">${audiences[route.audience]}</span></summary>
<div>
${part('Path', route.params)}${part('Query', route.query)}${part('Body', route.body)}
${Object.entries(route.answers).map(([status, schema]) =>
  isNothing(schema) ? html`<h3>${status}</h3><p>No body.</p>` : part(status, schema),
)}
${Object.entries(route.events ?? {}).map(([name, schema]) => part(`Event ${name}`, schema))}
<h3>Errors</h3>
<p>${errorsOf(route).map((code) => html`<a href="/docs/errors#${code}"><code>${code}</code></a> `)}</p>
</div>
</details>`
}

function part(title: string, schema: TSchema | undefined): Html {
  if (schema === undefined) return html``
  const optional = 'properties' in schema && requiredOf(schema).size === 0 ? ' (optional)' : ''
  return html`<h3>${title}${title === 'Body' || title === 'Query' ? optional : ''}</h3>
<pre tabindex="0"><code>${schemaText(schema)}</code></pre>`
}

function proxySection(): Html {
  return html`<section aria-labelledby="proxy">
<h2 id="proxy">Proxy</h2>
<p><code>ANY ${proxyPath}</code> is the provider’s own API with the credential of the connection attached, streamed both ways; the
largest body is ${proxyLimits.bodyBytes} bytes. Point an official SDK’s base address here. The connection’s own tokens are struck out
of what comes back; next pages in <code>Link</code> lead through the proxy again.</p>
<p>With <code>Idempotency-Key</code> (1 to 255 visible ASCII characters) a write happens once: the same request with the same key gets
the first answer again for a day, with <code>Idempotency-Replayed: true</code>. Bodies up to 1 MiB, answers up to 256 KiB.
Its own errors: <code>idempotency_conflict</code>, <code>write_under_way</code>, <code>write_outcome_unknown</code>,
<code>write_answer_not_kept</code>. A capability’s: <code>capability_exceeded</code>, <code>rate_limited</code>.</p>
</section>`
}

function socketSection(): Html {
  return html`<section aria-labelledby="sockets">
<h2 id="sockets">Sockets</h2>
<p>Socket.IO 4, path <code>/socket.io</code>, namespace <code>/</code>, WebSocket only, protocol version ${protocolVersion}, frames of at most
${socketLimits.frameBytes} bytes. Every frame of a client is acknowledged with <code>{ok: true, …}</code> or
<code>{ok: false, error: {code, detail, retryable, retryAfterMs?}}</code>.</p>
${frameEntry('auth', 'handshake', [['Handshake', Handshake]])}
<h3>Client to server</h3>
<p>A frame may have a second argument: in which trace it is sent. Nothing that is wrong in it is an error.</p>
${frameEntry('context', 'behind the body of any frame', [['FrameContext', FrameContext]])}
${Object.entries(clientFrames).map(([name, frame]) =>
  frameEntry(name, 'acknowledged', [
    ['Frame', frame.body],
    ['Acknowledgement, besides ok', frame.answer],
  ]),
)}
<h3>Server to client</h3>
${Object.entries(serverFrames).map(([name, frame]) => frameEntry(name, '', [['Frame', frame]]))}
<h3>Why a socket was closed</h3>
<div class="wide" tabindex="0"><table><thead><tr><th>Reason</th><th>Come back</th></tr></thead><tbody>
${Object.entries(closeReasons).map(([reason, { comeBack }]) => html`<tr><td><code>${reason}</code></td><td>${comeBack ? 'yes' : 'no'}</td></tr>`)}
</tbody></table></div>
<h2 id="events">Room events</h2>
<p>Committed facts, numbered by <code>seq</code> without gaps in each room. A client ignores types that it does not know.</p>
<pre tabindex="0"><code>${schemaText(RoomEvent)}</code></pre>
</section>`
}

function frameEntry(name: string, note: string, parts: readonly (readonly [string, TSchema])[]): Html {
  return html`<details class="entry"><summary><code>${name}</code> <span class="quiet">${note}</span></summary>
<div>${parts.map(([title, schema]) => part(title, schema))}</div></details>`
}

function errorsBody(): Html {
  return html`<main class="reference">
<h1>Errors</h1>
<p>Everything that can go wrong, as a caller sees it. A code never changes its meaning. “Again” says whether the same request may
succeed later without being changed. <a href="/docs">Reference</a></p>
<div class="wide" tabindex="0"><table>
<thead><tr><th>Code</th><th>Status</th><th>What happened</th><th>What to do</th><th>Again</th><th>Kind</th></tr></thead>
<tbody>${errorCodes.map((code) => {
    const row = errorTable[code]
    return html`<tr id="${code}"><td><code>${code}</code></td><td>${row.status}</td><td>${row.title}</td><td>${row.remedy}</td><td>${row.retryable ? 'yes' : 'no'}</td><td>${row.category}</td></tr>
`
  })}</tbody></table></div>
</main>`
}
