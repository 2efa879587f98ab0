import assert from 'node:assert/strict'
import { test } from 'node:test'
import { providerMarks } from '../dashboard/provider-marks.ts'
import { catalog } from '../server/src/providers/catalog.ts'

test('every provider of the catalogue has a mark, and every mark a provider', () => {
  const { load } = providerMarks()
  assert.ok(typeof load === 'function')
  const module: unknown = Reflect.apply(load, undefined, ['\0virtual:provider-marks'])
  assert.ok(typeof module === 'string')
  const marks = JSON.parse(module.slice(module.indexOf('{'))) as Record<string, { source: string }>
  assert.deepEqual(Object.keys(marks).sort(), [...catalog.keys()].sort())
  for (const { source } of Object.values(marks)) assert.match(source, /^data:image\/svg\+xml,/)
})
