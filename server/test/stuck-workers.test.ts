import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import sql from 'sql-template-tag'
import { AtomProcess } from './support/atom-process.ts'
import { type TestDatabase, testDatabase, urlOf } from './support/postgres.ts'
import { until } from './support/until.ts'

interface Line {
  readonly msg: string
  readonly pid?: number
  readonly signal?: string
  readonly lost?: string
}

function linesOf(output: string): Line[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Line)
}

function serving(output: string): number[] {
  return linesOf(output).flatMap(({ msg, pid }) =>
    msg === 'a worker serves' && pid !== undefined ? [pid] : [],
  )
}

function killed(output: string): (number | undefined)[] {
  return linesOf(output)
    .filter(({ msg }) => msg === 'a worker stands still and is killed')
    .map(({ pid }) => pid)
}

/** Two workers that serve nothing, and the process that started them; `args` as `workers-child` takes them. */
function twoWorkers(...args: string[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'support/workers-child.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const running = {
    child,
    output: '',
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await ended
    },
  }
  child.stdout.on('data', (chunk: Buffer) => {
    running.output += chunk
  })
  return running
}

/** What operators see of processes that ended. */
async function crashes({
  database,
}: TestDatabase): Promise<{ door: string; title: string; count: number }[]> {
  return await database.query(sql`select door, title, count from error_groups where place = 'crash'`)
}

test('[RT173] a worker that is killed while the server starts is started again, and the server does not end over it', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'atom-worker-'))
  await using workers = twoWorkers('0', join(place.path, 'killed'))
  const { child } = workers
  await until(() => new Set(serving(workers.output)).size === 2 || child.exitCode !== null)
  assert.equal(child.exitCode, null, workers.output)
  assert.equal(
    linesOf(workers.output).filter(
      ({ msg }) => msg === 'a worker was killed while it started; it is started again',
    ).length,
    1,
  )
})

test('[SD21] a worker whose main loop is blocked is killed and replaced once it has stood still for the stated time, the new one is told, and the others stay; a machine that sleeps costs no worker', async () => {
  const stuckMs = 3_000
  await using workers = twoWorkers(String(stuckMs))
  await until(() => serving(workers.output).length === 2)
  const parent = workers.child.pid
  const [first, second] = serving(workers.output)
  assert.ok(parent !== undefined && first !== undefined && second !== undefined)
  // The lid is closed for longer than the time after which a worker counts as stuck. The parent wakes up first.
  for (const pid of [parent, first, second]) process.kill(pid, 'SIGSTOP')
  await delay(stuckMs + 1_000)
  for (const pid of [parent, first, second]) process.kill(pid, 'SIGCONT')
  // The silence of this one begins now: whoever were killed for the sleep would be killed before it.
  process.kill(first, 'SIGUSR2')
  await until(() => serving(workers.output).length === 3)
  assert.deepEqual(killed(workers.output), [first])
  const died = linesOf(workers.output).filter(({ msg }) => msg === 'a worker died and is replaced')
  assert.deepEqual(
    died.map(({ signal }) => signal),
    ['SIGKILL'],
  )
  await until(() => linesOf(workers.output).some(({ msg }) => msg === 'told'))
  const told = linesOf(workers.output).find(({ msg }) => msg === 'told')
  assert.equal(told?.lost, 'The main loop of a worker stood still for 3 s. It was killed and replaced.')
})

test('[SD20] a worker of a running server that stands still is replaced, its fellow is not, and operators see it among the errors', async () => {
  await using own = await testDatabase()
  await using atom = await AtomProcess.prepare(
    { DATABASE_URL: urlOf(own.connection), ATOM_LOG_LEVEL: 'info' },
    ['--workers', '2', '--stuck-after', '5'],
  )
  await atom.start()
  await until(() => serving(atom.output).length === 2)
  const [victim] = serving(atom.output)
  assert.ok(victim !== undefined)
  process.kill(victim, 'SIGSTOP')
  await until(() => serving(atom.output).length === 3)
  assert.deepEqual(killed(atom.output), [victim])
  assert.equal((await fetch(`${atom.url}/live`)).status, 200)
  // Who ends now writes down what it knows.
  assert.equal(await atom.stop(), 0)
  assert.deepEqual(await crashes(own), [
    {
      door: 'process',
      title: 'WorkerLost: The main loop of a worker stood still for 5 s. It was killed and replaced.',
      count: 1,
    },
  ])
})
