import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Recent } from './recent.ts'

test('[RT180] of what is remembered for a while the newest and what is in use stay, and never more than there is room for', () => {
  const recent = new Recent<number>(100)
  recent.set('in use', -1)
  recent.set('forgotten', -1)
  let most = 0
  for (let number = 0; number < 1_000; number++) {
    recent.set(`${number}`, number)
    most = Math.max(most, recent.size)
    assert.equal(recent.get('in use'), -1, `after ${number}`)
    for (let newer = Math.max(0, number - 20); newer <= number; newer++) {
      assert.equal(recent.get(`${newer}`), newer, `of ${number}`)
    }
  }
  assert.ok(most <= 100, `${most} were kept`)
  assert.equal(recent.get('forgotten'), undefined)
  recent.delete('999')
  recent.delete('in use')
  assert.equal(recent.get('999'), undefined)
  assert.equal(recent.get('in use'), undefined)
})
