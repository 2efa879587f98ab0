import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { StartError } from '#foundation/start-error.ts'
import { catalog, catalogIn } from '#providers/catalog.ts'
import { connected, openHouse } from './support/connection-house.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { testDatabase } from './support/postgres.ts'

/** As somebody writes it who has read docs/add-a-provider.md, for a provider that nobody has heard of. */
const parcel = `
export const parcel = {
  id: 'parcel',
  name: 'Parcel',
  appConsoleUrl: 'https://parcel.example/apps',
  guide: {
    category: 'documents',
    steps: ['Make an app.', 'Enter {redirectUri} among its addresses.', 'Copy client ID and client secret.'],
  },
  issuer: 'https://accounts.parcel.example',
  endpoints: {
    authorization: 'https://accounts.parcel.example/authorize',
    token: 'https://accounts.parcel.example/token',
  },
  clientAuthentication: 'client_secret_basic',
  pkce: 'S256',
  authorizationExtras: { audience: 'parcels' },
  scopes: {
    separator: ',',
    answerSeparator: /,/,
    standard: [
      { scope: 'me', meaning: 'Know who you are' },
      { scope: 'parcels.read', meaning: 'See your parcels' },
    ],
    always: ['me'],
    contains: {},
  },
  refreshTokens: 'single_use',
  errors: { parcel_gone: 'reconnect' },
  api: {
    base: 'https://api.parcel.example/v2',
    hosts: ['api.parcel.example'],
    headers: { 'parcel-version': '2' },
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation:
    'Parcel lets no app end its own access. Atom has destroyed its copy; remove Atom at https://parcel.example/apps.',
  async identify(reader) {
    const shape = {
      type: 'object',
      required: ['number', 'called'],
      properties: { number: { type: 'integer' }, called: { type: 'string' } },
    }
    const { number, called } = await reader.get('https://api.parcel.example/v2/me', shape)
    return { id: String(number), name: called }
  },
}
`

test('[CN254] a provider that somebody writes is one file: lint passes it, and it is listed, connected, called, refreshed and ended', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'atom-ninth-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const file = join(folder, 'parcel.ts')
  await writeFile(file, parcel)
  const main = join(import.meta.dirname, '..', 'src', 'main.ts')
  const linted = await new Promise<string>((resolve) => {
    execFile(process.execPath, [main, 'provider', 'lint', file], (_error, said, wrong) =>
      resolve(said + wrong),
    )
  })
  assert.equal(linted, '1 checked, nothing found.\n')

  const loopback = stack.use(await LoopbackProvider.start())
  const { database } = stack.use(await testDatabase())
  const house = stack.use(
    await openHouse({
      database,
      sandbox: undefined,
      reach: [loopback.url],
      detour: {
        'https://accounts.parcel.example': `${loopback.url}/account.box.com`,
        'https://api.parcel.example': `${loopback.url}/api.box.com`,
      },
      catalog: await catalogIn(folder),
    }),
  )
  const app = { clientId: 'parcel-client', clientSecret: 'parcel-secret' }
  const basic = `Basic ${Buffer.from(`${app.clientId}:${app.clientSecret}`).toString('base64')}`
  let turn = 0
  loopback.on('account.box.com', '/token', ({ headers, body }) => {
    const sent = new URLSearchParams(body)
    const spent =
      sent.get('grant_type') === 'refresh_token' && sent.get('refresh_token') !== `refresh-${turn}`
    if (headers.authorization !== basic || spent) return { status: 400, body: { error: 'parcel_gone' } }
    turn += 1
    const tokens = { access_token: `access-${turn}`, refresh_token: `refresh-${turn}` }
    return { body: { ...tokens, token_type: 'bearer', expires_in: 600, scope: 'me,parcels.read' } }
  })
  loopback.on('api.box.com', '/v2/me', ({ headers }) =>
    headers.authorization === `Bearer access-${turn}` && headers['parcel-version'] === '2'
      ? { body: { number: 7, called: 'Ada Lovelace' } }
      : { status: 401, body: {} },
  )

  const ada = await house.person()
  const [view] = (await ada.call('GET', '/v1/providers')).body.items
  assert.deepEqual(
    [view.id, view.name, view.app, view.flows],
    ['parcel', 'Parcel', 'none', ['authorization_code']],
  )
  assert.equal((await ada.call('PUT', '/v1/providers/parcel/app', { json: app })).status, 200)
  const browser = ada.browser()
  const url = await browser.connect('parcel')
  assert.equal(url.origin + url.pathname, 'https://accounts.parcel.example/authorize')
  assert.deepEqual(
    ['scope', 'audience', 'code_challenge_method'].map((name) => url.searchParams.get(name)),
    ['me,parcels.read', 'parcels', 'S256'],
  )
  const back = new URL(url.searchParams.get('redirect_uri') ?? '')
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  back.searchParams.set('code', 'code-1')
  const { id, status, identity } = await connected(ada, await browser.open(back))
  assert.deepEqual([status, identity.id, identity.name], ['active', '7', 'Ada Lovelace'])
  const path = `/v1/connections/${id}`
  assert.equal((await ada.call('POST', `${path}/refresh`)).status, 200)
  assert.deepEqual((await ada.call('GET', `${path}/proxy/me`)).body, { number: 7, called: 'Ada Lovelace' })
  turn += 1
  const dead = await ada.call('POST', `${path}/refresh`)
  assert.equal(dead.body.code, 'connection_needs_reconnect')
  const receipt = (await ada.call('DELETE', path)).body
  assert.equal(receipt.revocation, 'unsupported')
  assert.match(receipt.detail, /parcel\.example\/apps/)
})

test('[CN254] the catalogue lists those of the sandbox first, others by name, and those that are nobody’s last; a file that is no provider stops the start in one sentence', async () => {
  const ids = [...catalog.keys()]
  const eight = ['github', 'google', 'microsoft', 'slack', 'asana', 'notion', 'salesforce', 'hubspot']
  assert.deepEqual(ids.slice(0, 8), eight)
  assert.deepEqual(ids.slice(-3), ['mcp', 'oauth2', 'openid'])
  const others = ids.slice(8, -3).map((id) => catalog.get(id)?.name)
  assert.deepEqual(others, others.toSorted())
  for (const wrong of [
    'export const nothing = 1\n',
    parcel.replace("id: 'parcel'", "id: 'parcels'"),
    `${parcel}\nexport const second = { ...parcel, id: 'second' }\n`,
  ]) {
    const folder = await mkdtemp(join(tmpdir(), 'atom-ninth-'))
    await writeFile(join(folder, 'parcel.ts'), wrong)
    await assert.rejects(catalogIn(folder), (error) => {
      assert.ok(error instanceof StartError)
      assert.match(error.message, /parcel\.ts has to export one provider .*atom provider lint/)
      return true
    })
    await rm(folder, { recursive: true })
  }
})
