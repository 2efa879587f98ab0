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
  const somebodys = [...catalog.values()].filter(({ guide }) => guide.category !== 'standard')
  assert.deepEqual(
    somebodys.filter(({ id }) => marks[id] === undefined).map(({ id }) => id),
    [],
  )
  for (const { source } of Object.values(marks)) assert.match(source, /^data:image\/svg\+xml,/)
})
