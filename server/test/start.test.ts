import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { AtomProcess, freePort } from './support/atom-process.ts'
import { until } from './support/until.ts'

/** Said by the runner where it applies: with a database of one's own the data folder has none, and its server is not ours to kill. */
const onlyEmbedded = {
  skip: process.env['ATOM_TEST_EXTERNAL'] === '1' && 'about the database that Atom brings along',
}

/** It ended with 1 and said one sentence, which names what to do. */
async function refusal(atom: AtomProcess): Promise<string> {
  const { code, said } = await atom.runToEnd()
  const lines = said.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  assert.equal(code, 1, said)
  assert.equal(lines.length, 1, said)
  return lines[0] ?? ''
}

const beforeTheDatabase = {
  skip: process.env['ATOM_TEST_EXTERNAL'] === '1' && 'settings are read before any database is asked',
}

test(
  '[ST1] every bad setting stops the start with one line that names the variable',
  beforeTheDatabase,
  async () => {
    const bad = {
      ATOM_PORT: 'eighty',
      ATOM_PROBE_PORT: '0',
      ATOM_STOP_GRACE: 'long',
      ATOM_STOP_DEADLINE: 'soon',
      ATOM_PUBLIC_URL: 'atom.example.org/path',
      DATABASE_URL: 'mysql://somewhere/else',
      REDIS_URL: 'memcached://somewhere/else',
      ATOM_MASTER_KEYS: 'v1:short',
      ATOM_SETUP_TOKEN: 'abc',
      ATOM_METRICS_TOKEN: 'abc',
      ATOM_CORS_ORIGINS: 'not an origin',
      ATOM_TRUSTED_PROXIES: 'not an address',
      ATOM_LOG_LEVEL: 'loud',
      ATOM_SANDBOX: 'yes',
      ATOM_MODEL_BASE_URL: 'ftp://models',
      ATOM_MODEL_NAME: 'alone',
    }
    for (const [name, value] of Object.entries(bad)) {
      await using atom = await AtomProcess.prepare({ [name]: value })
      assert.match(await refusal(atom), new RegExp(name === 'ATOM_MODEL_NAME' ? 'ATOM_MODEL_BASE_URL' : name))
    }
  },
)

test('[ST2] a port in use is said before anything else is started', async () => {
  const port = await freePort()
  const other = createServer().listen(port, '127.0.0.1')
  await once(other, 'listening')
  try {
    await using atom = await AtomProcess.prepare({ ATOM_PORT: String(port) })
    assert.match(await refusal(atom), new RegExp(`${port}.*ATOM_PORT`))
    await using twice = await AtomProcess.prepare({ ATOM_PORT: String(port), ATOM_PROBE_PORT: String(port) })
    assert.match(await refusal(twice), /^ATOM_PROBE_PORT is /)
  } finally {
    other.close()
  }
})

test('[SD50] a server whose workers cannot start ends, and says why', async () => {
  await using atom = await AtomProcess.prepare({}, ['--workers', '2'])
  const ended = atom.runToEnd()
  // The port was free when it was looked for, and is not when the workers come.
  await until(() => atom.output.includes('a master key was made'))
  await using other = createServer().listen(Number(new URL(atom.url).port), '127.0.0.1')
  await once(other, 'listening')
  const { code, said } = await ended
  assert.equal(code, 1, said)
  assert.match(said, /Port \d+ .* in use/)
  assert.match(said, /^Worker \d ended before it served\.$/m)
})

test(
  '[ST3] a second Atom on the same data folder is refused, and the first goes on',
  onlyEmbedded,
  async () => {
    await using first = await AtomProcess.started()
    await using second = await AtomProcess.prepare({ ATOM_DATA_DIR: first.dataDir })
    assert.match(await refusal(second), /data folder|already/i)
    assert.equal((await fetch(`${first.url}/ready`)).status, 200)
  },
)

test('[ST4] a data folder that cannot be written is named, with what to do', async () => {
  await using first = await AtomProcess.prepare()
  const file = join(first.dataDir, 'file')
  await writeFile(file, '')
  await using atom = await AtomProcess.prepare({ ATOM_DATA_DIR: join(file, 'below') })
  assert.match(await refusal(atom), /file\/below.*ATOM_DATA_DIR/)
})

test('[ST5] a master key that others may read is not used silently, and one of another form is refused', async () => {
  await using atom = await AtomProcess.started()
  await atom.stop()
  await writeFile(join(atom.dataDir, 'master.keys'), 'nonsense', { mode: 0o600 })
  assert.match(await refusal(atom), /master\.keys/)
})

test('[ST6] without its master key Atom does not start on a database sealed with it, and says which key is missing', async () => {
  await using atom = await AtomProcess.started()
  await atom.stop()
  await using other = await AtomProcess.prepare({
    ATOM_DATA_DIR: atom.dataDir,
    ATOM_MASTER_KEYS: `v1:${randomBytes(32).toString('base64url')}`,
    ...atom.database,
  })
  assert.match(await refusal(other), /master key/i)
})

test('[ST7] a database that cannot be reached at the start is one sentence, without its password', async () => {
  const port = await freePort()
  await using atom = await AtomProcess.prepare({
    DATABASE_URL: `postgres://atom:hunter22@127.0.0.1:${port}/atom`,
  })
  const said = await refusal(atom)
  assert.match(said, /database|PostgreSQL/i)
  assert.match(said, /DATABASE_URL/)
  assert.doesNotMatch(atom.output, /hunter22/)
})

test('[ST8] SIGTERM ends with 0 and leaves no process of the database behind', async () => {
  await using atom = await AtomProcess.started()
  assert.equal(await atom.stop(), 0)
  assert.deepEqual(await processesIn(atom.dataDir), [])
})

test('[ST9] the setup link works once, is worth nothing afterwards, and a wrong one opens nothing', async () => {
  await using atom = await AtomProcess.started()
  const token = new URL(atom.setupUrl).hash.replace('#token=', '')
  const setup = async (secret: string) =>
    await fetch(`${atom.url}/v1/setup`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        token: secret,
        email: 'ada@example.com',
        password: 'seven calm otters sing',
        name: 'Ada',
        workspace: 'Engines',
      }),
    })
  assert.equal((await setup('x'.repeat(43))).status, 403)
  assert.equal((await setup(token)).status, 201)
  const again = await setup(token)
  assert.equal(again.status, 409)
  assert.equal(((await again.json()) as { code: string }).code, 'setup_closed')
  await atom.stop()
  const before = atom.output.length
  await atom.start()
  assert.doesNotMatch(atom.output.slice(before), /setup#token/)
})

test(
  '[ST10] the database dies in mid-run: nothing acknowledged is lost, and a repeated message is stored once',
  onlyEmbedded,
  async () => {
    await using atom = await AtomProcess.started()
    const token = new URL(atom.setupUrl).hash.replace('#token=', '')
    const call = async (method: string, path: string, accessToken?: string, body?: object) => {
      const answer = await fetch(`${atom.url}${path}`, {
        method,
        headers: {
          ...(accessToken !== undefined && { authorization: `Bearer ${accessToken}` }),
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
      })
      return { status: answer.status, body: (await answer.json()) as Answered }
    }
    const person = {
      email: 'ada@example.com',
      password: 'seven calm otters sing',
      name: 'Ada',
      workspace: 'Engines',
    }
    const { accessToken } = (await call('POST', '/v1/setup', undefined, { token, ...person })).body
    const [room] = (await call('GET', '/v1/rooms', accessToken)).body.items
    const messages = `/v1/rooms/${room?.id}/messages`
    assert.equal(
      (await call('POST', messages, accessToken, { clientId: 'before-it', text: 'thanks' })).status,
      201,
    )
    const pidFile = await readFile(join(atom.dataDir, 'database', 'postmaster.pid'), 'utf8')
    process.kill(Number(pidFile.split('\n')[0]), 'SIGKILL')
    // A session of the killed database may serve one more call before it notices, so each call is repeated until one is served.
    const served = async (method: string, path: string, body?: object) => {
      for (;;) {
        const answer = await call(method, path, accessToken, body)
        if (answer.status < 300) return answer
        assert.equal(answer.body.code, 'unavailable')
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    await served('POST', messages, { clientId: 'during-it', text: 'thanks' })
    const again = await served('POST', messages, { clientId: 'during-it', text: 'thanks' })
    assert.equal(again.status, 200)
    const { events } = (await served('GET', `/v1/rooms/${room?.id}/events?after=0`)).body
    const said = events.filter((event) => event.type === 'message.created')
    assert.deepEqual(
      said.map((event) => event.clientId),
      ['before-it', 'during-it'],
    )
  },
)

test('[ST12] a command tells how it is called, and ends with 2 when it is called wrongly', async () => {
  const main = join(import.meta.dirname, '..', 'src', 'main.ts')
  const run = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
  const help = run('serve', '--help')
  assert.equal(help.status, 0)
  assert.match(help.stdout, /Usage: atom serve/)
  assert.equal(run('serve', '--nonsense').status, 2)
  assert.equal(run('dance').status, 2)
})

/** What the doors answer that this test reads. */
interface Answered {
  readonly accessToken: string
  readonly code: string
  readonly items: readonly { readonly id: string }[]
  readonly events: readonly { readonly type: string; readonly clientId: string }[]
}

async function processesIn(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.includes(folder)) found.push(command.replaceAll('\0', ' '))
  }
  return found
}
