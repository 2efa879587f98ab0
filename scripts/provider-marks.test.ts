import assert from 'node:assert/strict'
import { test } from 'node:test'
import { providerMarks } from '../dashboard/provider-marks.ts'
import { catalog } from '../server/src/providers/catalog.ts'

test('every provider of the catalogue that is somebody’s has a mark', () => {
  const { load } = providerMarks()
  assert.ok(typeof load === 'function')
  const module: unknown = Reflect.apply(load, undefined, ['\0virtual:provider-marks'])
  assert.ok(typeof module === 'string')
  const marks = JSON.parse(module.slice(module.indexOf('{'))) as Record<string, { source: string }>
  // What is no provider but a standard shows its first letter.
  const standards = ['mcp', 'openid', 'oauth2']
  assert.deepEqual(
    [...catalog.keys()].filter((id) => marks[id] === undefined),
    standards,
  )
  for (const { source } of Object.values(marks)) assert.match(source, /^data:image\/svg\+xml,/)
})
