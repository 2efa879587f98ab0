import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BurnRate, burnRules } from './burn-rate.ts'

const start = Date.UTC(2026, 0, 1)
const minute = (number: number) => new Date(start + number * 60_000)

/** Replays minutes of requests, and tells at which ones each rule fired and was over. */
function replay(
  rate: BurnRate,
  minutes: number,
  at: (minute: number) => { total: number; bad: number },
): string[] {
  const told: string[] = []
  const before = burnRules.map(() => false)
  for (let number = 0; number < minutes; number++) {
    const { total, bad } = at(number)
    rate.put(minute(number), total, bad)
    for (const [place, { rule, firing }] of rate.evaluate(minute(number)).entries()) {
      if (firing !== before[place]) told.push(`${number} ${rule.longMinutes} ${firing ? 'fires' : 'is over'}`)
      before[place] = firing
    }
  }
  return told
}

test('[MO3] a replayed trace of errors fires and clears each burn-rate alert at exactly the minutes that the workbook’s arithmetic gives', () => {
  const day = 24 * 60
  // 99.9 %, 100 requests a minute, four good days; then 20 % fail for 90 minutes.
  const rate = new BurnRate({ target: 0.999, leastBad: 5 })
  const outage = { from: 4 * day, to: 4 * day + 90 }
  const told = replay(rate, 6 * day, (number) => ({
    total: 100,
    bad: number >= outage.from && number < outage.to ? 20 : 0,
  }))
  // One hour at 14.4: n/60 × 20 % ≥ 1.44 % from n = 5 on (4.32); five minutes are then full of it.
  const hour = [`${outage.from + 4} 60 fires`]
  // Six hours at 6: n/360 × 20 % ≥ 0.6 % from n = 11 on (10.8); the half hour passes 0.6 % with its first.
  const sixHours = [`${outage.from + 10} 360 fires`]
  // Three days at 1: n/4320 × 20 % ≥ 0.1 % from n = 22 on (21.6); six hours passed it with n = 2.
  const threeDays = [`${outage.from + 21} 4320 fires`]
  // Over when the short window has been below for five minutes: five minutes hold k bad ones, k/5 × 20 % < 1.44 % with k = 0.
  const end = outage.to - 1
  const overHour = `${end + 5 + 4} 60 is over`
  // Half an hour: k/30 × 20 % < 0.6 % with k = 0 (0.9 would do), 30 minutes after the last bad one.
  const overSixHours = `${end + 30 + 4} 360 is over`
  // Six hours: k/360 × 20 % < 0.1 % with k ≤ 1 (1.8 would do): 359 minutes after the last bad one.
  const overThreeDays = `${end + 359 + 4} 4320 is over`
  assert.deepEqual(told, [...hour, ...sixHours, ...threeDays, overHour, overSixHours, overThreeDays])
})

test('[MO4] slow burning raises a ticket and never a page, and a good hour between two bad minutes raises nothing twice', () => {
  const slow = new BurnRate({ target: 0.99, leastBad: 5 })
  // Twice the budget: 2 % of all, for a week.
  const told = replay(slow, 7 * 24 * 60, () => ({ total: 50, bad: 1 }))
  assert.equal(told.length, 1)
  assert.match(told[0] ?? '', /^\d+ 4320 fires$/)

  const flutter = new BurnRate({ target: 0.999, leastBad: 5 })
  const fluttering = replay(flutter, 120, (number) => ({ total: 100, bad: number % 4 === 0 ? 60 : 0 }))
  assert.equal(fluttering.filter((line) => line.includes(' 60 ')).length, 1)
})

test('[MO5] where there is little traffic, fewer failures than the least that count raise nothing, however large their share', () => {
  const rate = new BurnRate({ target: 0.999, leastBad: 5 })
  // One request an hour, the first four of which fail.
  const at = (number: number) => ({
    total: number % 60 === 0 ? 1 : 0,
    bad: number % 60 === 0 && number < 240 ? 1 : 0,
  })
  assert.deepEqual(replay(rate, 24 * 60, at), [])
  const failing = new BurnRate({ target: 0.999, leastBad: 5 })
  const told = replay(failing, 60, (number) => ({ total: number < 5 ? 1 : 0, bad: number < 5 ? 1 : 0 }))
  assert.ok(told.includes('4 60 fires'))
})
