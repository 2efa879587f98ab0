import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { signingKeys } from '#access/signing-keys.ts'
import { AppStore } from '#connections/app-store.ts'
import { ConnectionStore } from '#connections/connection-store.ts'
import { CredentialVault } from '#connections/credential-vault.ts'
import { connectionKeys } from '#connections/data-keys.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { KeyRotation } from '#foundation/crypto/key-rotation.ts'
import { type Keyring, parseKeyring } from '#foundation/crypto/keyring.ts'
import { type Database, openDatabase } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { Secret } from '#foundation/secret.ts'
import { AtomProcess } from './support/atom-process.ts'
import { CommandProcess } from './support/command-process.ts'
import { type ConnectionHouse, connected, openHouse, type Person } from './support/connection-house.ts'
import { KeyManagementService } from './support/key-management-service.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { emptyTestDatabase, type TestDatabase, testDatabase, testLog, urlOf } from './support/postgres.ts'
import { until } from './support/until.ts'

const v1 = `v1:${randomBytes(32).toString('base64url')}`
const v2 = `v2:${randomBytes(32).toString('base64url')}`
const first = parseKeyring(v1, 'the test')
const both = parseKeyring(`${v1},${v2}`, 'the test')
const second = parseKeyring(v2, 'the test')
const columns = [signingKeys, ...connectionKeys]

interface Sealed {
  readonly id: string
  readonly workspaceId: string
  readonly ownerId: string
}

/** Connections of Google in the sandbox, as `connect` makes them, many at a time; sealed under v1. */
async function fill(
  database: Database,
  count: number,
  owner = { workspaceId: newId(), ownerId: newId() },
): Promise<Sealed[]> {
  const vault = new CredentialVault({ envelope: new Envelope({ keyring: first }) })
  const sealed = Array.from({ length: count }, async (_, n) => {
    const id = newId()
    const place = { workspaceId: owner.workspaceId, connectionId: id, generation: 1 }
    const tokens = {
      accessToken: new Secret(`google-access-token-of-${n}`),
      refreshToken: new Secret(`google-refresh-token-of-${n}`),
    }
    return { ...owner, id, sealed: await vault.sealTokens(place, tokens) }
  })
  const rows = await Promise.all(sealed)
  await database.query(sql`
    insert into connections (id, workspace_id, owner_id, provider, client_id, sandbox, status, identity_id, identity, scopes,
      missing_scopes, connected_at)
    select id, ${owner.workspaceId}, ${owner.ownerId}, 'google', 'google-client', true, 'active', id::text,
      '{"name":"Grace"}', '{openid}', '{}', now()
    from unnest(${rows.map(({ id }) => id)}::uuid[]) as id`)
  await database.query(sql`
    insert into credentials (connection_id, workspace_id, data_key, access_token, refresh_token, generation, issued_at,
      expires_at)
    select id, ${owner.workspaceId}, data_key, access_token, refresh_token, 1, now(), now() + interval '1 hour'
    from unnest(${rows.map(({ id }) => id)}::uuid[], ${rows.map(({ sealed }) => sealed.dataKey)}::bytea[],
      ${rows.map(({ sealed }) => sealed.accessToken)}::bytea[], ${rows.map(({ sealed }) => sealed.refreshToken)}::bytea[])
      as t (id, data_key, access_token, refresh_token)`)
  return rows
}

/** Rewrapping takes its time, so that something can happen in the middle of it. */
async function slowDown(database: Database): Promise<void> {
  await database.query(sql`
    create function slowly() returns trigger language plpgsql as 'begin perform pg_sleep(0.001); return new; end'`)
  await database.query(sql`
    create trigger slowly before update of data_key on credentials for each row execute function slowly()`)
}

async function versions(database: Database): Promise<Record<string, number>> {
  const counts = await new KeyRotation({ database, keyring: both, columns }).count()
  const found: Record<string, number> = {}
  for (const { version, keys } of counts) found[`v${version}`] = (found[`v${version}`] ?? 0) + keys
  return found
}

/** Everything opens, with these keys alone. */
async function assertOpens(database: Database, rows: readonly Sealed[], keyring: Keyring): Promise<void> {
  const vault = new CredentialVault({ envelope: new Envelope({ keyring }) })
  const store = new ConnectionStore({ database })
  for (const [n, { id, workspaceId }] of rows.entries()) {
    const live = await store.live(workspaceId, id)
    assert.ok(live)
    const place = { workspaceId, connectionId: id, generation: live.generation }
    assert.equal((await vault.openAccessToken(place, live.sealed)).reveal(), `google-access-token-of-${n}`)
    assert.equal((await vault.openRefreshToken(place, live.sealed))?.reveal(), `google-refresh-token-of-${n}`)
  }
}

function rotateKeys(own: TestDatabase, keys: string, ...args: string[]): CommandProcess {
  return new CommandProcess(['rotate-keys', ...args], {
    DATABASE_URL: urlOf(own.connection),
    ATOM_MASTER_KEYS: keys,
    ATOM_DATA_DIR: join(tmpdir(), 'atom-that-is-not-there'),
  })
}

interface World extends AsyncDisposable {
  readonly own: TestDatabase
  readonly provider: LoopbackProvider
  house(keyring: Keyring): Promise<ConnectionHouse>
}

async function world(): Promise<World> {
  const stack = new AsyncDisposableStack()
  const provider = stack.use(await LoopbackProvider.start())
  provider.workAsGoogle()
  provider.workAsGitHub()
  provider.on('www.googleapis.com', '/calendar/v3/echo', () => ({ body: {} }))
  const own = stack.use(await testDatabase())
  return {
    own,
    provider,
    house: async (keyring) => {
      const pool = { connection: own.connection, poolSize: 6, log: testLog }
      const database = stack.use(await openDatabase(pool))
      return stack.use(await openHouse({ database, sandbox: provider, reach: [provider.url], keyring }))
    },
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

async function echo(house: ConnectionHouse, person: Person, id: string): Promise<number> {
  const answer = await house.room.proxy.request(person.principal, id, {
    method: 'GET',
    path: '/calendar/v3/echo',
  })
  await answer.body?.cancel()
  return answer.status
}

test('[CN80] connections, apps, running flows and signing keys all move to the newest master key, and the older one is proven needless', async () => {
  await using it = await world()
  const before = await it.house(first)
  const ada = await before.person()
  const finished = ada.browser()
  const connection = await connected(ada, await finished.open(agreed(await finished.connect('google'))))
  await ada.call('PUT', '/v1/providers/github/app', {
    json: { clientId: 'my-client', clientSecret: 'my-client-secret-0123456789' },
  })
  const halfway = await ada.browser().connect('google')
  const { code, output } = await rotateKeys(it.own, `${v1},${v2}`).ended
  assert.equal(code, 0, output)
  assert.match(output, /5 data keys moved to master key v2/)
  assert.match(output, /0 keys left on v1: v1 may be removed from ATOM_MASTER_KEYS/)
  assert.deepEqual(await versions(it.own.database), { v2: 5 })

  const after = await it.house(second)
  assert.equal(await echo(after, ada, connection.id), 200)
  // The access token that was signed before, the secret that was entered before, the flow that was begun before.
  assert.equal((await after.call('GET', '/v1/connections', { token: ada.token })).status, 200)
  const store = new AppStore({ database: it.own.database })
  const app = await store.currentApp(ada.principal.workspaceId, 'github')
  assert.ok(app)
  const vault = new CredentialVault({ envelope: new Envelope({ keyring: second }) })
  assert.equal((await vault.openAppSecret(app)).reveal(), 'my-client-secret-0123456789')
  const [flow] = await it.own.database.query<{ id: string; dataKey: Buffer; secrets: Buffer }>(sql`
    select id, data_key as "dataKey", secrets from connection_flows where used_at is null`)
  assert.ok(flow)
  const place = { workspaceId: ada.principal.workspaceId, flowId: flow.id }
  assert.equal((await vault.openFlow(place, flow)).nonce, halfway.searchParams.get('nonce'))

  const again = await rotateKeys(it.own, `${v1},${v2}`).ended
  assert.equal(again.code, 0)
  assert.match(again.output, /^0 data keys moved/)
})

test('[CN80] no table with a data key is forgotten', async () => {
  await using own = await testDatabase()
  const found = await own.database.query<{ place: string }>(sql`
    select table_name || '.' || column_name as place from information_schema.columns
    where table_schema = 'public' and data_type = 'bytea' and column_name in ('data_key', 'wrapped_key') order by 1`)
  assert.deepEqual(
    columns.map(({ table, key }) => `${table}.${key}`).sort(),
    found.map(({ place }) => place),
  )
})

test('[CN80] a database of another version, an empty one, and a folder without an Atom are one sentence each', async () => {
  await using own = await testDatabase()
  await using empty = await emptyTestDatabase()
  await own.database.query(sql`insert into atom_migrations (name, sha256) values ('9999_newer.sql', '')`)
  const nowhere = { ATOM_DATA_DIR: join(tmpdir(), 'atom-that-is-not-there') }
  for (const [command, said] of [
    [rotateKeys(own, v1), /written by a newer Atom/],
    [rotateKeys(empty, v1), /not of this version of Atom yet/],
    [new CommandProcess(['rotate-keys'], nowhere), /There is no Atom in/],
  ] as const) {
    const { code, output } = await command.ended
    assert.equal(code, 1)
    assert.match(output, said)
    assert.equal(output.trim().split('\n').length, 1)
  }
})

test('[CN81] kill -9 in the middle of a rotation loses nothing, and the next one finishes it', async () => {
  await using own = await testDatabase()
  const rows = await fill(own.database, 1_000)
  await slowDown(own.database)
  await using killed = rotateKeys(own, `${v1},${v2}`)
  await until(async () => ((await versions(own.database))['v2'] ?? 0) > 0)
  await killed.kill()
  // The statement that was under way ends or not by itself, with the session that its server still has.
  await until(async () => {
    const sessions = await own.database.query(sql`
      select from pg_stat_activity where datname = current_database() and application_name = 'atom rotate-keys'`)
    return sessions.length === 0
  })
  const halfway = await versions(own.database)
  assert.ok((halfway['v1'] ?? 0) > 0 && (halfway['v2'] ?? 0) > 0, JSON.stringify(halfway))
  assert.equal((halfway['v1'] ?? 0) + (halfway['v2'] ?? 0), 1_000)
  await assertOpens(own.database, rows, both)

  const { code, output } = await rotateKeys(own, `${v1},${v2}`).ended
  assert.equal(code, 0, output)
  assert.match(output, new RegExp(`0 of ${(halfway['v1'] ?? 0).toLocaleString('en')} data keys`))
  assert.deepEqual(await versions(own.database), { v2: 1_000 })
  await assertOpens(own.database, rows, second)
})

test('[CN82] a thousand connections are rotated while fifty are refreshed and all are called: no call fails, no refresh is lost', async () => {
  await using it = await world()
  const house = await it.house(both)
  const ada = await house.person()
  const rows = await fill(it.own.database, 1_000, {
    workspaceId: ada.principal.workspaceId,
    ownerId: ada.principal.id,
  })
  await slowDown(it.own.database)
  const stale = rows.filter((_, n) => n % 20 === 0)
  await it.own.database.query(sql`
    update credentials set expires_at = now() - interval '1 hour'
    where connection_id = any(${stale.map(({ id }) => id)})`)
  // Half of the answers arrive only when every data key has moved: such a refresh began with the old one in hand.
  const moved = Promise.withResolvers<void>()
  let asked = 0
  it.provider.on('oauth2.googleapis.com', '/token', async ({ body }) => {
    asked += 1
    if (asked % 2 === 0) await moved.promise
    const spent = new URLSearchParams(body).get('refresh_token') ?? ''
    return {
      body: {
        access_token: `fresh-${spent}`,
        refresh_token: `next-${spent}`,
        token_type: 'Bearer',
        expires_in: 3600,
      },
    }
  })
  const refreshes = Promise.all(stale.map(({ id }) => echo(house, ada, id)))
  const rotation = new KeyRotation({ database: it.own.database, keyring: both, columns }).run()
  const statuses = new Map<number, number>()
  const calls = (async () => {
    const fresh = rows.filter((row) => !stale.includes(row))
    await Promise.all(
      [0, 1, 2, 3].map(async (lane) => {
        for (const row of fresh.filter((_, n) => n % 4 === lane)) {
          const status = await echo(house, ada, row.id)
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }
      }),
    )
  })()
  const result = await rotation
  moved.resolve()
  assert.deepEqual(new Set(await refreshes), new Set([200]))
  await calls
  assert.deepEqual([...statuses], [[200, 950]])
  assert.deepEqual({ refused: result.refused, held: result.held }, { refused: [], held: 0 })
  assert.deepEqual(await versions(it.own.database), { v2: 1_001 })
  assert.equal(asked, 50)

  const vault = new CredentialVault({ envelope: new Envelope({ keyring: second }) })
  const store = new ConnectionStore({ database: it.own.database })
  for (const [n, { id, workspaceId }] of rows.entries()) {
    const live = await store.live(workspaceId, id)
    assert.ok(live)
    const place = { workspaceId, connectionId: id, generation: live.generation }
    const old = `google-refresh-token-of-${n}`
    assert.equal(live.generation, n % 20 === 0 ? 2 : 1)
    assert.equal(
      (await vault.openRefreshToken(place, live.sealed))?.reveal(),
      n % 20 === 0 ? `next-${old}` : old,
    )
  }
})

test('[CN83] a row that was moved or edited is refused and named with what to do, the others move, and the old key must stay', async () => {
  await using own = await testDatabase()
  const rows = await fill(own.database, 500)
  const [edited, moved, other, unknown] = [rows[3], rows[250], rows[251], rows[499]]
  assert.ok(edited && moved && other && unknown)
  await own.database.query(sql`
    update credentials set data_key = set_byte(data_key, 60, get_byte(data_key, 60) # 1)
    where connection_id = ${edited.id}`)
  await own.database.query(sql`
    update credentials set data_key = (select data_key from credentials where connection_id = ${other.id})
    where connection_id = ${moved.id}`)
  await own.database.query(sql`
    update credentials set data_key = set_byte(data_key, 4, 9) where connection_id = ${unknown.id}`)
  const { code, output } = await rotateKeys(own, `${v1},${v2}`).ended
  assert.equal(code, 1, output)
  assert.match(output, /^497 data keys moved to master key v2/m)
  for (const { id } of [edited, moved])
    assert.match(
      output,
      new RegExp(`Refused: connection ${id}: something sealed was edited or moved.*connect it anew`),
    )
  assert.match(output, new RegExp(`Refused: connection ${unknown.id}: .*master key v9, which is not among`))
  assert.match(output, /2 keys left on v1: v1 must stay in ATOM_MASTER_KEYS/)
  assert.deepEqual(await versions(own.database), { v1: 2, v2: 497, v9: 1 })
  await assertOpens(own.database, rows.slice(0, 3), second)
})

test('[CN84] two rotations at once share the work, and both say that it is done', async () => {
  await using own = await testDatabase()
  const rows = await fill(own.database, 1_000)
  await slowDown(own.database)
  const ends = await Promise.all([rotateKeys(own, `${v1},${v2}`).ended, rotateKeys(own, `${v1},${v2}`).ended])
  const moved = ends.map(({ code, output }) => {
    assert.equal(code, 0, output)
    assert.match(output, /0 keys left on v1: v1 may be removed/)
    return Number(/^([\d,]+) data keys? moved/m.exec(output)?.[1]?.replace(',', ''))
  })
  assert.equal((moved[0] ?? 0) + (moved[1] ?? 0), 1_000)
  assert.deepEqual(await versions(own.database), { v2: 1_000 })
  await assertOpens(own.database, rows, second)
})

test('[CN84] two commands that add a key at once add one each, and everything ends under the newest', async () => {
  await using own = await testDatabase()
  const rows = await fill(own.database, 200)
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-keys-'))
  try {
    const file = join(dataDir, 'master.keys')
    await writeFile(file, `${v1}\n`, { mode: 0o600 })
    const environment = { DATABASE_URL: urlOf(own.connection), ATOM_DATA_DIR: dataDir }
    const ends = await Promise.all(
      [1, 2].map(() => new CommandProcess(['rotate-keys', '--new-key'], environment).ended),
    )
    for (const { code, output } of ends) assert.equal(code, 0, output)
    const keyring = parseKeyring(await readFile(file, 'utf8'), file)
    assert.deepEqual(keyring.versions, [1, 2, 3])
    // Who added v2 may have ended before v3 was there.
    assert.equal((await new CommandProcess(['rotate-keys'], environment).ended).code, 0)
    assert.deepEqual(await versions(own.database), { v3: 200 })
    await assertOpens(own.database, rows, keyring)
  } finally {
    await rm(dataDir, { recursive: true })
  }
})

test('[CN85] --dry-run counts by version and kind and changes nothing; a wrong call ends with 2', async () => {
  await using own = await testDatabase()
  await fill(own.database, 3)
  const state = () =>
    own.database.query(sql`select connection_id, data_key, xmin::text from credentials order by 1`)
  const before = await state()
  const { code, output } = await rotateKeys(own, `${v1},${v2}`, '--dry-run').ended
  assert.equal(code, 0)
  assert.equal(output, 'v1: 3 connections\nv2 (newest): nothing\n3 data keys would move to v2.\n')
  assert.deepEqual(await state(), before)
  for (const wrong of [['--bogus'], ['--new-key'], ['--new-key', '--dry-run']])
    assert.equal((await rotateKeys(own, `${v1},${v2}`, ...wrong).ended).code, 2, wrong.join())
  assert.deepEqual(await state(), before)
})

test('[CN86] with the key file a new key is made, taken up by the running server without a restart, and everything moved to it', async () => {
  await using atom = await AtomProcess.started()
  const token = new URL(atom.setupUrl).hash.slice('#token='.length)
  const answer = await fetch(`${atom.url}/v1/setup`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      token,
      email: 'ada@example.org',
      password: 'kettle-orbit-velvet-92',
      name: 'Ada',
      workspace: 'Home',
    }),
  })
  assert.equal(answer.status, 201)
  const { accessToken } = (await answer.json()) as { accessToken: string }
  const putApp = async (clientId: string) => {
    const put = await fetch(`${atom.url}/v1/providers/github/app`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
      body: JSON.stringify({ clientId, clientSecret: 'a-secret-of-the-operator-012345' }),
    })
    assert.ok(put.ok, await put.text())
  }
  await putApp('before')
  const environment = { ATOM_DATA_DIR: atom.dataDir, ...atom.database }
  const { code, output } = await new CommandProcess(['rotate-keys', '--new-key'], environment).ended
  assert.equal(code, 0, output)
  assert.match(output, /Master key v2 was added/)
  assert.match(output, /0 keys left on v1: v1 may be removed from master\.keys/)
  // What the running server seals from now on is under the new key, and it opens what was moved.
  await putApp('after')
  const counted = await new CommandProcess(['rotate-keys', '--dry-run'], environment).ended
  assert.match(counted.output, /^v1: nothing\nv2 \(newest\): 1 signing key, 1 app\n0 data keys would move/)
  await atom.stop()
  const file = join(atom.dataDir, 'master.keys')
  await writeFile(file, (await readFile(file, 'utf8')).replace(/^v1:[^,]+,/, ''))
  await atom.start()
  const me = await fetch(`${atom.url}/v1/me`, { headers: { authorization: `Bearer ${accessToken}` } })
  assert.equal(me.status, 200)
})

test('[CN87] while a server runs that lacks the newest key, nothing is moved, and the command says what to do', async () => {
  await using own = await testDatabase()
  await fill(own.database, 3)
  for (const [keyring, keys, said] of [
    [first, `${v1},${v2}`, /has v1 as its newest master key.*Restart every server/],
    [both, v1, /has v2 as its newest master key.*this command has v1/],
  ] as const) {
    const connection = { ...own.connection, application_name: keyring.announcement }
    await using server = await openDatabase({ connection, poolSize: 1, log: testLog })
    await server.check()
    const { code, output } = await rotateKeys(own, keys).ended
    assert.equal(code, 1)
    assert.match(output, said)
  }
  assert.deepEqual(await versions(own.database), { v1: 3 })
  await using server = await openDatabase({
    connection: { ...own.connection, application_name: both.announcement },
    poolSize: 1,
    log: testLog,
  })
  await server.check()
  assert.equal((await rotateKeys(own, `${v1},${v2}`).ended).code, 0)
})

test('[CN88] consent given anew between reading and replacing wins over the rotation, which then moves the newer key', async () => {
  await using own = await testDatabase()
  const rows = await fill(own.database, 3)
  const [one] = rows
  assert.ok(one)
  const vault = new CredentialVault({ envelope: new Envelope({ keyring: first }) })
  const anew = await vault.sealTokens(
    { workspaceId: one.workspaceId, connectionId: one.id, generation: 2 },
    {
      accessToken: new Secret('google-access-token-of-0'),
      refreshToken: new Secret('google-refresh-token-of-0'),
    },
  )
  let read = 0
  const rotation = new KeyRotation({
    keyring: both,
    columns: connectionKeys,
    database: {
      query: (statement) => own.database.query(statement),
      transaction: async (work, options) => {
        read += 1
        if (read === 1) {
          await own.database.query(sql`
            update credentials set data_key = ${anew.dataKey}, access_token = ${anew.accessToken},
              refresh_token = ${anew.refreshToken}, generation = 2
            where connection_id = ${one.id}`)
        }
        return await own.database.transaction(work, options)
      },
    },
  })
  const result = await rotation.run()
  assert.deepEqual({ ...result, read }, { version: 2, rewrapped: 3, refused: [], held: 0, read: 2 })
  await assertOpens(own.database, rows, second)
})

test('[CN88] a row that a transaction holds delays nobody: the others move first, and it follows', async () => {
  await using own = await testDatabase()
  const rows = await fill(own.database, 300)
  const rotation = new KeyRotation({ database: own.database, keyring: both, columns })
  const running = await own.database.transaction(async (tx) => {
    await tx.query(sql`select from credentials where connection_id = ${rows[150]?.id} for update`)
    const result = rotation.run()
    await until(async () => (await versions(own.database))['v2'] === 299)
    return { result }
  })
  assert.equal((await running.result).rewrapped, 300)
  await assertOpens(own.database, rows, second)
})

test('[CN89] sessions that the database ends do not end a rotation', async () => {
  await using own = await testDatabase()
  const rows = await fill(own.database, 1_000)
  await slowDown(own.database)
  await using command = rotateKeys(own, `${v1},${v2}`)
  for (let cut = 0; cut < 2; cut++) {
    const before = (await versions(own.database))['v2'] ?? 0
    await until(async () => ((await versions(own.database))['v2'] ?? 0) > before)
    const ended = await own.database.query<{ ended: boolean }>(sql`
      select pg_terminate_backend(pid) as ended from pg_stat_activity
      where datname = current_database() and application_name = 'atom rotate-keys'`)
    assert.ok(ended.length > 0)
  }
  const { code, output } = await command.ended
  assert.equal(code, 0, output)
  assert.deepEqual(await versions(own.database), { v2: 1_000 })
  await assertOpens(own.database, rows, second)
})

test('[CR17] with the master key lost, connecting anew and entering the secret anew mend what it had sealed', async () => {
  await using it = await world()
  const before = await it.house(first)
  const old = await before.person()
  const browser = old.browser()
  const lost = await connected(old, await browser.open(agreed(await browser.connect('google'))))
  const app = { json: { clientId: 'my-client', clientSecret: 'my-client-secret-0123456789' } }
  await old.call('PUT', '/v1/providers/github/app', app)
  // The step by hand: without it the server does not start (ST6).
  await it.own.database.query(sql`delete from signing_keys`)

  const after = await it.house(second)
  const ada = await after.visited(old)
  const refused = await ada.call('GET', `/v1/connections/${lost.id}/proxy/calendar/v3/echo`)
  assert.equal(refused.body.code, 'internal')
  const anew = ada.browser()
  const found = await connected(ada, await anew.open(agreed(await anew.connect('google'))))
  assert.equal(found.id, lost.id)
  assert.equal(await echo(after, ada, lost.id), 200)
  assert.equal((await ada.call('PUT', '/v1/providers/github/app', app)).status, 200)
})

test('[CN202] everything moves from a key in the environment to a key in AWS KMS, and back, in front of the running code', async () => {
  await using kms = await KeyManagementService.start()
  Object.assign(process.env, kms.environment)
  await using own = await testDatabase()
  const rows = await fill(own.database, 300)
  const k2 = `v2:aws-kms:${kms.createKey()}`
  const v3 = `v3:${randomBytes(32).toString('base64url')}`
  const there = await rotateKeys(own, `${v1},${k2}`).ended
  assert.equal(there.code, 0, there.output)
  assert.match(there.output, /300 data keys moved to master key v2/)
  assert.match(there.output, /0 keys left on v1: v1 may be removed/)
  assert.deepEqual(await versions(own.database), { v2: 300 })
  await assertOpens(own.database, rows, parseKeyring(k2, 'the test'))
  const back = await rotateKeys(own, `${k2},${v3}`).ended
  assert.equal(back.code, 0, back.output)
  assert.deepEqual(await versions(own.database), { v3: 300 })
  await assertOpens(own.database, rows, parseKeyring(v3, 'the test'))
})

test('[CN203] a key service that is away for a moment does not end a rotation, and one that refuses is named before anything moves', async () => {
  await using kms = await KeyManagementService.start()
  Object.assign(process.env, kms.environment)
  await using own = await testDatabase()
  const rows = await fill(own.database, 300)
  const keys = `${v1},v2:aws-kms:${kms.createKey()}`
  kms.trouble = 'denied'
  const refused = await rotateKeys(own, keys).ended
  assert.equal(refused.code, 1)
  assert.match(refused.output, /master key v2 cannot be used \(AccessDeniedException/)
  assert.deepEqual(await versions(own.database), { v1: 300 })

  kms.trouble = undefined
  const keyring = parseKeyring(keys, 'the test')
  const before = kms.struck
  kms.heard = () => {
    if (kms.count('Encrypt') === 50) kms.trouble = 'cut'
  }
  const rotation = new KeyRotation({ database: own.database, keyring, columns }).run()
  await until(() => kms.struck > before + 20)
  assert.deepEqual(await versions(own.database), { v1: 300 })
  kms.trouble = undefined
  assert.deepEqual((await rotation).refused, [])
  assert.deepEqual(await versions(own.database), { v2: 300 })
  await assertOpens(own.database, rows, keyring)
})

test('[CN204] with the key file a running server takes up a key in AWS KMS without a restart', async () => {
  await using kms = await KeyManagementService.start()
  await using atom = await AtomProcess.started(kms.environment)
  const environment = { ATOM_DATA_DIR: atom.dataDir, ...atom.database, ...kms.environment }
  const key = `aws-kms:${kms.createKey()}`
  const secret = randomBytes(32).toString('base64url')
  const wrong = await new CommandProcess(['rotate-keys', '--new-key', secret], environment).ended
  assert.equal(wrong.code, 2, wrong.output)
  const { code, output } = await new CommandProcess(['rotate-keys', '--new-key', key], environment).ended
  assert.equal(code, 0, output)
  assert.match(output, /Master key v2 was added/)
  const before = kms.count('Encrypt')
  const token = new URL(atom.setupUrl).hash.slice('#token='.length)
  const person = {
    email: 'ada@example.org',
    password: 'kettle-orbit-velvet-92',
    name: 'Ada',
    workspace: 'Home',
  }
  const call = async (method: string, path: string, body: object, authorization = '') => {
    const headers = { 'content-type': 'application/json', ...(authorization && { authorization }) }
    return await fetch(`${atom.url}${path}`, { method, headers, body: JSON.stringify(body) })
  }
  const setup = await call('POST', '/v1/setup', { token, ...person })
  const { accessToken } = (await setup.json()) as { accessToken: string }
  const app = { clientId: 'my-client', clientSecret: 'a-secret-of-the-operator-012345' }
  const put = await call('PUT', '/v1/providers/github/app', app, `Bearer ${accessToken}`)
  assert.ok(put.ok, await put.text())
  assert.equal(kms.count('Encrypt'), before + 1)
})
