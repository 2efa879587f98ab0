import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { BoundedFile } from './bounded-file.ts'

test('[DB35] the database’s log never grows beyond its bound, and the last lines are always there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'atom-log-'))
  const path = join(folder, 'database.log')
  for (let run = 0; run < 3; run++) {
    const file = new BoundedFile(path, 1_000)
    for (let line = 0; line < 100; line++) file.write(`${run}-${line}\n`)
    file.close()
  }
  assert.ok((await stat(path)).size <= 1_000)
  assert.ok((await stat(`${path}.1`)).size <= 1_000)
  assert.match(await readFile(path, 'utf8'), /2-99\n$/)
  await rm(folder, { recursive: true })
})
