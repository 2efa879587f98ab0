import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { expectedPages, pagesFolder } from './provider-pages.ts'

test('every provider has its page in docs/providers, in step with its file; `node scripts/provider-pages.ts` writes them', async () => {
  const pages = await expectedPages()
  const files = (await readdir(pagesFolder)).sort()
  assert.deepEqual(files, [...pages.keys()].sort())
  for (const [name, text] of pages) assert.equal(await readFile(join(pagesFolder, name), 'utf8'), text, name)
})
