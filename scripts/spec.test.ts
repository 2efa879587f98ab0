import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')
const number = /\[([A-Z]{2}\d+)\]/g

test('every promise of docs/SPEC.md is quoted by a test, and every number a test quotes is a promise', () => {
  const promised = [
    ...readFileSync(join(root, 'docs', 'SPEC.md'), 'utf8').matchAll(/^- \[([A-Z]{2}\d+)\]/gm),
  ].map(([, id]) => id)
  assert.deepEqual(
    promised.filter((id, at) => promised.indexOf(id) !== at),
    [],
    'a number stands twice',
  )
  const tests = ['server', 'client', 'dashboard', 'sandbox'].flatMap((place) =>
    globSync(`${place}/{src,test}/**/*.test.ts`, { cwd: root }),
  )
  const quoted = new Set(
    tests.flatMap((file) => [...readFileSync(join(root, file), 'utf8').matchAll(number)].map(([, id]) => id)),
  )
  assert.deepEqual(
    promised.filter((id) => !quoted.has(id)),
    [],
    'no test quotes it',
  )
  assert.deepEqual(
    [...quoted].filter((id) => !promised.includes(id)),
    [],
    'a test quotes what is not promised',
  )
})
