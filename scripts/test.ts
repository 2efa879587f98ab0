// `npm test`: brings up the real parts (PostgreSQL embedded and Debian's, Chromium), runs every test against both databases,
// stops what it started. Extra arguments narrow the run to files whose path contains one of them.
import { spawnSync } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { startEmbedded } from '../server/src/foundation/database/embedded.ts'
import { createLog } from '../server/src/foundation/log.ts'
import { urlOf } from '../server/test/support/postgres.ts'
import { buildDashboard } from './build-dashboard.ts'

const root = join(import.meta.dirname, '..')
const only = process.argv.slice(2)
const log = createLog({ level: 'silent' })

interface Counts {
  passed: number
  failed: number
  skipped: number
}

const debianPackages = [
  { name: 'postgresql-15', present: () => debianPostgres() !== undefined },
  { name: 'chromium', present: () => existsSync('/usr/bin/chromium') },
]

installDebianPackages()
await buildDashboard()

const total: Counts = { passed: 0, failed: 0, skipped: 0 }
const pure = ['contract', 'server/src', 'client/src', 'dashboard/src'].flatMap((place) =>
  globSync(`${place}/**/*.test.ts`, { cwd: root }),
)
const promises = ['server/test', 'client/test', 'sandbox/test'].flatMap((place) =>
  globSync(`${place}/**/*.test.ts`, { cwd: root }),
)

{
  await using embedded = await startEmbeddedServer()
  await runSuite('PostgreSQL 18, embedded', [...pure, ...promises], embedded.url)
}
{
  await using debian = await startDebianServer()
  process.env['ATOM_TEST_EXTERNAL'] = '1'
  const needDatabase = promises.filter((file) => file.startsWith('server/test'))
  await runSuite('PostgreSQL 15, Debian', needDatabase, debian.url)
}
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
  await new Promise<void>((resolve, reject) => {
    events.compose(new spec()).on('end', resolve).on('error', reject).pipe(process.stdout, { end: false })
  })
}

async function startEmbeddedServer(): Promise<AsyncDisposable & { url: string }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-test-18-'))
  await chmod(dataDir, 0o755)
  const server = await startEmbedded({ dataDir, log })
  return {
    url: urlOf({ ...server.connection, database: 'postgres' }),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Debian's server in a temporary cluster on a Unix socket, as the user `postgres` when we are root (it refuses root). */
async function startDebianServer(): Promise<AsyncDisposable & { url: string }> {
  const bin = debianPostgres()
  if (bin === undefined) throw new Error('PostgreSQL 15 is not installed')
  const place = await mkdtemp(join(tmpdir(), 'atom-test-15-'))
  await chmod(place, 0o711)
  const data = join(place, 'pg')
  await mkdir(data, { mode: 0o700 })
  const asOwner = (command: string, args: readonly string[]) => {
    const [program, argv] =
      process.getuid?.() === 0
        ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--init-groups', command, ...args]]
        : [command, args]
    const done = spawnSync(program as string, argv as string[], {
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
    })
    if (done.status !== 0) throw new Error(`${command} failed: ${done.stderr}`)
  }
  if (process.getuid?.() === 0) spawnSync('chown', ['-R', 'postgres:postgres', data])
  asOwner(join(bin, 'initdb'), [
    '-D',
    join(data, 'db'),
    '-U',
    'atom',
    '--auth=trust',
    '-E',
    'UTF8',
    '--locale=C.UTF-8',
    '-N',
  ])
  const settings = `-c listen_addresses= -c unix_socket_directories=${data} -c max_connections=200`
  asOwner(join(bin, 'pg_ctl'), [
    '-D',
    join(data, 'db'),
    '-w',
    '-t',
    '30',
    '-l',
    join(data, 'log'),
    '-o',
    settings,
    'start',
  ])
  await chmod(data, 0o755)
  return {
    url: `postgres://atom@localhost/postgres?host=${encodeURIComponent(data)}`,
    async [Symbol.asyncDispose]() {
      await chmod(data, 0o700)
      asOwner(join(bin, 'pg_ctl'), ['-D', join(data, 'db'), '-m', 'immediate', '-w', 'stop'])
      await rm(place, { recursive: true, force: true })
    },
  }
}

function debianPostgres(): string | undefined {
  const bin = '/usr/lib/postgresql/15/bin'
  return existsSync(join(bin, 'postgres')) ? bin : undefined
}

function installDebianPackages(): void {
  const missing = debianPackages.filter((entry) => !entry.present()).map((entry) => entry.name)
  if (missing.length === 0) return
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    console.error(
      `The tests need ${missing.join(' and ')}. Install them as root (${command}) and run npm test again.`,
    )
    process.exit(1)
  }
  console.log(`Installing Debian packages: ${missing.join(', ')}`)
  // A test machine wants the programs, not a database service of its own.
  const script = `mkdir -p /etc/postgresql-common && { [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; } && apt-get update -qq && ${command} -qq`
  const done = spawnSync('sh', ['-c', script], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  if (done.status !== 0) {
    console.error(`The Debian packages could not be installed: ${command}`)
    process.exit(1)
  }
}
