import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const main = join(import.meta.dirname, '..', 'src', 'main.ts')
const github = join(import.meta.dirname, '..', 'src', 'providers', 'catalog', 'github.ts')

function lint(...args: string[]): Promise<{ code: number; said: string; wrong: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, 'provider', 'lint', ...args], (error, said, wrong) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, said, wrong })
    })
  })
}

test('[CN60] `atom provider lint` ends with 0 for the catalogue, 1 with a line per finding, 2 for a wrong call', async () => {
  const all = await lint()
  assert.equal(all.code, 0, all.said + all.wrong)
  assert.match(all.said, /^\d+ checked, nothing found\.\n$/)
  assert.equal((await lint(github)).code, 0)
  const folder = await mkdtemp(join(tmpdir(), 'atom-lint-'))
  try {
    const bad = join(folder, 'bad.mjs')
    await writeFile(
      bad,
      `import { github } from ${JSON.stringify(github)}\nexport const bad = { ...github, issuer: 'http://x', pkce: 'off' }\n`,
    )
    const found = await lint(bad)
    assert.equal(found.code, 1)
    assert.deepEqual(found.said.trimEnd().split('\n'), [
      `${bad}: issuer must be an https address`,
      `${bad}: pkce must be S256, or say why it is off`,
    ])
    const none = join(folder, 'none.mjs')
    await writeFile(none, 'export const nothing = 1\n')
    for (const wrong of [none, join(folder, 'missing.ts')]) {
      const refused = await lint(wrong)
      assert.equal(refused.code, 2)
      assert.match(refused.wrong, /exports no provider|cannot be read/)
    }
    assert.equal((await lint('--colour')).code, 2)
  } finally {
    await rm(folder, { recursive: true })
  }
})
