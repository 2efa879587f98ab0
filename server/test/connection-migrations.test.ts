import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { AppStore } from '#connections/app-store.ts'
import { ConnectionStore } from '#connections/connection-store.ts'
import { FlowStore } from '#connections/flows/flow-store.ts'
import { CredentialStore } from '#connections/refresh/credential-store.ts'
import { migrate } from '#foundation/database/migrate.ts'
import type { Database } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { emptyTestDatabase, migrationsFolder, testLog } from './support/postgres.ts'

const workspaceId = newId()
const ownerId = newId()
const at = new Date('2026-11-23T12:00:00Z')

/** The database of the last release that knew the code flow only. */
async function earlier(database: Database): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'atom-migrations-'))
  try {
    for (const name of await readdir(migrationsFolder))
      if (name < '0006') await cp(join(migrationsFolder, name), join(directory, name))
    await migrate(database, { directory, log: testLog })
  } finally {
    await rm(directory, { recursive: true })
  }
}

interface EarlierConnection {
  readonly provider: string
  readonly appId: string | null
  readonly status: string
  readonly refreshToken: string | null
}

async function connection(database: Database, it: EarlierConnection): Promise<string> {
  const id = newId()
  const sealed = Buffer.from('sealed')
  await database.query(sql`
    insert into connections (id, workspace_id, owner_id, provider, app_id, client_id, sandbox, status, reason, identity_id,
      identity, scopes, missing_scopes, connected_at)
    values (${id}, ${workspaceId}, ${ownerId}, ${it.provider}, ${it.appId}, 'own-app', ${it.appId === null}, ${it.status},
      ${it.status === 'active' ? null : 'Why.'}, ${id}, '{"name": "Ada"}', '{repo}', '{gist}', ${at})`)
  await database.query(sql`
    insert into credentials (connection_id, workspace_id, data_key, access_token, refresh_token, generation, issued_at,
      particulars)
    values (${id}, ${workspaceId}, ${sealed}, ${sealed}, ${it.refreshToken}, 3, ${at}, '{"team": "T1"}')`)
  return id
}

test('[CN162] connections, apps and flows of before live on through the migrations, knowing what they share', async () => {
  await using own = await emptyTestDatabase()
  const { database } = own
  await earlier(database)
  const appId = newId()
  const flowId = newId()
  const sealed = Buffer.from('sealed')
  await database.query(sql`
    insert into provider_apps (id, workspace_id, provider, client_id, data_key, client_secret, version, configured_by,
      configured_at)
    values (${appId}, ${workspaceId}, 'github', 'own-app', ${sealed}, ${sealed}, 1, ${ownerId}, ${at})`)
  await database.query(sql`
    insert into connection_flows (id, workspace_id, account_id, provider, app_id, client_id, state_hash, browser_hash,
      redirect_uri, return_to, scopes, data_key, secrets, created_at, expires_at)
    values (${flowId}, ${workspaceId}, ${ownerId}, 'github', ${appId}, 'own-app', 'state', 'browser', 'https://atom.test/',
      '/', '{repo}', ${sealed}, ${sealed}, ${at}, ${new Date(at.getTime() + 600_000)})`)
  const made = { appId, status: 'active', refreshToken: 'sealed' }
  const github = await connection(database, { ...made, provider: 'github' })
  const lost = await connection(database, {
    ...made,
    provider: 'github',
    status: 'needs_reconnect',
    refreshToken: null,
  })
  const slacks = [
    await connection(database, { ...made, provider: 'slack', appId: null }),
    await connection(database, { ...made, provider: 'slack', appId: null, status: 'degraded' }),
  ]
  await migrate(database, { directory: migrationsFolder, log: testLog })

  const store = new ConnectionStore({ database })
  const now = await store.live(workspaceId, github)
  assert.deepEqual(
    [now?.flow, now?.slot, now?.generation, now?.sandbox, now?.askedScopes, now?.others],
    ['authorization_code', 'main', 3, false, ['repo', 'gist'], []],
  )
  assert.deepEqual((await store.live(workspaceId, lost))?.remedy, {
    whose: 'person',
    action: 'reconnect',
    label: 'Reconnect',
  })
  assert.equal((await new AppStore({ database }).currentApp(workspaceId, 'github'))?.id, appId)
  const binding = { stateHash: 'state', browserHash: 'browser', provider: 'github', at }
  const flow = await new FlowStore({ database }).takeFlow({ ...binding, redirectUri: 'https://atom.test/' })
  assert.deepEqual([flow?.id, flow?.flow, flow?.sessionId], [flowId, 'authorization_code', null])

  // A team's token ends with the last connection that lives from it, also where one is of before.
  for (const id of slacks) {
    const slack = await store.live(workspaceId, id)
    assert.deepEqual([slack?.slot, slack?.sandbox], ['bot', true])
    assert.equal(slack && (await store.sharers(slack, 'bot', 'team')), 1)
  }
  // What nobody noted the end of is refreshed within two weeks; what cannot be is left alone.
  const due = await new CredentialStore({ database, changed: () => undefined }).takeUnused(
    new Date(Date.now() + 15 * 86_400_000),
    { again: at, soon: at },
    10,
  )
  assert.deepEqual(due.map(({ connectionId }) => connectionId).sort(), [github, ...slacks].sort())
})
