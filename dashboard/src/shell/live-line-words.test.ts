import assert from 'node:assert/strict'
import { test } from 'node:test'
import { awayWords, liveLineWords } from './live-line-words.ts'

test('[UI8] while all is well the line says nothing', () => {
  assert.equal(liveLineWords({ state: 'connected', pendingCount: 3 }, true, 0), undefined)
  assert.equal(liveLineWords({ state: 'idle', pendingCount: 0 }, true, 0), undefined)
})

test('[UI8] offline, it says how many messages wait', () => {
  const line = liveLineWords({ state: 'suspended', reason: 'offline', pendingCount: 3 }, false, 0)
  assert.equal(line?.text, 'Offline. 3 messages waiting to be sent.')
  assert.equal(line.offer, undefined)
})

test('[UI8] while the server is away it says when the next try is, and offers one now', () => {
  const line = liveLineWords({ state: 'suspended', retryAt: 5_000, pendingCount: 0 }, true, 1_500)
  assert.deepEqual(line, { text: 'The server cannot be reached. Next try in 4 s.', offer: 'now' })
})

test('[UI8] it names the part that is degraded', () => {
  const line = liveLineWords({ state: 'suspended', reason: 'unavailable', pendingCount: 1 }, true, 0)
  assert.match(line?.text ?? '', /database.* 1 message waiting/)
})

test('[UI8] what will not mend itself offers a reload', () => {
  assert.equal(
    liveLineWords({ state: 'failed', reason: 'protocol_unsupported', pendingCount: 0 }, true, 0)?.offer,
    'reload',
  )
})

test('what is asked by request says why nobody answered, and when it is asked again', () => {
  assert.deepEqual(awayWords('offline', 5_000, true, 2_000), {
    text: 'The server cannot be reached. Next try in 3 s.',
    offer: 'now',
  })
  assert.match(awayWords('unavailable', 0, true, 0).text, /^Degraded: the server cannot reach its database/)
  assert.equal(awayWords('offline', 5_000, false, 0).offer, undefined)
})
