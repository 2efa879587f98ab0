import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostOf } from './link-host.ts'

test('[UI6] a link of a stranger leads to the web or to a mail address, or is none', () => {
  assert.equal(hostOf('https://github.com/a/b'), 'github.com')
  assert.equal(hostOf('http://127.0.0.1:9/x'), '127.0.0.1:9')
  assert.equal(hostOf('mailto:ada@example.org'), 'ada@example.org')
  assert.equal(hostOf('javascript:alert(1)'), undefined)
  assert.equal(hostOf('data:text/html,x'), undefined)
  assert.equal(hostOf('/v1/auth/logout'), undefined)
  assert.equal(hostOf(undefined), undefined)
})

test('[UI6] the host that is shown is the one that is reached', () => {
  assert.equal(hostOf('https://github.com@evil.example/'), 'evil.example')
})
