import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitPolicies } from '@atom/contract/limits.ts'
import { SignInThrottle } from '#accounts/sign-in-throttle.ts'
import { AtomError } from '#foundation/errors.ts'
import { MemoryRateLimits } from '#foundation/rate-limit/memory-rate-limit.ts'
import { PolicyLimits } from '#http/policy-limits.ts'

/** The limits as they come, at a time that only the test moves. */
function signIn() {
  const time = { us: 1_000_000_000 }
  const limits = new PolicyLimits(new MemoryRateLimits({ nowUs: () => time.us }))
  const throttle = new SignInThrottle({
    perAccount: limits.of('sign-in'),
    perAddress: limits.of('sign-in-address'),
    perSite: limits.of('sign-in-network'),
  })
  /** Undefined: it may be tried; else the limit that is met. */
  const refusedBy = async (from: string, account = 'ada@example.com') => {
    try {
      await throttle.attempt(from, account)
      return undefined
    } catch (thrown) {
      if (!(thrown instanceof AtomError) || thrown.code !== 'rate_limited') throw thrown
      return thrown.policies?.join()
    }
  }
  return { time, refusedBy }
}

const site = limitPolicies['sign-in-network']

test('[LS21] whoever guesses from every address of an IPv6 line has what one line may, to the point; everybody else signs in', async () => {
  const { time, refusedBy } = signIn()
  const from = (at: number) => `2001:db8:7:${at.toString(16)}::1`
  const verdicts: (string | undefined)[] = []
  for (let at = 0; at < 65_536; at++) verdicts.push(await refusedBy(from(at)))
  assert.equal(
    verdicts.findIndex((by) => by !== undefined),
    site.burst,
  )
  assert.deepEqual([...new Set(verdicts.slice(site.burst))], ['sign-in-network'])
  time.us += 1_000_000 / site.perSecond - 1
  assert.equal(await refusedBy(from(1)), 'sign-in-network')
  time.us += 1
  assert.deepEqual([await refusedBy(from(1)), await refusedBy(from(2))], [undefined, 'sign-in-network'])
  for (const other of ['2001:db8:8::1', '192.0.2.7', '::ffff:198.51.100.3', 'fe80::1%eth0'])
    for (let times = 0; times < limitPolicies['sign-in'].burst; times++)
      assert.equal(await refusedBy(other), undefined, other)
})

test('[LS21] where so many lines guess that the tables are full, whoever comes new shares with their neighbours, and not with those', async () => {
  const { refusedBy } = signIn()
  // 30,000 subjects, of whom 20,000 are kept apart.
  for (let line = 0; line < 60; line++)
    for (let at = 0; at < site.burst; at++)
      await refusedBy(`2001:db8:${line.toString(16)}:${at.toString(16)}::1`, `account ${at}`)
  let served = 0
  for (let at = 0; at < 300; at++)
    if ((await refusedBy(`10.${at >> 8}.${at & 255}.9`, `person ${at}`)) === undefined) served++
  // Twenty lines came too late, and fill twenty of the 1,024 places that newcomers share.
  assert.ok(served >= 285, `${served} of 300`)
})
