import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AtomError } from '#foundation/errors.ts'
import { SignInThrottle } from './sign-in-throttle.ts'

const allowance = { burst: 5, everyMs: 1_000 }

function throttleAt(start: number, capacity?: number) {
  let now = start
  const throttle = new SignInThrottle({
    clock: { now: () => new Date(now) },
    ...(capacity !== undefined && { capacity }),
  })
  const tries = (key: string): boolean => {
    try {
      throttle.attempt([[key, allowance]])
      return true
    } catch (thrown) {
      assert.ok(thrown instanceof AtomError && thrown.code === 'rate_limited')
      assert.ok((thrown.retryAfterMs ?? 0) > 0)
      return false
    }
  }
  const pass = (ms: number): void => {
    now += ms
  }
  return { throttle, tries, pass }
}

test('[AC28] in no span of time do more attempts pass than the burst and what that time adds', () => {
  const { tries, pass } = throttleAt(1_000_000)
  const admitted: number[] = []
  let at = 0
  let seed = 42
  for (let step = 0; step < 20_000; step++) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    const wait = seed % 7 === 0 ? seed % 9_000 : seed % 40
    pass(wait)
    at += wait
    if (tries('a')) admitted.push(at)
  }
  assert.ok(admitted.length > 100)
  for (const [first, from] of admitted.entries())
    for (let last = first; last < Math.min(first + 40, admitted.length); last++) {
      const span = (admitted[last] ?? 0) - from
      assert.ok(
        last - first + 1 <= allowance.burst + span / allowance.everyMs,
        `${last - first + 1} within ${span} ms`,
      )
    }
})

test('[AC29] thousands of other keys do not free a key that is held back', () => {
  const { tries, pass } = throttleAt(1_000_000, 100)
  for (let times = 0; times < 5; times++) assert.equal(tries('held'), true)
  assert.equal(tries('held'), false)
  for (let other = 0; other < 5_000; other++) {
    tries(`other ${other}`)
    if (other % 1_000 === 0) assert.equal(tries('held'), false)
  }
  assert.equal(tries('held'), false)
  pass(1_000)
  assert.equal(tries('held'), true)
})

test('[AC30] an attempt that was right gives its place back', () => {
  const { throttle, tries } = throttleAt(1_000_000)
  for (let times = 0; times < 50; times++) throttle.attempt([['a', allowance]]).forgive()
  for (let times = 0; times < 5; times++) assert.equal(tries('a'), true)
  assert.equal(tries('a'), false)
})
