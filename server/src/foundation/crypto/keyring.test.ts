import assert from 'node:assert/strict'
import { type KeyObject, randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { createLog } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'
import { addMasterKey, openKeyring, parseKeyring } from './keyring.ts'
import { LocalMasterKey, type MasterKey } from './master-key.ts'

const one = randomBytes(32).toString('base64url')
const two = randomBytes(32).toString('base64url')

function keyOf(key: MasterKey | undefined): KeyObject {
  assert.ok(key instanceof LocalMasterKey)
  return key.key
}

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'atom-keys-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

test('[CR1] the newest version is the current key, and older ones stay findable', () => {
  for (const text of [`v1:${one},v2:${two}`, ` v2:${two} , v1:${one}=\n`]) {
    const keyring = parseKeyring(text, 'ATOM_MASTER_KEYS')
    assert.equal(keyring.current.version, 2)
    assert.equal(keyOf(keyring.current).export().toString('base64url'), two)
    assert.equal(keyOf(keyring.find(1)).export().toString('base64url'), one)
    assert.equal(keyring.find(3), undefined)
  }
})

test('[CR2] a bad master key names the variable and the right form, and never repeats the key', () => {
  const bad = {
    empty: '',
    'no version': one,
    'version zero': `v0:${one}`,
    'too short': `v1:${one.slice(1)}`,
    'too long': `v1:${one}A`,
    hex: `v1:${randomBytes(32).toString('hex')}`,
    'other alphabet': `v1:${one.slice(0, 42)}+`,
    'trailing comma': `v1:${one},`,
    twice: `v1:${one},v1:${two}`,
    zeros: `v1:${'A'.repeat(43)}`,
  }
  for (const [what, text] of Object.entries(bad)) {
    assert.throws(
      () => parseKeyring(text, 'ATOM_MASTER_KEYS'),
      (error) => {
        assert.ok(error instanceof StartError, what)
        assert.match(
          error.message,
          /^ATOM_MASTER_KEYS is not valid: .*v1:<32 random bytes as base64url>/,
          what,
        )
        assert.ok(!inspect(error).includes(one) && !inspect(error).includes(two), what)
        return true
      },
    )
  }
})

test('[CR3] without a configured key one is made once, readable by its owner alone, and found again', async () => {
  await using own = await folder()
  const made = await openKeyring({ env: undefined, dataDir: own.path })
  const path = join(own.path, 'master.keys')
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  const again = await openKeyring({ env: undefined, dataDir: own.path })
  assert.ok(keyOf(again.current).equals(keyOf(made.current)))
  assert.deepEqual(await readdir(own.path), ['master.keys'])
})

test('[CR3] processes that start at once agree on one key', async () => {
  await using own = await folder()
  const keyrings = await Promise.all(
    Array.from({ length: 8 }, () => openKeyring({ env: undefined, dataDir: own.path })),
  )
  const [first] = keyrings
  assert.ok(
    first !== undefined && keyrings.every((keyring) => keyOf(keyring.current).equals(keyOf(first.current))),
  )
  assert.deepEqual(await readdir(own.path), ['master.keys'])
})

test('[CR4] a key file that others may read is made private again, and the log says so', async () => {
  await using own = await folder()
  const path = join(own.path, 'master.keys')
  await writeFile(path, `v1:${one}\n`, { mode: 0o644 })
  await chmod(path, 0o644)
  const lines: string[] = []
  const log = createLog({ level: 'warn', write: (line) => lines.push(line) })
  const keyring = await openKeyring({ env: undefined, dataDir: own.path, log })
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.equal(keyOf(keyring.current).export().toString('base64url'), one)
  assert.equal(lines.length, 1)
  assert.match(lines[0] ?? '', /could be read by other users/)
  assert.equal(lines.join().includes(one), false)
})

test('[CR4] a damaged key file is named and left as it is', async () => {
  await using own = await folder()
  const path = join(own.path, 'master.keys')
  await writeFile(path, 'v1:damaged', { mode: 0o600 })
  await assert.rejects(openKeyring({ env: undefined, dataDir: own.path }), (error) => {
    return error instanceof StartError && error.message.startsWith(`${path} is not valid`)
  })
  assert.equal(await readFile(path, 'utf8'), 'v1:damaged')
})

test('[CR4] a key file that cannot be written or read is one sentence', async () => {
  await using own = await folder()
  await assert.rejects(openKeyring({ env: undefined, dataDir: join(own.path, 'missing') }), (error) => {
    return error instanceof StartError && /cannot be written \(ENOENT\)/.test(error.message)
  })
  await mkdir(join(own.path, 'master.keys'))
  await assert.rejects(openKeyring({ env: undefined, dataDir: own.path }), (error) => {
    return error instanceof StartError && /cannot be read or is not private \(EISDIR\)/.test(error.message)
  })
})

test('[CR4] a configured key is used and no file is made', async () => {
  await using own = await folder()
  const keyring = await openKeyring({ env: `v7:${one}`, dataDir: own.path })
  assert.equal(keyring.current.version, 7)
  assert.deepEqual(await readdir(own.path), [])
})

test('[CR14] a key added to the key file is in use by a running process at once, and the older ones still open', async () => {
  await using own = await folder()
  const running = await openKeyring({ env: undefined, dataDir: own.path })
  const first = running.current
  assert.equal(await addMasterKey(own.path), 2)
  assert.equal(running.find(2)?.version, 2)
  assert.equal(running.current.version, 2)
  assert.deepEqual(running.versions, [1, 2])
  assert.ok(keyOf(running.find(1)).equals(keyOf(first)))
  const next = await openKeyring({ env: undefined, dataDir: own.path })
  assert.ok(keyOf(next.current).equals(keyOf(running.current)))
})

test('[CR14] a key file that is damaged while a process runs changes nothing for it, and the log says so without the key', async () => {
  await using own = await folder()
  const path = join(own.path, 'master.keys')
  const lines: string[] = []
  const log = createLog({ level: 'warn', write: (line) => lines.push(line) })
  const running = await openKeyring({ env: undefined, dataDir: own.path, log })
  await writeFile(path, `v1:${one},v2:damaged`)
  assert.equal(running.current.version, 1)
  assert.equal(running.find(2), undefined)
  assert.match(lines[0] ?? '', /cannot be read any more/)
  assert.ok(!lines.join().includes(one))
  await rm(path)
  assert.equal(running.current.version, 1)
})

test('[CR15] a new master key is added to a private file that keeps its owner and is whole at every moment', async () => {
  await using own = await folder()
  const path = join(own.path, 'master.keys')
  await openKeyring({ env: undefined, dataDir: own.path })
  // What a killed process left, and a file that only looks like it.
  await writeFile(`${path}.0123456789ab`, 'half')
  await writeFile(`${path}.mine`, 'a copy')
  const root = process.geteuid?.() === 0
  if (root) await chown(path, 65_534, 65_534)
  const before = await readFile(path, 'utf8')
  const reading = new AbortController()
  const seen: Promise<void> = (async () => {
    while (!reading.signal.aborted) parseKeyring(await readFile(path, 'utf8'), path)
  })()
  for (let version = 2; version <= 20; version++) assert.equal(await addMasterKey(own.path), version)
  reading.abort()
  await seen
  const found = await stat(path)
  assert.equal(found.mode & 0o777, 0o600)
  if (root) assert.deepEqual([found.uid, found.gid], [65_534, 65_534])
  assert.ok((await readFile(path, 'utf8')).startsWith(before.trim()))
  assert.deepEqual((await readdir(own.path)).sort(), ['master.keys', 'master.keys.mine'])
})

test('[CR15] a key file that cannot be replaced stays as it is, and one sentence says so', async () => {
  await using own = await folder()
  await assert.rejects(addMasterKey(own.path), (error) => {
    return error instanceof StartError && /cannot be replaced \(ENOENT\)/.test(error.message)
  })
  await writeFile(join(own.path, 'master.keys'), 'v1:damaged', { mode: 0o600 })
  await assert.rejects(addMasterKey(own.path), (error) => {
    return error instanceof StartError && /is not valid/.test(error.message)
  })
  assert.equal(await readFile(join(own.path, 'master.keys'), 'utf8'), 'v1:damaged')
})

test('[CR15] a command that works on what exists makes no key file', async () => {
  await using own = await folder()
  await assert.rejects(openKeyring({ env: undefined, dataDir: own.path, mustExist: true }), (error) => {
    return error instanceof StartError && /There is no master key file/.test(error.message)
  })
  assert.deepEqual(await readdir(own.path), [])
})
