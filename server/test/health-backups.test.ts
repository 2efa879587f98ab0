import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import sql from 'sql-template-tag'
import { type Archive, readArchive } from '#foundation/database/archive.ts'
import { startEmbedded } from '#foundation/database/embedded.ts'
import { openDatabase } from '#foundation/database/pool.ts'
import { backupFinding } from '#operations/backup-finding.ts'
import { startDebianPostgres } from '../../scripts/debian-postgres.ts'
import { testDatabase, testLog, urlOf } from './support/postgres.ts'
import { until } from './support/until.ts'

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atom-archive-'))
  after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** A PostgreSQL of its own, of the kind that this run of the suite is about. */
async function startPostgres(settings: Record<string, string>): Promise<AsyncDisposable & { url: string }> {
  if (process.env['ATOM_TEST_EXTERNAL'] === '1') return await startDebianPostgres(settings)
  const dataDir = await temporaryFolder()
  await chmod(dataDir, 0o755)
  const server = await startEmbedded({ dataDir, log: testLog, settings })
  return { url: urlOf(server.connection), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

test('[HE40] the age of PostgreSQL’s own archive is told, and that archiving fails; it is well again by itself', async () => {
  const kept = await temporaryFolder()
  // Whoever the server runs as.
  await chmod(kept, 0o777)
  await using server = await startPostgres({
    archive_mode: 'on',
    archive_command: `test -e ${kept}/there && cp %p ${kept}/%f`,
    archive_timeout: '1h',
  })
  await using database = await openDatabase({
    connection: { connectionString: server.url },
    poolSize: 1,
    log: testLog,
  })
  const write = () => database.query(sql`select pg_logical_emit_message(false, 'atom', 'x'), pg_switch_wal()`)
  const before = await readArchive(database)
  assert.deepEqual([before.on, before.any, before.failing, before.timeoutMs], [true, false, false, 3_600_000])
  assert.equal(backupFinding(before).status, 'up')

  await write()
  await until(async () => (await readArchive(database)).failing)
  const failing = await readArchive(database)
  assert.ok(failing.failures > 0)
  assert.equal(backupFinding(failing).status, 'degraded')
  assert.match(backupFinding(failing).detail ?? '', /cannot archive what it writes.*Its log says why/)

  await writeFile(join(kept, 'there'), '')
  // A segment that is finished wakes the archiver, which would else try again after a minute.
  await until(async () => {
    await write()
    return !(await readArchive(database)).failing
  })
  const well = await readArchive(database)
  assert.ok(well.any)
  // By the database's own clock: however slow this machine is, it was archived after this test began.
  assert.ok(well.ageMs >= 0 && well.ageMs < performance.now(), `${well.ageMs}`)
  assert.equal(backupFinding(well).status, 'up')
  assert.match(backupFinding(well).detail ?? '', /^The last was archived \d+ (?:s|min) ago\.$/)
  assert.ok((await readdir(kept)).some((name) => /^[\dA-F]{24}$/.test(name)))
})

test('[HE41] an archive is unwell when it is older than an hour or three times archive_timeout, or than a day without; where none is kept that is said and nothing unwell', async () => {
  const hour = 3_600_000
  const archive: Archive = { on: true, any: true, ageMs: 0, failing: false, failures: 0, timeoutMs: 60_000 }
  const edges: readonly [timeoutMs: number, mostMs: number][] = [
    [60_000, hour],
    [hour, 3 * hour],
    [0, 24 * hour],
  ]
  for (const [timeoutMs, mostMs] of edges) {
    for (const any of [true, false]) {
      const at = (ageMs: number) => backupFinding({ ...archive, any, timeoutMs, ageMs })
      assert.deepEqual([at(mostMs).status, at(mostMs + 1).status], ['up', 'degraded'], `${timeoutMs}`)
      assert.match(at(mostMs + 1).detail ?? '', /It should be \d+ (?:min|h) at most\.$/)
    }
  }
  await using own = await testDatabase()
  const none = backupFinding(await readArchive(own.database))
  assert.equal(none.status, 'up')
  assert.match(none.detail ?? '', /^No backups are made by PostgreSQL/)
})
