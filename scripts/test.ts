// `npm test`: brings up the real parts (PostgreSQL embedded and Debian's, Redis, Chromium), runs every test against the
// embedded database and those of the server against Debian's too, and stops what it started. Extra arguments narrow the run to
// files whose path contains one of them.
import { globSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { inspect } from 'node:util'
import { startEmbedded } from '../server/src/foundation/database/embedded.ts'
import { createLog } from '../server/src/foundation/log.ts'
import { forgetful, urlOf } from '../server/test/support/postgres.ts'
import { buildDashboard } from './build-dashboard.ts'
import { installDebianPackages } from './debian-packages.ts'
import { startDebianPostgres } from './debian-postgres.ts'

const root = join(import.meta.dirname, '..')
const only = process.argv.slice(2)
const log = createLog({ level: 'silent' })

interface Counts {
  passed: number
  failed: number
  skipped: number
}

installDebianPackages('postgresql-15', 'redis-tools', 'chromium')
await buildDashboard()

const total: Counts = { passed: 0, failed: 0, skipped: 0 }
const failures: string[] = []
const pure = ['contract', 'server/src', 'client/src', 'dashboard/src'].flatMap((place) =>
  globSync(`${place}/**/*.test.ts`, { cwd: root }),
)
const promises = ['server/test', 'client/test', 'sandbox/test'].flatMap((place) =>
  globSync(`${place}/**/*.test.ts`, { cwd: root }),
)

const looksAtScreens = /^server\/test\/(?:dashboard|client)-/
const bringsItsOwn = 'server/test/database-embedded.test.ts'

{
  await using embedded = await startEmbeddedServer()
  const seen = promises.filter((file) => looksAtScreens.test(file))
  await runSuite(
    'PostgreSQL 18, embedded',
    [...pure, ...promises.filter((file) => !seen.includes(file))],
    embedded.url,
  )
  // A screen does not know which database is below it: its Atom needs none of its own.
  process.env['ATOM_TEST_EXTERNAL'] = '1'
  await runSuite('PostgreSQL 18, what looks at screens', seen, embedded.url)
}
{
  await using debian = await startDebianPostgres(forgetful)
  const onServer = promises.filter(
    (file) => file.startsWith('server/test') && !looksAtScreens.test(file) && file !== bringsItsOwn,
  )
  const title = 'PostgreSQL 15, Debian, without what looks at screens or at the embedded database'
  await runSuite(title, onServer, debian.url)
}
// Once more at the end, where whoever reads only the end of a long log finds it.
if (failures.length > 0) console.log(`\nFailed:\n${failures.join('\n')}`)
if (total.skipped > 0) console.log(`${total.skipped} skipped: see the reasons above`)
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1)

async function runSuite(title: string, files: readonly string[], databaseUrl: string): Promise<void> {
  const chosen = files.filter((file) => only.length === 0 || only.some((part) => file.includes(part)))
  console.log(`\n${title}: ${chosen.length} files`)
  if (chosen.length === 0) return
  process.env['ATOM_TEST_DATABASE_URL'] = databaseUrl
  const events = run({
    files: chosen.map((file) => join(root, file)),
    cwd: root,
    concurrency: 2,
    timeout: 240_000,
    forceExit: false,
  })
  events.on('test:summary', (summary) => {
    if (summary.file !== undefined) return
    total.passed += summary.counts.passed
    total.failed +=
      summary.counts.tests - summary.counts.passed - summary.counts.skipped - summary.counts.todo
    total.skipped += summary.counts.skipped + summary.counts.todo
  })
  events.on('test:fail', ({ name, file, line, details }) => {
    failures.push(`- ${title}: ${name} (${file}:${line})\n${inspect(details.error.cause ?? details.error)}`)
  })
  await new Promise<void>((resolve, reject) => {
    events.compose(new spec()).on('end', resolve).on('error', reject).pipe(process.stdout, { end: false })
  })
}

async function startEmbeddedServer(): Promise<AsyncDisposable & { url: string }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-test-18-'))
  await chmod(dataDir, 0o755)
  const server = await startEmbedded({ dataDir, log, settings: forgetful })
  return {
    url: urlOf({ ...server.connection, database: 'postgres' }),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
