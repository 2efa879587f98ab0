import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from './log.ts'
import { type Span, within } from './telemetry/trace.ts'

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

test('a line that is logged within a kept trace names it once, whichever way it was written, and one outside names none', () => {
  const lines: string[] = []
  const log = createLog({ level: 'info', write: (line) => void lines.push(line) })
  const own = 'b'.repeat(32)
  const says = (write: () => void) => {
    write()
    const line = lines.pop() ?? ''
    assert.ok(line.split('"traceId"').length <= 2, line)
    return JSON.parse(line) as { msg: string; traceId?: string; err?: { message: string }; n?: number }
  }
  const span: Span = {
    traceId: 'a'.repeat(32),
    traceparent: '',
    child: () => span,
    apart: () => span,
    link: () => undefined,
    note: () => undefined,
    fail: () => undefined,
    end: () => undefined,
    leave: () => undefined,
  }
  within(span, () => {
    assert.equal(says(() => log.info('only words')).traceId, span.traceId)
    const { n, traceId, msg } = says(() => log.info({ n: 1 }, 'facts'))
    assert.deepEqual([n, traceId, msg], [1, span.traceId, 'facts'])
    const failed = says(() => log.error(new Error('bare')))
    assert.deepEqual([failed.traceId, failed.err?.message, failed.msg], [span.traceId, 'bare', 'bare'])
    assert.equal(says(() => log.info({ traceId: own }, 'its own')).traceId, own)
    assert.equal(says(() => log.child({ traceId: own }).info({ n: 1 }, 'of its log')).traceId, own)
    assert.equal(says(() => log.info('%s words', 'some')).msg, 'some words')
  })
  assert.equal(says(() => log.info({ n: 1 }, 'outside')).traceId, undefined)
})
