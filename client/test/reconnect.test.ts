import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AtomClientError } from '../src/atom-client-error.ts'
import { type Loss, Reconnect } from '../src/realtime/reconnect.ts'

const offline: Loss = { kind: 'refused', error: new AtomClientError('offline') }

function waits(policy: Reconnect, losses: readonly Loss[]): number[] {
  return losses.map((loss) => {
    const verdict = policy.lost(loss)
    assert.ok(verdict.comeBack)
    return verdict.afterMs
  })
}

test('[CL1] ten thousand clients that lose one server come back spread over the time it asked for, not all at once', () => {
  const spreadMs = 30_000
  const buckets = new Array<number>(30).fill(0)
  for (let client = 0; client < 10_000; client++) {
    const policy = new Reconnect()
    policy.opened(spreadMs)
    const [wait] = waits(policy, [{ kind: 'dropped' }])
    assert.ok(wait !== undefined && wait <= spreadMs)
    const bucket = Math.min(29, Math.floor(wait / 1_000))
    buckets[bucket] = (buckets[bucket] ?? 0) + 1
  }
  // Uniform would be 333 in each second; twice that is 18 standard deviations away.
  assert.ok(Math.max(...buckets) < 666, `most in one second: ${Math.max(...buckets)}`)
  assert.ok(Math.min(...buckets) > 150, `fewest in one second: ${Math.min(...buckets)}`)
})

test('[CL2] however often it fails, the next attempt is at most twenty seconds away, and never without jitter', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (failures, dice) => {
        const policy = new Reconnect({ random: () => dice })
        const last = waits(policy, new Array<Loss>(failures + 1).fill(offline)).at(-1)
        const bound = Math.min(20_000, 500 * 2 ** failures)
        assert.equal(last, Math.round(dice * bound))
      },
    ),
  )
})

test('[CL2] the server’s Retry-After is waited out before the jitter begins', () => {
  const busy: Loss = { kind: 'refused', error: new AtomClientError('busy', { retryAfterMs: 7_000 }) }
  const policy = new Reconnect({ random: () => 0 })
  assert.deepEqual(waits(policy, [busy, busy]), [7_000, 7_000])
})

test('[CL2] a socket that held for a minute makes earlier failures forgotten; one that fell at once, does not', () => {
  let now = 0
  const policy = new Reconnect({ random: () => 1, now: () => now })
  assert.deepEqual(waits(policy, [offline, offline, offline]), [500, 1_000, 2_000])
  policy.opened(0)
  now += 9_999
  assert.deepEqual(waits(policy, [{ kind: 'dropped' }]), [4_000])
  policy.opened(0)
  now += 60_000
  assert.deepEqual(waits(policy, [{ kind: 'dropped' }]), [500])
})

test('[RT93] every ten seconds that a socket stood make good for one failure: who is cut off twice a minute never waits long', () => {
  let now = 0
  const policy = new Reconnect({ random: () => 1, now: () => now })
  waits(policy, new Array<Loss>(6).fill(offline))
  for (const expected of [8_000, 4_000, 2_000, 1_000, 500, 500, 500]) {
    policy.opened(0)
    now += 25_000
    assert.deepEqual(waits(policy, [{ kind: 'dropped' }]), [expected])
  }
})

test('[CL3] a client comes back from what passes, and stays away from what does not', () => {
  const verdict = (loss: Loss) => new Reconnect({ random: () => 0 }).lost(loss).comeBack
  for (const reason of ['draining', 'token_expired', 'too_slow', 'too_many_frames'] as const)
    assert.equal(verdict({ kind: 'closed', reason }), true, reason)
  for (const reason of ['session_revoked', 'replaced'] as const)
    assert.equal(verdict({ kind: 'closed', reason }), false, reason)
  for (const code of [
    'busy',
    'draining',
    'unavailable',
    'rate_limited',
    'offline',
    'token_expired',
    'internal',
  ] as const)
    assert.equal(verdict({ kind: 'refused', error: new AtomClientError(code) }), true, code)
  for (const code of ['session_revoked', 'protocol_unsupported', 'forbidden'] as const)
    assert.equal(verdict({ kind: 'refused', error: new AtomClientError(code) }), false, code)
})

test('[CL66] what befalls one socket is not spread as if the server had gone: blameless it is back at once, else after a short jitter', () => {
  for (const [reason, wait] of [
    ['token_expired', 0],
    ['moved', 0],
    ['too_slow', 500],
    ['too_many_frames', 500],
    ['draining', 30_000],
  ] as const) {
    const policy = new Reconnect({ random: () => 1 })
    policy.opened(30_000)
    assert.deepEqual(waits(policy, [{ kind: 'closed', reason }]), [wait], reason)
  }
})

test('[CL3] a lone expired token brings the client back at once; a loop of them is slowed down', () => {
  const policy = new Reconnect({ random: () => 1 })
  assert.deepEqual(
    waits(policy, new Array<Loss>(3).fill({ kind: 'closed', reason: 'token_expired' })),
    [0, 1_000, 2_000],
  )
})

test('[CL78] who came while few were there comes back over the span for many, as the server says when they have come', () => {
  const policy = new Reconnect({ random: () => 1 })
  policy.opened(1_000)
  policy.spread(30_000)
  assert.deepEqual(waits(policy, [{ kind: 'dropped' }]), [30_000])
})
