import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { registerHooks } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Health } from '@atom/contract/health.ts'
import { pino } from 'pino'
import sql from 'sql-template-tag'
import { AwsKmsMasterKey } from '#foundation/crypto/aws-kms.ts'
import { DataKeyCache } from '#foundation/crypto/data-key-cache.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { addMasterKey, Keyring, openKeyring, parseKeyring } from '#foundation/crypto/keyring.ts'
import { EnvelopeError } from '#foundation/crypto/sealed-bytes.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { StartError } from '#foundation/start-error.ts'
import { AtomProcess } from './support/atom-process.ts'
import {
  type ConnectionHouse,
  connected,
  type HouseOptions,
  openHouse,
  type Person,
} from './support/connection-house.ts'
import { KeyManagementService } from './support/key-management-service.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

const row = { kind: 'connection', workspace: 'w1', id: 'c1' }
const field = { ...row, field: 'access_token', version: '3' }

interface Scene extends AsyncDisposable {
  readonly kms: KeyManagementService
  readonly arn: string
  readonly keyring: Keyring
  /** As a process that has just started: with nothing in its memory. */
  envelope(cache?: DataKeyCache): Envelope
}

async function scene(): Promise<Scene> {
  const kms = await KeyManagementService.start()
  Object.assign(process.env, kms.environment)
  const arn = kms.createKey()
  const keyring = parseKeyring(`v1:aws-kms:${arn}`, 'the test')
  return {
    kms,
    arn,
    keyring,
    envelope: (cache) => new Envelope({ keyring, ...(cache && { cache }) }),
    [Symbol.asyncDispose]: () => kms[Symbol.asyncDispose](),
  }
}

const loaded: string[] = []
registerHooks({
  resolve: (specifier, context, next) => {
    if (specifier.startsWith('@aws-sdk/client-kms')) loaded.push(specifier)
    return next(specifier, context)
  },
})

test('[CR18] a server without a master key in KMS never loads the client for it', async () => {
  const local = `v1:${randomBytes(32).toString('base64url')}`
  const keyring = await openKeyring({ env: local, dataDir: '/nowhere' })
  const envelope = new Envelope({ keyring })
  const key = await envelope.createKey(row)
  assert.equal((await envelope.open(key, await envelope.seal(key, 'text', field), field)).reveal(), 'text')
  assert.deepEqual(loaded, [])
  // The same look sees it where it is needed.
  await using it = await scene()
  await it.envelope().createKey(row)
  assert.deepEqual(loaded, ['@aws-sdk/client-kms'])
})

test('[CR19] with the master key in AWS KMS data keys are wrapped there, by signed requests, bound to row and version', async () => {
  await using it = await scene()
  const { kms } = it
  const key = await it.envelope().createKey(row)
  const sealed = await it.envelope().seal(key, 'gho_token', field)
  assert.equal((await it.envelope().open(key, sealed, field)).reveal(), 'gho_token')
  assert.equal(Envelope.versionOf(key), 1)
  assert.equal(key[0], 2)
  const context = { ...row, 'atom:purpose': 'data key', 'atom:version': '1' }
  assert.deepEqual(kms.calls, [
    { operation: 'Encrypt', context },
    { operation: 'Decrypt', context },
    { operation: 'Decrypt', context },
  ])
  // The value itself has never been there, nor the key in what is stored.
  assert.ok(!JSON.stringify(kms.calls).includes('gho_token'))
  process.env['AWS_SECRET_ACCESS_KEY'] = 'another-secret'
  const impostor = new Envelope({ keyring: parseKeyring(`v1:aws-kms:${it.arn}`, 'the test') })
  await assert.rejects(impostor.open(key, sealed, field), (error) => {
    assert.ok(error instanceof AtomError && error.cause instanceof Error)
    assert.equal(error.cause.name, 'InvalidSignatureException')
    return true
  })
})

test('[CR20] what KMS wrapped opens in its own row alone, unedited, and under its own key', async () => {
  await using it = await scene()
  const key = await it.envelope().createKey(row)
  const sealed = await it.envelope().seal(key, 'gho_token', field)
  for (const elsewhere of [{ ...field, id: 'c2' }, { ...field, workspace: 'w2' }, { kind: 'connection' }])
    await assert.rejects(it.envelope().open(key, sealed, elsewhere), EnvelopeError)
  const names = key.readUInt16BE(5)
  const edits = [0, 4, 6, 8, 7 + names, 7 + names + 40, key.length - 1]
  for (const at of edits) {
    const edited = Buffer.from(key)
    edited.writeUInt8(edited.readUInt8(at) ^ 1, at)
    await assert.rejects(it.envelope().open(edited, sealed, field), EnvelopeError, `byte ${at}`)
  }
  for (const length of [5, 7 + names, 7 + names + 40, key.length - 1])
    await assert.rejects(it.envelope().open(key.subarray(0, length), sealed, field), EnvelopeError)
  const other = new Envelope({ keyring: parseKeyring(`v1:aws-kms:${it.kms.createKey()}`, 'the test') })
  await assert.rejects(other.open(key, sealed, field), EnvelopeError)
  const local = parseKeyring(`v1:${randomBytes(32).toString('base64url')}`, 'the test')
  await assert.rejects(new Envelope({ keyring: local }).open(key, sealed, field), EnvelopeError)
})

test('[CR21] a thousand openings at once ask KMS once per data key, and again when its time is over', async () => {
  await using it = await scene()
  const maker = it.envelope()
  const rows = await Promise.all(
    ['c1', 'c2'].map(async (id) => {
      const place = { ...field, id }
      const key = await maker.createKey({ ...row, id })
      return { place, key, sealed: await maker.seal(key, `token of ${id}`, place) }
    }),
  )
  let now = 0
  const envelope = it.envelope(new DataKeyCache({ lifeMs: 60_000, now: () => now }))
  const openAll = async () => {
    await Promise.all(
      Array.from({ length: 500 }, () => rows)
        .flat()
        .map(async ({ place, key, sealed }) => {
          // As it comes from the database: other bytes in memory each time.
          const opened = await envelope.open(Buffer.from(key), Buffer.from(sealed), place)
          assert.equal(opened.reveal(), `token of ${place.id}`)
        }),
    )
    return it.kms.count('Decrypt')
  }
  assert.equal(await openAll(), 2)
  now += 59_999
  assert.equal(await openAll(), 2)
  now += 1
  assert.equal(await openAll(), 4)
  // What is in memory does not serve another row.
  const [one] = rows
  assert.ok(one)
  await assert.rejects(envelope.open(Buffer.from(one.key), one.sealed, { ...field, id: 'c9' }), EnvelopeError)
  const before = it.kms.count('Decrypt')
  assert.equal(await openAll(), before, 'and the refusal has taken nothing away')
})

test('[CR22] whatever KMS fails by, the answer is “unavailable” and never a lost credential; the log says it once', async () => {
  await using it = await scene()
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => void lines.push(line) })
  const hasty = { connectMs: 1_000, attemptMs: 300, callMs: 1_000 }
  const key = await it.envelope().createKey(row)
  const sealed = await it.envelope().seal(key, 'gho_token', field)
  for (const trouble of ['cut', 'denied', 'throttled', 'failing', 'silent'] as const) {
    it.kms.trouble = trouble
    const master = new AwsKmsMasterKey(1, it.arn, log, trouble === 'silent' ? hasty : undefined)
    const troubled = new Envelope({ keyring: new Keyring([master]) })
    const before = lines.length
    for (const work of [() => troubled.open(key, sealed, field), () => troubled.createKey(row)]) {
      await assert.rejects(work, (error) => {
        assert.ok(error instanceof AtomError, trouble)
        assert.equal(error.code, 'unavailable', trouble)
        return true
      })
    }
    assert.equal(lines.length - before, 1, `${trouble}: ${lines.slice(before).join('')}`)
    it.kms.trouble = undefined
    // On a busy machine the hasty one may need several.
    await until(async () => {
      await troubled.open(key, sealed, field).catch(() => undefined)
      return !master.failing
    })
    assert.equal((await troubled.open(key, sealed, field)).reveal(), 'gho_token')
    assert.match(lines.at(-1) ?? '', /answers again/)
  }
})

test('[CR22] sockets that KMS has closed in a quiet minute cost nobody an answer, however many call at once', async () => {
  await using it = await scene()
  const master = it.keyring.current
  const place = { clear: Buffer.alloc(0), binding: row }
  const wrapped = await master.wrap(randomBytes(32), place)
  const unwrapMany = () => Promise.all(Array.from({ length: 120 }, () => master.unwrap(wrapped, place)))
  await unwrapMany()
  for (let round = 0; round < 3; round++) {
    // Closed, and not yet heard of here.
    it.kms.closeIdle()
    await unwrapMany()
  }
})

interface World extends Scene {
  readonly database: Database
  readonly provider: LoopbackProvider
  /** A server of this installation, just started. */
  house(more?: Partial<HouseOptions>): Promise<ConnectionHouse>
}

async function world(): Promise<World> {
  const stack = new AsyncDisposableStack()
  const it = stack.use(await scene())
  const provider = stack.use(await LoopbackProvider.start())
  provider.workAsGoogle()
  provider.on('www.googleapis.com', '/calendar/v3/echo', () => ({ body: {} }))
  const { database } = stack.use(await testDatabase())
  return {
    ...it,
    provider,
    database,
    house: async (more) =>
      stack.use(
        await openHouse({
          database,
          sandbox: provider,
          reach: [provider.url],
          keyring: it.keyring,
          ...more,
        }),
      ),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

/** Where the provider sends the browser once the person has agreed; path and query. */
function agreed(url: URL): string {
  const back = new URL(url.searchParams.get('redirect_uri') ?? '')
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  back.searchParams.set('code', url.searchParams.get('nonce') ?? 'code')
  return back.pathname + back.search
}

async function connectGoogle(person: Person) {
  const browser = person.browser()
  return await connected(person, await browser.open(agreed(await browser.connect('google'))))
}

test('[CN200] with KMS away a call says “unavailable”, the connection stays as it is, and works when KMS is back', async () => {
  await using it = await world()
  const ada = await (await it.house()).person()
  const connection = await connectGoogle(ada)
  const later = await it.house()
  const again = await later.visited(ada)
  const echo = () => again.call('GET', `/v1/connections/${connection.id}/proxy/calendar/v3/echo`)
  it.kms.trouble = 'cut'
  const away = await echo()
  assert.deepEqual([away.status, away.body.code], [503, 'unavailable'])
  assert.equal((await again.call('GET', `/v1/connections/${connection.id}`)).body.status, 'active')
  const refresh = await again.call('POST', `/v1/connections/${connection.id}/refresh`)
  assert.equal(refresh.body.code, 'unavailable')
  assert.equal((await again.call('GET', `/v1/connections/${connection.id}`)).body.status, 'active')
  it.kms.trouble = undefined
  assert.equal((await echo()).status, 200)
  assert.equal((await again.call('POST', `/v1/connections/${connection.id}/refresh`)).status, 200)
})

test('[CN201] a refresh that KMS goes away in the middle of is stored all the same', async () => {
  await using it = await world()
  const ada = await (await it.house()).person()
  const connection = await connectGoogle(ada)
  // A server that forgets at once what it opened.
  const later = await it.house({ dataKeys: new DataKeyCache({ lifeMs: 0 }) })
  const again = await later.visited(ada)
  let asked = 0
  it.provider.on('oauth2.googleapis.com', '/token', () => {
    asked += 1
    it.kms.trouble = 'denied'
    return {
      body: {
        access_token: 'fresh-token',
        refresh_token: 'next-token',
        token_type: 'Bearer',
        expires_in: 3600,
      },
    }
  })
  const refreshed = await again.call('POST', `/v1/connections/${connection.id}/refresh`)
  assert.equal(refreshed.status, 200, refreshed.text)
  it.kms.trouble = undefined
  const last = await (await it.house()).visited(ada)
  assert.equal(
    (await last.call('GET', `/v1/connections/${connection.id}/proxy/calendar/v3/echo`)).status,
    200,
  )
  assert.equal(asked, 1)
  const calls = it.provider.requests('www.googleapis.com', '/calendar/v3/echo')
  assert.equal(calls.at(-1)?.headers.authorization, 'Bearer fresh-token')
})

test('[CN72] consent waits for a slow key service with no session and no lock of the database in its hand', async () => {
  await using it = await world()
  const house = await it.house()
  const ada = await house.person()
  await connectGoogle(ada)
  // The same account again: its row would be locked.
  const browser = ada.browser()
  const back = agreed(await browser.connect('google'))
  const struck = it.kms.struck
  it.kms.trouble = 'silent'
  const consent = browser.open(back)
  await until(() => it.kms.struck > struck)
  const open = await it.database.query(sql`
    select query from pg_stat_activity
    where datname = current_database() and state like 'idle in transaction%'`)
  assert.deepEqual(open, [])
  it.kms.trouble = undefined
  // What nobody answers is asked again.
  assert.equal((await connected(ada, await consent)).status, 'active')
  const rows = await it.database.query<{ generation: number }>(sql`select generation from credentials`)
  assert.deepEqual(rows, [{ generation: 2 }])
})

test('[CN72] four consents for one account at once, with a key service, are one connection whose newest token opens', async () => {
  await using it = await world()
  const house = await it.house()
  const ada = await house.person()
  const begun = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const browser = ada.browser()
      return { browser, back: agreed(await browser.connect('google')) }
    }),
  )
  const connections = await Promise.all(
    begun.map(async ({ browser, back }) => await connected(ada, await browser.open(back))),
  )
  assert.equal(new Set(connections.map(({ id }) => id)).size, 1)
  const rows = await it.database.query<{ generation: number }>(sql`select generation from credentials`)
  assert.deepEqual(rows, [{ generation: 4 }])
  const again = await (await it.house()).visited(ada)
  const echo = await again.call('GET', `/v1/connections/${connections[0]?.id}/proxy/calendar/v3/echo`)
  assert.equal(echo.status, 200)
})

test('[CN206] an early refresh that cannot open the app’s secret, because KMS is away, costs nobody a token that still works', async () => {
  await using it = await world()
  let now = Date.now()
  const own = { sandbox: undefined, detour: it.provider.origins, clock: { now: () => new Date(now) } }
  const before = await (await it.house(own)).person()
  const app = {
    clientId: it.provider.apps.google.clientId,
    clientSecret: it.provider.apps.google.clientSecret,
  }
  assert.equal((await before.call('PUT', '/v1/providers/google/app', { json: app })).status, 200)
  const connection = await connectGoogle(before)
  // A server that has opened the connection, and never its app.
  const ada = await (await it.house(own)).visited(before)
  const echo = async () =>
    (await ada.call('GET', `/v1/connections/${connection.id}/proxy/calendar/v3/echo`)).status
  assert.equal(await echo(), 200)
  it.kms.trouble = 'denied'
  const asked = it.provider.requests('oauth2.googleapis.com', '/token').length
  now += 3_590_000
  assert.equal(await echo(), 200)
  now += 20_000
  assert.equal(await echo(), 503, 'and beyond its end there is none')
  it.kms.trouble = undefined
  assert.equal(await echo(), 200)
  assert.equal(it.provider.requests('oauth2.googleapis.com', '/token').length, asked + 1)
})

test('[CR23] Atom starts with its master key in KMS alone, and comes back with what it sealed', async () => {
  await using it = await scene()
  await using atom = await AtomProcess.started({
    ...it.kms.environment,
    ATOM_MASTER_KEYS: `v1:aws-kms:${it.arn}`,
  })
  assert.ok(it.kms.count('Encrypt') > 0)
  await atom.kill()
  await atom.start()
  assert.equal((await fetch(`${atom.url}/ready`)).status, 200)
  assert.ok(it.kms.count('Decrypt') > 0)
})

test('[CR25] health says that the key service fails once a call has met it, and that it answers again by itself', async () => {
  await using it = await scene()
  await using atom = await AtomProcess.started({
    ...it.kms.environment,
    ATOM_MASTER_KEYS: `v1:aws-kms:${it.arn}`,
    ATOM_SETUP_TOKEN: 'a-setup-token-of-the-test',
  })
  const call = async (method: string, path: string, json: object, token?: string) => {
    const headers = {
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    }
    const answer = await fetch(`${atom.url}${path}`, { method, headers, body: JSON.stringify(json) })
    return { status: answer.status, body: (await answer.json()) as Record<string, string> }
  }
  const health = async () => {
    const answer = await fetch(`${atom.url}/health`, { headers: { authorization: `Bearer ${token}` } })
    return ((await answer.json()) as Health).components?.['master_key']?.status
  }
  const person = { email: 'ada@example.org', password: 'kettle-orbit-velvet-92', name: 'Ada' }
  const setup = { token: 'a-setup-token-of-the-test', workspace: 'Home', ...person }
  const token = (await call('POST', '/v1/setup', setup)).body['accessToken']
  const app = { clientId: 'my-client', clientSecret: 'a-secret-of-the-operator-012345' }
  assert.equal(await health(), 'up')
  it.kms.trouble = 'denied'
  const refused = await call('PUT', '/v1/providers/github/app', app, token)
  assert.deepEqual([refused.status, refused.body['code']], [503, 'unavailable'])
  await until(async () => (await health()) === 'down')
  assert.deepEqual(await (await fetch(`${atom.url}/status`)).json(), { status: 'degraded' })
  assert.equal((await fetch(`${atom.url}/ready`)).status, 200, 'everything else goes on')
  it.kms.trouble = undefined
  await until(async () => (await health()) === 'up')
  assert.equal((await call('PUT', '/v1/providers/github/app', app, token)).status, 200)
})

test('[CR24] a key in KMS that cannot be used stops the start with one sentence that says why', async () => {
  await using it = await scene()
  const open = (env: string) => openKeyring({ env, dataDir: '/nowhere' })
  it.kms.trouble = 'denied'
  await assert.rejects(open(`v1:aws-kms:${it.arn}`), (error) => {
    assert.ok(error instanceof StartError)
    assert.match(error.message, /master key v1 cannot be used \(AccessDeniedException: .*kms:Encrypt/)
    return true
  })
  it.kms.trouble = undefined
  await open(`v1:aws-kms:${it.arn}`)
  await assert.rejects(open(`v2:aws-kms:${it.arn.slice(0, -1)}x`), /NotFoundException/)
  for (const arn of [it.arn.replace(':key/', ':alias/'), 'alias/atom', '', it.arn.replace('kms', 's3')])
    await assert.rejects(open(`v1:aws-kms:${arn}`), /entry 1 has another form.*aws-kms:<ARN/, arn)
})

test('[CR24] a key in KMS that does not answer is not added to the key file', async () => {
  await using it = await scene()
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-keys-'))
  try {
    await openKeyring({ env: undefined, dataDir })
    const file = join(dataDir, 'master.keys')
    const before = await readFile(file, 'utf8')
    const missing = `aws-kms:${it.arn.slice(0, -12)}000000000000`
    await assert.rejects(addMasterKey(dataDir, missing), /v2 cannot be used \(NotFoundException/)
    assert.equal(await readFile(file, 'utf8'), before)
    assert.equal(await addMasterKey(dataDir, `aws-kms:${it.arn}`), 2)
    assert.equal(await readFile(file, 'utf8'), `${before.trim()},v2:aws-kms:${it.arn}\n`)
  } finally {
    await rm(dataDir, { recursive: true })
  }
})
