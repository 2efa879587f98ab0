import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from './log.ts'

test('[ER23] an error is logged with its causes and without what a driver has hung onto it', () => {
  const lines: string[] = []
  const log = createLog({ level: 'info', write: (line) => void lines.push(line) })
  const beneath = Object.assign(new Error('terminated'), { code: '57P01', client: { secretKey: 4711 } })
  log.warn({ err: new Error('a session was lost', { cause: beneath }) }, 'said')
  const [line = ''] = lines
  assert.match(line, /a session was lost/)
  assert.match(line, /57P01/)
  assert.doesNotMatch(line, /4711|secretKey/)
})
