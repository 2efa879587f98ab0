import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { AtomProcess } from './support/atom-process.ts'
import { emptyTestDatabase, urlOf } from './support/postgres.ts'
import { until } from './support/until.ts'

const main = join(import.meta.dirname, '..', 'src', 'main.ts')

test('[SD40] a terminal that is closed ends in good order what was started at it; where there is none SIGHUP means nothing', async () => {
  await using own = await emptyTestDatabase()
  await using daemon = await AtomProcess.prepare({
    DATABASE_URL: urlOf(own.connection),
    ATOM_LOG_LEVEL: 'info',
  })
  await daemon.start()
  for (let times = 1; times <= 2; times++) {
    process.kill(daemon.pid, 'SIGHUP')
    await until(() => daemon.output.split('"SIGHUP"').length > times)
    assert.equal((await fetch(`${daemon.url}/ready`)).status, 200)
  }
  assert.equal(await daemon.stop(), 0)

  // `script` is a terminal; killed, it is one that was closed. How Atom ended it has to say itself: nobody is left to ask.
  const status = join(daemon.dataDir, 'status')
  const last = `import { writeFileSync } from 'node:fs'
    process.on('exit', (code) => writeFileSync(${JSON.stringify(status)}, String(code)))`
  const command = `exec '${process.execPath}' '${main}' serve`
  const terminal = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: {
      ...process.env,
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(last)}`,
      ATOM_DATA_DIR: daemon.dataDir,
      ATOM_PORT: new URL(daemon.url).port,
      // Nobody waits for a balancer who has closed the window.
      ATOM_STOP_GRACE: '3000',
      ATOM_STOP_DEADLINE: '3600',
      DATABASE_URL: urlOf(own.connection),
    },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  using release = new DisposableStack()
  release.defer(() => terminal.kill('SIGKILL'))
  const ready = () => fetch(`${daemon.url}/ready`).catch(() => undefined)
  await until(async () => (await ready())?.ok === true)
  for (let times = 0; times < 3; times++) await ready()
  terminal.kill('SIGKILL')
  await until(() => existsSync(status))
  await until(async () => (await readFile(status, 'utf8')) === '0')
  assert.equal(await ready(), undefined)
})
