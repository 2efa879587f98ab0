import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../../server/test/support/atom-process.ts'
import { type Benchmark, type Figure, figure, median } from '../benchmark.ts'
import { restingMemory } from '../process-tree.ts'
import { type Launch, timedStart } from '../timed-start.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const serve: Launch['command'] = [process.execPath, join(root, 'server', 'src', 'main.ts'), 'serve']
const warmTarget = '<=3'

export const benchmark: Benchmark = {
  name: 'start',
  question:
    'How long until Atom takes traffic: on a machine that has never seen it, the first time, and every other time? And what does it hold in memory then?',
  async run({ quick, say }) {
    const figures = await serverStarts(quick ? 3 : 7, say)
    if (quick) say('--quick leaves out the cold install')
    else if (!existsSync(join(root, '.git'))) say('no cold install: this is not a git clone')
    else figures.push(...(await coldInstall(say)))
    return figures
  },
}

/** The server alone, from this folder, with its own database. */
async function serverStarts(warmRounds: number, say: (line: string) => void): Promise<Figure[]> {
  await using place = await temporaryFolder()
  const launch: Launch = {
    command: serve,
    cwd: root,
    port: await freePort(),
    environment: { ATOM_DATA_DIR: join(place.path, 'data') },
    withinMs: 60_000,
  }
  const first = await secondsOf(launch)
  say(`first start ${first.toFixed(2)} s`)
  const warm: number[] = []
  for (let round = 0; round < warmRounds; round++) {
    const seconds = await secondsOf(launch)
    say(`warm start ${seconds.toFixed(2)} s`)
    warm.push(seconds)
  }
  await using atom = await timedStart(launch)
  const memory = await restingMemory(atom.server)
  return [
    figure({ name: 'server, first start on an empty data folder, to ready', value: first, unit: 's' }),
    figure({
      name: `server, warm start to ready, median of ${warmRounds}`,
      value: median(warm),
      unit: 's',
      target: warmTarget,
    }),
    figure({ name: 'memory at rest: server', value: memory.server, unit: 'MiB' }),
    figure({ name: 'memory at rest: embedded PostgreSQL', value: memory.database, unit: 'MiB' }),
    figure({ name: 'memory at rest: both', value: memory.server + memory.database, unit: 'MiB' }),
  ]
}

/** What the README promises: `git clone`, then `npm start`; with an empty npm cache, and with whatever Node the machine has. */
async function coldInstall(say: (line: string) => void): Promise<Figure[]> {
  await using place = await temporaryFolder()
  const clone = join(place.path, 'atom')
  const cloned = spawnSync('git', ['clone', '--quiet', '--no-hardlinks', root, clone], { encoding: 'utf8' })
  if (cloned.status !== 0) throw new Error(`git clone failed: ${cloned.stderr}`)
  const launch: Launch = {
    command: ['npm', 'start', '--silent'],
    cwd: clone,
    port: await freePort(),
    environment: { npm_config_cache: join(place.path, 'npm-cache') },
    withinMs: 600_000,
  }
  say('cold: npm start in a fresh clone with an empty npm cache')
  const cold = await coldPhases(launch)
  say(`cold: ${cold.total.toFixed(1)} s, of which install ${cold.install.toFixed(1)} s`)
  const warm: number[] = []
  for (let round = 0; round < 3; round++) {
    const seconds = await secondsOf(launch)
    say(`npm start, warm ${seconds.toFixed(2)} s`)
    warm.push(seconds)
  }
  return [
    figure({ name: 'cold: npm start in a fresh clone, to ready', value: cold.total, unit: 's' }),
    figure({ name: 'cold: install, empty npm cache', value: cold.install, unit: 's' }),
    figure({ name: 'cold: dashboard build', value: cold.build, unit: 's' }),
    figure({ name: 'cold: first start', value: cold.start, unit: 's' }),
    figure({
      name: 'npm start, warm, to ready, median of 3',
      value: median(warm),
      unit: 's',
      target: warmTarget,
    }),
  ]
}

/** In seconds, by the lines that the command says. */
async function coldPhases(
  launch: Launch,
): Promise<{ total: number; install: number; build: number; start: number }> {
  await using atom = await timedStart(launch)
  const installed = atom.secondsTo('Installing: ')
  const built = atom.secondsTo('Building the dashboard: ')
  if (installed === undefined || built === undefined)
    throw new Error('a fresh clone started without an install or without a build')
  return {
    total: atom.seconds,
    install: installed,
    build: built - installed,
    start: atom.seconds - built,
  }
}

async function secondsOf(launch: Launch): Promise<number> {
  await using atom = await timedStart(launch)
  return atom.seconds
}

async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'atom-bench-'))
  // PostgreSQL refuses root and runs as another user, who has to come through here.
  await chmod(path, 0o755)
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }),
  }
}
