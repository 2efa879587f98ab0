import assert from 'node:assert/strict'
import { test } from 'node:test'
import { providerMarks } from '../dashboard/provider-marks.ts'
import { catalog } from '../server/src/providers/catalog.ts'

test('providers of the catalogue have the mark that the icon set has under their name; of another the page shows the first letter', () => {
  const { load } = providerMarks()
  assert.ok(typeof load === 'function')
  const module: unknown = Reflect.apply(load, undefined, ['\0virtual:provider-marks'])
  assert.ok(typeof module === 'string')
  const marks = JSON.parse(module.slice(module.indexOf('{'))) as Record<string, { source: string }>
  const unmarked = [...catalog.keys()].filter((id) => marks[id] === undefined)
  assert.deepEqual(unmarked, ['mcp', 'oauth2', 'openid'])
  for (const { source } of Object.values(marks)) assert.match(source, /^data:image\/svg\+xml,/)
})
