import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { connected, openHouse, type Person } from './support/connection-house.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'

interface Scene extends AsyncDisposable {
  readonly loopback: LoopbackProvider
  readonly database: TestDatabase
  readonly ada: Person
}

async function scene(): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  loopback.workAsGitHub()
  loopback.workAsGoogle()
  const database = stack.use(await testDatabase())
  const house = stack.use(
    await openHouse({ database: database.database, sandbox: loopback, reach: [loopback.url] }),
  )
  return {
    loopback,
    database,
    ada: await house.person(),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

function back(authorizeUrl: URL, said: Readonly<Record<string, string>>): URL {
  const url = new URL(authorizeUrl.searchParams.get('redirect_uri') ?? '')
  url.searchParams.set('state', authorizeUrl.searchParams.get('state') ?? '')
  for (const [name, value] of Object.entries(said)) url.searchParams.set(name, value)
  return url
}

/** All that the database has of flows, in the clear. */
async function written({ database }: Scene): Promise<string> {
  const rows = await database.database.query<{ text: string }>(
    sql`select row_to_json(connection_flows)::text as text from connection_flows`,
  )
  return rows.map(({ text }) => text).join('\n')
}

test('[CN255] no two attempts to connect share a state, nonce, challenge or cookie; each has 256 bits, and none is in the database', async () => {
  await using it = await scene()
  const browser = it.ada.browser()
  const secrets: string[] = []
  for (let n = 0; n < 3; n++) {
    const url = await browser.connect('google')
    for (const name of ['state', 'nonce', 'code_challenge']) secrets.push(url.searchParams.get(name) ?? '')
    // The last one is left open, so that there is a row to look at.
    if (n === 2) break
    const code = url.searchParams.get('nonce') ?? ''
    await connected(it.ada, await browser.open(back(url, { code })))
  }
  const [exchange] = it.loopback.requests('oauth2.googleapis.com', '/token')
  const verifier = new URLSearchParams(exchange?.body).get('code_verifier') ?? ''
  assert.equal(createHash('sha256').update(verifier).digest('base64url'), secrets[2])
  for (const { value } of browser.cookies.values()) secrets.push(value)
  secrets.push(verifier)
  assert.equal(new Set(secrets).size, 11)
  // 32 bytes in base64url; a verifier may be longer (RFC 7636 4.1).
  for (const secret of secrets) assert.match(secret, /^[\w-]{43,128}$/)
  const rows = await written(it)
  assert.ok(rows.includes('google'))
  for (const secret of secrets) {
    assert.ok(!rows.includes(secret))
    assert.ok(!rows.includes(Buffer.from(secret).toString('hex')))
  }
})

test('[CN255] the callback is a 303 without a page, tells no other site where it came from, cannot be framed, and repeats nothing of what the provider said', async () => {
  await using it = await scene()
  const said = { error_description: 'evil <b>words</b>', error_uri: 'https://evil.example/', scope: 'x' }
  for (const outcome of [{ code: 'code-1' }, { error: 'access_denied' }, { error: 'server_error' }]) {
    const browser = it.ada.browser()
    const url = await browser.connect('github')
    const reply = await browser.open(back(url, { ...said, ...outcome }))
    assert.deepEqual([reply.status, reply.text], [303, ''])
    assert.equal(reply.headers.get('referrer-policy'), 'no-referrer')
    assert.match(reply.headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/)
    const location = new URL(reply.headers.get('location') ?? '', 'http://atom.test')
    assert.equal(location.origin, 'http://atom.test')
    const told = [...location.searchParams.keys()].join()
    assert.equal(told, 'code' in outcome ? 'connected' : 'problem,provider')
    // A program is told the same, in Atom's words.
    const program = it.ada.browser()
    const again = await program.connect('github')
    const answer = await program.open(back(again, { ...said, ...outcome }), { page: false })
    assert.ok(!answer.text.includes('evil'), answer.text)
  }
})

test('[CN255] a redirect of the token endpoint is not followed with code and secret, nor one of the identity with the token', async () => {
  await using it = await scene()
  const elsewhere = (path: string) => ({
    status: 307,
    headers: { location: `${it.loopback.url}/zoom.us${path}` },
  })
  it.loopback.on('zoom.us', '/token', () => ({ body: { access_token: 'stolen', token_type: 'bearer' } }))
  it.loopback.on('zoom.us', '/user', () => ({ body: { id: 1, login: 'eve', name: null } }))
  for (const [host, path, to] of [
    ['github.com', '/login/oauth/access_token', '/token'],
    ['api.github.com', '/user', '/user'],
  ] as const) {
    it.loopback.workAsGitHub()
    it.loopback.on(host, path, () => elsewhere(to))
    const browser = it.ada.browser()
    const reply = await browser.open(back(await browser.connect('github'), { code: 'code-1' }))
    assert.match(reply.headers.get('location') ?? '', /problem=provider_/, host)
    assert.equal(it.loopback.requests(host, path).length, 1)
    assert.deepEqual(it.loopback.requests('zoom.us', to), [])
  }
  assert.deepEqual((await it.ada.call('GET', '/v1/connections')).body.items, [])
})
