import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HealthComponent } from '@atom/contract/health.ts'
import { gaugeOf, healthReason, partName } from './health-words.ts'

const at = '2026-11-23T12:00:00.000Z'
function part(of: Partial<HealthComponent>): HealthComponent {
  return { status: 'up', required: false, since: at, checkedAt: at, latencyMs: 1, ...of }
}

test('what is down is named before what is degraded, each with its reason', () => {
  const system = { disk: part({ status: 'down', detail: 'The disk is full.' }) }
  const components = { queue: part({ status: 'degraded' }), database: part({}) }
  assert.equal(healthReason({ status: 'down', components, system }), 'The disk is full. Queue is degraded.')
  assert.equal(
    healthReason({ status: 'up', components: { database: part({}) } }),
    'Everything that was looked at is well.',
  )
  assert.equal(partName('master_key'), 'Master key')
})

test('a reading without its limit is no bar, and one over it is a full one', () => {
  assert.equal(gaugeOf('memory', { figures: { usedBytes: 4 } }), undefined)
  assert.equal(gaugeOf('cache', {}), undefined)
  assert.deepEqual(gaugeOf('descriptors', { figures: { open: 300, limit: 200 } }), {
    share: 1,
    words: '300 of 200 open',
  })
  assert.deepEqual(gaugeOf('disk', { figures: { freeBytes: 25_000, sizeBytes: 100_000 } }), {
    share: 0.75,
    words: '25 kB of 100 kB free',
  })
})
