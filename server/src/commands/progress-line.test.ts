import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProgressLine } from './progress-line.ts'

function drawn(
  isTTY: boolean,
  columns = 120,
): { texts: string[]; line: ProgressLine; pass(ms: number): void } {
  const texts: string[] = []
  let now = 0
  const line = new ProgressLine({
    output: { isTTY, columns, write: (text) => texts.push(text) },
    what: 'data keys',
    now: () => now,
  })
  return {
    texts,
    line,
    pass: (ms) => {
      now += ms
    },
  }
}

test('[CR16] in a terminal long work is one line that says how much, how fast and how long, drawn at most ten times a second', () => {
  const { texts, line, pass } = drawn(true)
  line.tell({ done: 0, total: 12_000 })
  for (let n = 1; n <= 400; n++) {
    pass(10)
    line.tell({ done: n * 10, total: 12_000 })
  }
  line.end()
  assert.equal(texts.length, 1 + 40 + 1)
  assert.equal(
    texts.at(-2),
    '\r\u001b[K████████░░░░░░░░░░░░░░░░  4,000 of 12,000 data keys, 1,000 a second, 8 s left',
  )
  assert.ok(texts.every((text) => text.startsWith('\r\u001b[K') && !text.includes('\n')))
})

test('[CR16] a narrow terminal gets a line that does not wrap', () => {
  const { texts, line } = drawn(true, 30)
  line.tell({ done: 0, total: 12_000 })
  assert.equal(texts[0]?.replace('\r\u001b[K', '').length, 29)
})

test('[CR16] elsewhere there is a plain line at the beginning and every five seconds', () => {
  const { texts, line, pass } = drawn(false)
  for (let n = 0; n <= 100; n++) {
    line.tell({ done: n * 100, total: 1_000_000 })
    pass(100)
  }
  line.end()
  assert.deepEqual(texts, [
    '0 of 1,000,000 data keys\n',
    '5,000 of 1,000,000 data keys, 1,000 a second, 17 min left\n',
    '10,000 of 1,000,000 data keys, 1,000 a second, 17 min left\n',
  ])
})

test('[CR16] nothing to do draws nothing', () => {
  const { texts, line } = drawn(false)
  line.tell({ done: 0, total: 0 })
  assert.deepEqual(texts, [])
})
