import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import pg from 'pg'
import { startDebianPostgres } from '../../scripts/debian-postgres.ts'
import { sandboxProviders } from '../src/local-sandbox.ts'
import { AtomProcess } from './support/atom-process.ts'
import { CommandProcess } from './support/command-process.ts'
import type { Reply } from './support/connection-house.ts'
import { visitSandbox } from './support/sandbox-visitor.ts'
import { SecretScan } from './support/secret-scan.ts'
import { until } from './support/until.ts'

const pgDump = '/usr/lib/postgresql/15/bin/pg_dump'
const embedded = {
  skip: process.env['ATOM_TEST_EXTERNAL'] === '1' && 'about the database that Atom brings along',
}
/** Stands in clear in the database: the scan has to find it, or it finds nothing. */
const known = 'ada.of.the.secret.scan@example.org'

/** A person who connects accounts of the sandbox through a running Atom, and keeps what must not be found later. */
class Traveller {
  readonly secrets = new Set<string>()
  readonly #atom: AtomProcess
  #accessToken = ''
  #sandboxUrl = ''

  constructor(atom: AtomProcess) {
    this.#atom = atom
  }

  async arrive(): Promise<void> {
    // It is printed once the server is ready, which others may notice first.
    await until(() => this.#atom.output.includes('/setup#token='))
    const token = new URL(this.#atom.setupUrl).hash.slice('#token='.length)
    const password = `kettle-orbit-${randomBytes(8).toString('hex')}`
    const person = { email: known, password, name: 'Ada', workspace: 'Home' }
    const setup = await this.call('POST', '/v1/setup', { token, ...person })
    this.#accessToken = setup.body.accessToken
    for (const secret of [password, this.#accessToken]) this.secrets.add(secret)
    const clientSecret = randomBytes(20).toString('hex')
    this.secrets.add(clientSecret)
    const app = { clientId: 'my-client', clientSecret }
    assert.equal((await this.call('PUT', '/v1/providers/linear/app', app)).status, 200)
  }

  /** Connects an account, or begins to and walks away. */
  async connect(provider: string, { finish = true } = {}): Promise<string> {
    const begun = await this.call('POST', '/v1/connections', { provider })
    assert.equal(begun.status, 201, JSON.stringify(begun.body))
    const url = new URL(begun.body.authorizeUrl)
    this.#sandboxUrl = url.origin
    const cookie = begun.headers.getSetCookie()[0]?.split(';', 1)[0] ?? ''
    for (const secret of [url.searchParams.get('state'), url.searchParams.get('nonce')])
      if (secret !== null) this.secrets.add(secret)
    this.secrets.add(cookie.slice(cookie.indexOf('=') + 1))
    const back = await visitSandbox(url, { person: 'ada', decision: 'agree' })
    if (!finish) return ''
    const answer = await fetch(back, { redirect: 'manual', headers: { cookie, accept: 'text/html' } })
    const to = new URL(answer.headers.get('location') ?? '', this.#atom.url)
    const id = to.searchParams.get('connected')
    assert.ok(id, to.href)
    return id
  }

  /** Every connection is refreshed. */
  async refreshAll(ids: readonly string[]): Promise<void> {
    await this.#control('expire', {})
    for (const id of ids) {
      const { status, body } = await this.call('POST', `/v1/connections/${id}/refresh`)
      // Those without a refresh token are lost by now, which is what a person would see too.
      assert.ok([200, 409].includes(status), JSON.stringify(body))
    }
  }

  /** All that must be nowhere but sealed. */
  async issued(): Promise<ReadonlySet<string>> {
    const answer = await fetch(`${this.#sandboxUrl}/_control/issued`)
    const { items } = (await answer.json()) as { items: string[] }
    const about = await fetch(`${this.#sandboxUrl}/_control`)
    const { apps } = (await about.json()) as { apps: Record<string, { clientSecret: string }> }
    const clientSecrets = Object.values(apps).map(({ clientSecret }) => clientSecret)
    return new Set([...this.secrets, ...items, ...clientSecrets])
  }

  async call(method: string, path: string, body?: object): Promise<Reply> {
    const answer = await fetch(`${this.#atom.url}${path}`, {
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(this.#accessToken !== '' && { authorization: `Bearer ${this.#accessToken}` }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    return { status: answer.status, headers: answer.headers, text, body: JSON.parse(text) }
  }

  async #control(what: string, body: object): Promise<void> {
    const answer = await fetch(`${this.#sandboxUrl}/_control/${what}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    assert.ok(answer.ok)
  }
}

/** Connects, refreshes, changes the master key, refreshes again, reconnects, and leaves something unfinished. */
async function journey(atom: AtomProcess): Promise<{ ada: Traveller; ids: string[] }> {
  const ada = new Traveller(atom)
  await ada.arrive()
  const ids: string[] = []
  for (const provider of sandboxProviders) ids.push(await ada.connect(provider))
  await ada.refreshAll(ids)
  const environment = { ATOM_DATA_DIR: atom.dataDir, ...atom.database }
  const rotated = await new CommandProcess(['rotate-keys', '--new-key'], environment).ended
  assert.equal(rotated.code, 0, rotated.output)
  await ada.refreshAll(ids)
  for (const provider of ['github', 'slack', 'google']) await ada.connect(provider)
  await ada.connect('notion', { finish: false })
  return { ada, ids }
}

test('[CN205] a dump of the database after a journey through all eight providers holds no token, code or secret in any form', async () => {
  await using postgres = await startDebianPostgres()
  await using atom = await AtomProcess.started({ DATABASE_URL: postgres.url, ATOM_SANDBOX: '1' })
  const { ada, ids } = await journey(atom)
  const issued = await ada.issued()
  assert.ok(issued.size > 50, `${issued.size} secrets`)
  const before = dump(postgres.url)
  assert.deepEqual(new SecretScan(issued).find(before), [])
  assert.ok(new SecretScan([known]).find(before).length > 0, 'what stands in clear is found')
  assert.deepEqual(new SecretScan(issued).find(Buffer.from(atom.output)), [], 'nor does the log')

  // Deleting shreds: neither the data key nor what it sealed is in the next dump.
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  const { rows } = await client.query<Record<string, Buffer | null>>(
    'select data_key, access_token, refresh_token from credentials',
  )
  await client.end()
  const sealed = rows.flatMap((row) => Object.values(row)).filter((bytes) => bytes !== null)
  assert.ok(sealed.length > ids.length)
  // Not their beginning, which says the same of all: their end.
  const ends = sealed.map((bytes) => bytes.toString('hex').slice(-40))
  assert.ok(ends.every((end) => before.includes(end)))
  for (const id of ids) assert.equal((await ada.call('DELETE', `/v1/connections/${id}`)).status, 200)
  const after = dump(postgres.url)
  assert.ok(!ends.some((end) => after.includes(end)))
})

test('[CN205] the data folder with its database files holds none either', embedded, async () => {
  await using atom = await AtomProcess.started({ ATOM_SANDBOX: '1' })
  const { ada } = await journey(atom)
  const issued = await ada.issued()
  const scan = new SecretScan(issued)
  await atom.stop()
  const found: Record<string, string[]> = {}
  let clear = 0
  for (const entry of await readdir(atom.dataDir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    // The sandbox's own memory: there it is the provider, who knows its tokens.
    if (!entry.isFile() || entry.name.startsWith('sandbox.sqlite')) continue
    const bytes = await readFile(path)
    const secrets = scan.find(bytes)
    if (secrets.length > 0) found[relative(atom.dataDir, path)] = secrets
    if (bytes.includes(known)) clear += 1
  }
  assert.deepEqual(found, {})
  assert.ok(clear > 0, 'what stands in clear was found')
})

test('[CN205] the scan finds a secret in each form, wherever it stands', () => {
  const secret = 'ya29.a0+/=&"\\secret-of-a-person'
  const scan = new SecretScan([secret])
  const quoted = JSON.stringify({ secret })
  const written = [
    secret,
    ...['', 'a', 'ab'].map((before) => Buffer.from(before + secret + secret).toString('base64')),
    ...['', 'a', 'ab'].map((before) => Buffer.from(before + secret).toString('base64url')),
    `\\x01${Buffer.from(secret).toString('hex')}`,
    Buffer.from(secret).toString('hex').toUpperCase(),
    new URL(`http://127.0.0.1/?token=${encodeURIComponent(secret)}`).href,
    quoted,
  ]
  for (const text of written) assert.notDeepEqual(scan.find(Buffer.from(`before ${text} after`)), [], text)
  assert.deepEqual(scan.find(Buffer.from('ya29.a0 of another person, and nothing else')), [])
})

function dump(url: string): Buffer {
  const done = spawnSync(pgDump, ['--dbname', url], { maxBuffer: 256 * 1024 * 1024 })
  assert.equal(done.status, 0, String(done.stderr))
  return done.stdout
}
