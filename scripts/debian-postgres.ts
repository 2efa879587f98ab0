import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installDebianPackages } from './debian-packages.ts'

const bin = '/usr/lib/postgresql/15/bin'
const ready = /ready to accept connections/

/**
 * Debian's PostgreSQL 15 on a new cluster in a temporary folder, reached by a Unix socket in it; as the user `postgres` when
 * we are root (it refuses root). It ends with this process, in whatever way that ends. Its settings are Debian's own but
 * for the number of sessions and those that are given.
 */
export async function startDebianPostgres(
  given: Readonly<Record<string, string>> = {},
): Promise<AsyncDisposable & { url: string }> {
  installDebianPackages('postgresql-15')
  await using born = new AsyncDisposableStack()
  const place = await mkdtemp(join(tmpdir(), 'atom-postgres-15-'))
  born.defer(() => rm(place, { recursive: true, force: true, maxRetries: 5 }))
  await chmod(place, 0o711)
  const folder = join(place, 'pg')
  const data = join(folder, 'db')
  await mkdir(folder, { mode: 0o755 })
  if (process.getuid?.() === 0) spawnSync('chown', ['postgres:postgres', folder])

  const cluster = ['-D', data, '-U', 'atom', '--auth=trust', '-E', 'UTF8', '--locale=C.UTF-8', '-N']
  const made = spawnSync('setpriv', asOwner(join(bin, 'initdb'), cluster), {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`)

  const settings = Object.entries({
    listen_addresses: '',
    unix_socket_directories: folder,
    max_connections: '200',
    ...given,
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawn('setpriv', asOwner(join(bin, 'postgres'), ['-D', data, ...settings]), {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  born.defer(async () => {
    // Fast shutdown: sessions are ended, what is committed is written.
    child.kill('SIGINT')
    await ended
  })
  await untilReady(child)
  const alive = born.move()
  return {
    url: `postgres://atom@localhost/postgres?host=${encodeURIComponent(folder)}`,
    [Symbol.asyncDispose]: () => alive.disposeAsync(),
  }
}

function asOwner(program: string, args: readonly string[]): string[] {
  const owner = process.getuid?.() === 0 ? ['--reuid=postgres', '--regid=postgres', '--init-groups'] : []
  return ['--pdeathsig=QUIT', ...owner, program, ...args]
}

async function untilReady(server: ChildProcess): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let said = ''
    server.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk).slice(-4_000)
      if (ready.test(said)) resolve()
    })
    server.once('close', () => reject(new Error(`PostgreSQL 15 ended instead of starting: ${said}`)))
  })
}
