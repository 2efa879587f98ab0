import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AtomError } from '#foundation/errors.ts'
import { SocketLimits } from './socket-limits.ts'

test('[RT22] a socket may send its burst at once and its rate for ever; the time to wait that it is told is enough', () => {
  let now = 0
  const limits = new SocketLimits({ perSecond: 10, burst: 5, inFlight: 100, patience: 3 }, () => now)
  const tries = (count: number) => {
    let accepted = 0
    for (let each = 0; each < count; each++) {
      try {
        limits.enter()
        limits.leave()
        accepted++
      } catch (error) {
        assert.ok(error instanceof AtomError && error.code === 'busy')
        now += error.retryAfterMs ?? 0
        limits.enter()
        limits.leave()
        return accepted
      }
    }
    return accepted
  }
  assert.equal(tries(10), 5)
  now += 60_000
  assert.equal(tries(10), 5, 'a quiet minute saves up no more than the burst')
})

test('[RT23] what waits for its answer is bounded, and who ignores that is known after a while', () => {
  const limits = new SocketLimits({ perSecond: 1_000, burst: 1_000, inFlight: 2, patience: 3 }, () => 0)
  limits.enter()
  limits.enter()
  for (let each = 0; each < 3; each++) {
    assert.equal(limits.exhausted, false)
    assert.throws(() => limits.enter(), { code: 'busy' })
  }
  assert.equal(limits.exhausted, true)
  limits.leave()
  limits.enter()
  assert.equal(limits.exhausted, false)
})
