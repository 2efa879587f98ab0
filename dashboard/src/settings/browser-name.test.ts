import assert from 'node:assert/strict'
import { test } from 'node:test'
import { browserName } from './browser-name.ts'

test('a session is named by browser and system', () => {
  const chrome =
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36'
  assert.equal(browserName(chrome), 'Chrome on Linux')
  assert.equal(browserName(`${chrome} Edg/140.0`), 'Edge on Linux')
  assert.equal(
    browserName('Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1'),
    'Safari on iOS',
  )
})

test('what is no browser keeps the name it gave', () => {
  assert.equal(browserName('curl/8.9'), 'curl/8.9')
  assert.equal(browserName(''), 'Unknown program')
})
