import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseStrictJson } from './strict-json.ts'

let seed = 7
function random(below: number): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
  return Math.floor((seed / 2_147_483_648) * below)
}

const texts = ['', 'a', '"', '\\', '\\"', 'é', '😀', '\n', '{"a":1}', '[', ',', ':', '\u2028', 'a\\u0041']

function value(depth: number): unknown {
  switch (random(depth > 4 ? 5 : 7)) {
    case 0:
      return null
    case 1:
      return random(2) === 0
    case 2:
      return (random(2_000_000) - 1_000_000) / 7
    case 3:
    case 4:
      return texts[random(texts.length)]
    case 5:
      return Array.from({ length: random(4) }, () => value(depth + 1))
    default:
      return Object.fromEntries(
        Array.from({ length: random(4) }, (_, at) => [
          `${texts[random(texts.length)]}${at}`,
          value(depth + 1),
        ]),
      )
  }
}

test('[ER21] whatever JSON.stringify writes is read as the same value, however it is spaced', () => {
  for (let times = 0; times < 5_000; times++) {
    const written = value(0)
    const text = JSON.stringify(written, null, random(3))
    assert.deepEqual(parseStrictJson(Buffer.from(text)), JSON.parse(text))
  }
})

test('[ER22] a text that a database cannot hold is named by its place, however deep it is', () => {
  const cases: [text: string, pointer: string][] = [
    ['"\\u0000"', ''],
    ['["a","\\ud800"]', '/1'],
    ['{"a":{"b/c~":["x",{"d":"\\udc00"}]}}', '/a/b~1c~0/1/d'],
    ['{"a":[[],{},[1,2],"\\u0000"]}', '/a/3'],
    ['{"a":{"\\u0000":1}}', '/a'],
  ]
  for (const [text, pointer] of cases)
    assert.throws(
      () => parseStrictJson(Buffer.from(text)),
      (thrown: { problems?: { pointer: string }[] }) => {
        assert.equal(thrown.problems?.[0]?.pointer, pointer)
        return true
      },
    )
})

test('[ER21] what stands twice, at whatever depth and however it is written, is refused, and the same once is not', () => {
  const refused = (text: string) =>
    assert.throws(() => parseStrictJson(Buffer.from(text)), { code: 'malformed_request' }, text)
  for (const [once, twice] of [
    ['{"a":1,"b":2}', '{"a":1,"a":2}'],
    ['{"a":{"b":1},"c":{"b":1}}', '{"a":{"b":1},"a":{}}'],
    ['[[{"a":":"}],{"a":1}]', '[[{"a":":","a":""}],{"a":1}]'],
    ['{"a/b":1,"a":{"b":":"}}', '{"a/b":1,"a\\/b":{"b":":"}}'],
    ['{"a\\\\":1,"a":"\\":\\""}', '{"a\\\\":1,"a\\\\":"\\":\\""}'],
    ['{"a":1,"A":2}', '{"a":1,"\\u0061":2}'],
    ['{"proto":1}', '{"__proto__":1}'],
  ] as const) {
    assert.deepEqual(parseStrictJson(Buffer.from(once)), JSON.parse(once))
    refused(twice)
  }
  refused('['.repeat(33) + ']'.repeat(33))
  assert.ok(Array.isArray(parseStrictJson(Buffer.from('['.repeat(32) + ']'.repeat(32)))))
})
