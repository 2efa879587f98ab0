import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AtomError } from '#foundation/errors.ts'
import { MemoryRateLimits } from '#foundation/rate-limit/memory-rate-limit.ts'
import { SignInThrottle } from './sign-in-throttle.ts'

const allowance = { burst: 5, everyUs: 1_000_000 }

function throttleOf(capacity = 20_000) {
  const time = { nowUs: 1_000_000_000 }
  const limits = new MemoryRateLimits({ nowUs: () => time.nowUs })
  const throttle = new SignInThrottle({
    perAccount: limits.limit('account', allowance, { capacity }),
    perAddress: limits.limit('address', { burst: 50, everyUs: 100_000 }, { capacity }),
    perSite: limits.limit('site', { burst: 500, everyUs: 500_000 }, { capacity }),
  })
  const tries = async (account: string | undefined, ip = '192.0.2.7'): Promise<boolean> => {
    try {
      await throttle.attempt(ip, account)
      return true
    } catch (thrown) {
      assert.ok(thrown instanceof AtomError && thrown.code === 'rate_limited')
      assert.ok((thrown.retryAfterMs ?? 0) > 0)
      assert.equal(thrown.policies?.length, 1)
      return false
    }
  }
  const pass = (ms: number): void => {
    time.nowUs += ms * 1_000
  }
  return { throttle, tries, pass }
}

test('[AC28] in no span of time do more attempts pass than the burst and what that time adds', async () => {
  const { tries, pass } = throttleOf()
  const admitted: number[] = []
  let at = 0
  let seed = 42
  for (let step = 0; step < 10_000; step++) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    const wait = seed % 7 === 0 ? seed % 9_000 : seed % 40
    pass(wait)
    at += wait
    if (await tries('a')) admitted.push(at)
  }
  assert.ok(admitted.length > 100)
  for (const [first, from] of admitted.entries())
    for (let last = first; last < Math.min(first + 40, admitted.length); last++) {
      const span = (admitted[last] ?? 0) - from
      assert.ok(last - first + 1 <= 5 + span / 1_000, `${last - first + 1} within ${span} ms`)
    }
})

test('[AC29] thousands of other keys do not free a key that is held back', async () => {
  const { tries, pass } = throttleOf(100)
  for (let times = 0; times < 5; times++) assert.equal(await tries('held'), true)
  assert.equal(await tries('held'), false)
  for (let other = 0; other < 5_000; other++) {
    await tries(`other ${other}`, `198.51.${other >> 8}.${other & 255}`)
    if (other % 1_000 === 0) assert.equal(await tries('held'), false)
  }
  assert.equal(await tries('held'), false)
  // The same account from elsewhere is somebody else's attempt.
  assert.equal(await tries('held', '203.0.113.9'), true)
  pass(1_000)
  assert.equal(await tries('held'), true)
})

test('[AC30] an attempt that was right gives its place back', async () => {
  const { throttle, tries } = throttleOf()
  for (let times = 0; times < 80; times++) (await throttle.attempt('192.0.2.7', 'a')).forgive()
  for (let times = 0; times < 5; times++) assert.equal(await tries('a'), true)
  assert.equal(await tries('a'), false)
  // What was refused was not counted for the address either.
  for (let times = 0; times < 45; times++) assert.equal(await tries(undefined), true)
  assert.equal(await tries(undefined), false)
})
