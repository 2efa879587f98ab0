import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from './log.ts'
import { NoiseGate } from './log-noise.ts'

test('[LG4] of one kind of line a burst passes, then so many a second, and the next says how many were left out', () => {
  const gate = new NoiseGate({ perSecond: 10, burst: 5 })
  const passed = Array.from({ length: 100 }, (_, n) => gate.pass('request', 1_000 + n)).filter(
    (omitted) => omitted !== undefined,
  )
  assert.equal(passed.length, 5)
  assert.equal(gate.pass('something else', 1_100), 0)
  assert.equal(gate.pass('request', 1_210), 95)
  assert.deepEqual([...gate.owed()], [])
  for (let n = 0; n < 10; n++) gate.pass('request', 1_210)
  assert.deepEqual([...gate.owed()], [['request', 9]])
})

test('[LG4] a storm of one line leaves the others readable, and what ends the process is never left out', () => {
  const lines: string[] = []
  const log = createLog({
    level: 'info',
    noise: { perSecond: 0, burst: 3 },
    write: (line) => void lines.push(line),
  })
  for (let n = 0; n < 1_000; n++) log.warn({ n }, 'a storm')
  log.child({ module: 'rooms' }).info('one of its own')
  for (let n = 0; n < 5; n++) log.fatal({ n }, 'a storm')
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).level),
    ['warn', 'warn', 'warn', 'info', 'fatal', 'fatal', 'fatal', 'fatal', 'fatal'],
  )
})
