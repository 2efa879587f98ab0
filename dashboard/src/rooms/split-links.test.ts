import assert from 'node:assert/strict'
import { test } from 'node:test'
import { splitLinks } from './split-links.ts'

test('an address is a link, the full stop and the bracket after it are not part of it', () => {
  assert.deepEqual(splitLinks('see (https://a.example/x?y=1). Ok'), [
    { text: 'see (', link: false },
    { text: 'https://a.example/x?y=1', link: true },
    { text: '). Ok', link: false },
  ])
})

test('only addresses of the web are links', () => {
  assert.deepEqual(splitLinks('javascript:alert(1) file:///etc'), [
    { text: 'javascript:alert(1) file:///etc', link: false },
  ])
})

test('no character of the text is lost', () => {
  const text = 'a https://b.example, http://c.example/d) e'
  assert.equal(
    splitLinks(text)
      .map((part) => part.text)
      .join(''),
    text,
  )
})
