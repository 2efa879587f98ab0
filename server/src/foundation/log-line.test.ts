import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { createLog } from './log.ts'
import { finished, forTerminal, lineLimit } from './log-line.ts'
import { Secret } from './secret.ts'

function told(...args: unknown[]): string {
  const lines: string[] = []
  const log = createLog({ level: 'debug', write: (line) => void lines.push(line) })
  log.info(args[0] as object, args[1] as string)
  assert.equal(lines.length, 1)
  assert.doesNotThrow(() => JSON.parse(lines[0] ?? ''))
  return lines[0] ?? ''
}

const canary = 'Kanarienvogel7'
const jwt = 'eyJhbGciOiJFZERTQSJ9.eyJLYW5hcmllbnZvZ2VsNyI6MX0.S2FuYXJpZW52b2dlbDc'
const planted: readonly [where: string, fields: object, message?: string][] = [
  ['a header', { headers: { authorization: `Bearer ${canary}.abc-def` } }],
  ['headers as a list', { headers: { 'set-cookie': [`sid=${canary}`, `other=${canary}`] } }],
  [
    'basic authentication in text',
    {},
    `sent Basic ${Buffer.from(`me:${canary}${canary}`).toString('base64')}`,
  ],
  ['a field of a body', { body: { user: 'ada', password: `two words ${canary}` } }],
  ['a field deep within', { a: { b: [{ c: { clientSecret: canary } }] } }],
  ['a name with a prefix', { GITHUB_CLIENT_SECRET: canary, 'x-api-key': canary }],
  ['a value with a quote in it', { refreshToken: `ab"cd ${canary}` }],
  ['an object below a secret name', { credential: { value: canary } }],
  ['JSON within a text', { raw: JSON.stringify({ access_token: canary, expires_in: 3600 }) }],
  ['an address', { url: `https://example.com/cb?code=${canary}&state=${canary}xyz` }],
  ['an address with a password', {}, `cannot reach postgres://atom:${canary}@db.internal:5432/atom`],
  ['a form', { form: `grant_type=refresh_token&refresh_token=${canary}&client_secret=${canary}` }],
  ['a fragment', {}, `open https://atom.example/setup#token=${canary}`],
  ['a token of a provider', {}, `used ghp_${canary}abcdef, xoxb-1-${canary}, ya29.${canary}`],
  ['a capability', {}, `with atom.capability.${canary}`],
  [
    'an error and its cause',
    { err: new Error(`password=${canary}`, { cause: new Error(`token: ${canary}`) }) },
  ],
  ['a key', { pem: `-----BEGIN PRIVATE KEY-----\n${canary}\n-----END PRIVATE KEY-----` }],
  ['a sealed value', { sealed: new Secret(canary) }],
  ['a header line in a text', {}, `sent authorization: Bearer ${canary}-opaque and was refused`],
  ['cookies of which the first is harmless', {}, `sent Cookie: theme=dark; sid=${canary}; lang=en`],
  [
    'what a program prints of an object',
    {
      printed: inspect({
        headers: { 'x-api-key': canary, 'set-cookie': [`a=1; Path=/`, `sid=${canary}`] },
        authorization: `Basic ${canary}`,
        passphrase: `two words ${canary}`,
      }),
    },
  ],
]

test('[LG20] what is cut in the middle of a secret does not show the beginning of it', () => {
  const long = 'opaque'.repeat(20)
  for (const before of [1_980, 2_000, 2_020])
    for (const body of [
      JSON.stringify({ padding: 'p'.repeat(before), access_token: long }),
      JSON.stringify({ inner: JSON.stringify({ padding: 'p'.repeat(before), access_token: long }) }),
      `${'p'.repeat(before)} authorization: Bearer ${long}`,
    ])
      assert.doesNotMatch(told({ body, more: 'm'.repeat(lineLimit) }, 'said'), /opaque/)
})

test('[LG21] no text, however it is made, makes a line take longer than a moment', () => {
  const nasty = [
    '\\',
    'token \\"',
    'x://a:',
    'a://',
    '-eyJaaaaaaaa',
    '&token-',
    "'cookie: ",
    "password='a",
    'authorization: Basic ',
    '{"token":"\\\\',
  ]
  for (const piece of nasty) {
    // As long as it can be without being cut.
    const pieces = Math.floor(15_000 / (JSON.stringify(piece).length - 2))
    const text = `token ${piece.repeat(pieces)}`
    const began = process.cpuUsage()
    told({ text }, 'said')
    const { user } = process.cpuUsage(began)
    // What grows with the square of the length took 350 ms; what does not takes 10 at most.
    assert.ok(user < 150_000, `${JSON.stringify(piece)}: ${user} µs`)
  }
})

test('[LG22] an error is logged whatever it is: one that is its own cause, one whose fields cannot be read, one that is none', () => {
  const circle = new Error('the first')
  circle.cause = new Error('the second', { cause: circle })
  const hostile = Object.defineProperty(new Error('unread'), 'stack', {
    get() {
      throw new Error('nobody reads this')
    },
  })
  const refusing = new Proxy(new Error('behind'), {
    get() {
      throw new Error('nobody reads this')
    },
    getPrototypeOf() {
      throw new Error('nobody asks this')
    },
  })
  const nothing: unknown = Object.create(null)
  assert.match(told({ err: circle }, 'said'), /the first.*the second.*and so on/s)
  for (const err of [hostile, refusing, nothing, Symbol('a symbol'), 10n, undefined])
    assert.match(told({ err }, 'said'), /"msg":"said"/)
})

test('[LG1] of secrets planted in every shape a log line can have, none is found in it', () => {
  for (const [where, fields, message] of planted) {
    const line = told(fields, message ?? 'said')
    assert.ok(!line.includes(canary), `${where}: ${line}`)
    const encoded = Buffer.from(`me:${canary}${canary}`).toString('base64')
    assert.ok(!line.includes(encoded), where)
  }
  assert.ok(!told({ note: `got ${jwt} back` }, 'said').includes(jwt))
})

test('[LG1] what is no secret is left as it was', () => {
  const line = told(
    {
      requestId: '0199',
      code: 'not_found',
      tokens: 512,
      route: '/v1/rooms/{id}',
      state: 'ready',
      status: 404,
    },
    'request',
  )
  const { time: _time, ...rest } = JSON.parse(line)
  assert.deepEqual(rest, {
    ...{ level: 'info', requestId: '0199', code: 'not_found', tokens: 512, route: '/v1/rooms/{id}' },
    ...{ state: 'ready', status: 404, msg: 'request' },
  })
})

test('[LG2] whatever is in a field, it is one line that a terminal shows and does not obey', () => {
  const nasty = 'a\r\nb\u001b[2Jc\u2028d\u202ee\u0085f\u0000g'
  const line = told({ caller: nasty }, `said ${nasty}`)
  assert.equal(line.trimEnd().split(/[\r\n\u2028\u2029\u0085]/).length, 1)
  assert.equal(JSON.parse(line).caller, nasty)
  const shown: string[] = []
  const log = createLog({ level: 'info', readable: true, write: (text) => void shown.push(text) })
  log.info({ caller: nasty, twice: '\\u001b[2J', path: 'c:\\u001b' }, `said ${nasty}`)
  const text = shown.join('')
  for (const obeyed of ['\u001b[2J', '\u2028', '\u202e', '\u0000', '\u0085']) {
    assert.ok(!text.includes(obeyed), JSON.stringify(text))
  }
  assert.equal(forTerminal('"\\u001b \\\\u001b"'), '"\\\\u001b \\\\u001b"')
})

test('[LG3] a line is cut at its limit, text by text, and stays JSON with what happened in it', () => {
  const fields = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`field${n}`, 'x'.repeat(5_000)]))
  const line = told({ requestId: 'r1', ...fields }, 'said')
  assert.ok(line.length <= lineLimit, String(line.length))
  const read = JSON.parse(line)
  assert.equal(read.requestId, 'r1')
  assert.equal(read.msg, 'said')
  assert.match(read.field0, /^x{2048}… \(5000 characters\)$/)
  assert.ok(read.omitted.length > 0)
  assert.equal(
    finished(`${JSON.stringify({ a: 'y'.repeat(9_000) })}\n`).length,
    9_009,
    'below the limit nothing is cut',
  )
})
