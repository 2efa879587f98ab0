import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyReply } from 'fastify'
import { AtomError } from '#foundation/errors.ts'
import { html, page } from './page.ts'
import { dashboardPolicy, newNonce, pagePolicy } from './security-headers.ts'
import type { HttpServer } from './server.ts'

/** The build writes this wherever a nonce belongs (Vite's `html.cspNonce`); each answer carries a fresh one instead. */
const noncePlaceholder = 'ATOM_CSP_NONCE'

const yearMs = 365 * 86_400_000

/**
 * The built dashboard. What lies under `/assets/` carries a hash in its name and is kept for a year; the few other files are
 * asked for anew each time; every address that is nobody else's and that a browser goes to as a page is the dashboard's own,
 * and gets its index. Where it is not built, a page says so.
 */
export async function dashboardDoors(http: HttpServer, options: { folder: string }): Promise<void> {
  const { folder } = options
  const assets = join(folder, 'assets')
  if (existsSync(folder)) http.fastify.register(fastifyStatic, { root: folder, serve: false })
  if (existsSync(assets))
    http.fastify.register(async (scope) => {
      scope.setErrorHandler((thrown) => {
        throw refused(thrown)
      })
      await scope.register(fastifyStatic, {
        root: assets,
        prefix: '/assets/',
        preCompressed: true,
        decorateReply: false,
        index: false,
        immutable: true,
        maxAge: yearMs,
        dotfiles: 'deny',
      })
    })
  for (const name of await topFiles(folder))
    http.get(`/${name}`, async (_request, reply) => reply.sendFile(name, folder, { cacheControl: false }))
  http.otherwise(async (_request, reply) => await sendIndex(reply, folder))
}

/** An address that tries to leave the folder is told like one that does not exist. */
function refused(thrown: unknown): unknown {
  const isRefusal =
    thrown instanceof Error &&
    'statusCode' in thrown &&
    typeof thrown.statusCode === 'number' &&
    thrown.statusCode < 500
  return isRefusal ? new AtomError('not_found', undefined, { cause: thrown }) : thrown
}

async function topFiles(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return []
  const entries = await readdir(folder, { withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name !== 'index.html' && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
}

async function sendIndex(reply: FastifyReply, folder: string): Promise<FastifyReply> {
  reply.header('content-type', 'text/html; charset=utf-8').header('cache-control', 'no-cache')
  const file = join(folder, 'index.html')
  if (!existsSync(file)) {
    const made = page({ title: 'The dashboard is not built', body: notBuilt })
    return reply
      .code(503)
      .header('retry-after', '60')
      .header('content-security-policy', pagePolicy(made.nonce))
      .send(made.html)
  }
  const nonce = newNonce()
  const index = (await readFile(file, 'utf8')).replaceAll(noncePlaceholder, nonce)
  return reply.code(200).header('content-security-policy', dashboardPolicy(nonce)).send(index)
}

const notBuilt = html`<main class="notice">
<h1>The dashboard is not built</h1>
<p>Stop the server and start it with <code>npm start</code>, which builds the dashboard first. The API is running.</p>
<p><a class="action" href="/docs">Read the reference</a></p>
</main>`
