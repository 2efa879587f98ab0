import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from '@atom/contract/rooms.ts'
import { byteBudget } from './byte-budget.ts'

test('[UI9] nothing is said of the limit while there is plenty', () => {
  assert.deepEqual(byteBudget('hello'), { over: false })
})

test('[UI9] near the limit the used part is said, beyond it sending is held back', () => {
  assert.deepEqual(byteBudget('x'.repeat(limits.messageBytes - 100)), {
    over: false,
    words: '15.9 of 16 KiB',
  })
  assert.equal(byteBudget('x'.repeat(limits.messageBytes)).over, false)
  assert.deepEqual(byteBudget('x'.repeat(limits.messageBytes + 1)), { over: true, words: '16.1 of 16 KiB' })
})

test('[UI9] the limit counts bytes of UTF-8 as the server does', () => {
  assert.equal(byteBudget('ü'.repeat(limits.messageBytes / 2 + 1)).over, true)
})
