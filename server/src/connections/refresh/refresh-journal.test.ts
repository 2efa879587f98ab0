import assert from 'node:assert/strict'
import { type FileHandle, mkdtemp, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pino } from 'pino'
import { RefreshJournal } from './refresh-journal.ts'

const at = new Date('2026-11-23T12:00:00Z')
const renewal = {
  connectionId: '0193aaaa-0000-7000-8000-000000000001',
  further: undefined,
  generation: 3,
  sealed: { accessToken: Buffer.from('sealed'), refreshToken: null },
  issuedAt: at,
  expiresAt: at,
  refreshExpiresAt: null,
  keepAliveAt: null,
  particulars: {},
  standing: { status: 'active', reason: null, remedy: null },
} as const

test('[CN74] a renewal is synced, then its name, and a new folder’s own name, before anybody goes on', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-journal-'))
  t.after(() => rm(dataDir, { recursive: true, force: true }))
  const synced: string[] = []
  const some = await open(dataDir, 'r')
  const handles: FileHandle = Object.getPrototypeOf(some)
  await some.close()
  const { sync } = handles
  t.mock.method(handles, 'sync', async function (this: FileHandle) {
    const what = (await this.stat()).isDirectory() ? 'folder' : 'file'
    synced.push(`${what} ${(await readdir(join(dataDir, 'refreshes'))).join()}`)
    await sync.call(this)
  })
  const folder = join(dataDir, 'refreshes')
  const journal = new RefreshJournal({ folder, log: pino({ enabled: false }) })
  await journal.write('w1', renewal)
  const name = `${renewal.connectionId}.first.3.json`
  assert.deepEqual(synced, ['folder ', `file ${name}.new`, `folder ${name}`])
  // As the next process finds it.
  const next = new RefreshJournal({ folder, log: pino({ enabled: false }) })
  assert.deepEqual(await next.leftBehind(), [{ workspaceId: 'w1', renewal }])
})
