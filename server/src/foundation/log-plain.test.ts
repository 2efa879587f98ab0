import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { createLog, plainLines } from './log.ts'
import { LogTail } from './log-tail.ts'

const fields = { requestId: 'r-1', method: 'GET', status: 200, ms: 1.5 }
const asText = JSON.stringify(fields).slice(1, -1)

/** But for its time. */
const bare = (line = '') => line.replace(/"time":"[^"]*"/, '')

test('[AP7] [LG30] a line on the short way is the line that it would be on the long one, in the log and in its tail, and says its process where there are several', () => {
  const lines: string[] = []
  const tail = new LogTail()
  const log = createLog({ level: 'info', write: (line) => void lines.push(line), tail, node: 'host-7' })
  for (const one of [log, log.child({ module: 'http' }), log.child({ module: 'http' }).child({ n: 1 })]) {
    one.info(fields, 'request')
    plainLines(one, 'info', 'request')(() => asText)
    const [long, short] = lines.splice(0)
    assert.equal(bare(short), bare(long))
    assert.equal(JSON.parse(short ?? '').node, 'host-7')
    assert.match(JSON.parse(short ?? '').time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  }
  assert.deepEqual(
    [...tail.entries({ module: 'http' })].map(({ message, requestId, fields: { node } }) => [
      message,
      requestId,
      node,
    ]),
    Array.from({ length: 4 }, () => ['request', 'r-1', undefined]),
  )
})

test('[AP7] a line on the short way is bound to the level and the noise limit of all lines', () => {
  const lines: string[] = []
  const log = createLog({
    level: 'info',
    noise: { perSecond: 0, burst: 3 },
    write: (line) => void lines.push(line),
  })
  const module = log.child({ module: 'http' })
  const write = plainLines(module, 'info', 'request')
  module.level = 'warn'
  write(() => assert.fail('nobody asks for what is not written'))
  module.level = 'info'
  log.info(fields, 'request')
  for (let n = 0; n < 10; n++) write(() => asText)
  assert.equal(lines.length, 3, 'both ways together')
  plainLines(module, 'debug', 'request')(() => assert.fail('below the level'))
})

test('[AP7] the next line that passes says how many were left out', async () => {
  const lines: string[] = []
  const log = createLog({
    level: 'info',
    noise: { perSecond: 1_000, burst: 1 },
    write: (line) => void lines.push(line),
  })
  const write = plainLines(log, 'info', 'request')
  const omitted = () => JSON.parse(lines.at(-1) ?? '').omitted
  write(() => asText)
  while (lines.length < 2) {
    write(() => asText)
    if (omitted() === undefined) lines.length = 1
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  assert.ok(omitted() > 0)
})

test('[AP7] a log that somebody else made gets the line as well', () => {
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => void lines.push(line) })
  plainLines(log, 'info', 'request')(() => asText)
  assert.partialDeepStrictEqual(JSON.parse(lines[0] ?? ''), { ...fields, msg: 'request' })
})
