import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tokenIn } from './arrival-token.ts'

test('[UI1] a link’s token is read from the fragment, and nothing else is one', () => {
  assert.equal(tokenIn('#token=abc_-1'), 'abc_-1')
  assert.equal(tokenIn('#token='), undefined)
  assert.equal(tokenIn('#other=1'), undefined)
  assert.equal(tokenIn(''), undefined)
})
