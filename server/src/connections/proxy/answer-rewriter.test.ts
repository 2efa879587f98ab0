import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { Secret } from '#foundation/secret.ts'
import { AnswerRewriter } from './answer-rewriter.ts'
import { scrubbed } from './credential-scrubber.ts'

const secret = 'xoxb-1/2+3=token~with.signs&more'
const scrubber = new AnswerRewriter(scrubbed([new Secret(secret)]))

async function streamed(text: string, cut: number): Promise<string> {
  const bytes = Buffer.from(text)
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += cut) chunks.push(Buffer.from(bytes.subarray(at, at + cut)))
  return (await buffer(Readable.from(chunks).pipe(scrubber.stream()))).toString()
}

const forms: Readonly<Record<string, string>> = {
  'as it is': secret,
  'JSON with escaped slashes': secret.replaceAll('/', '\\/'),
  'JSON with every sign escaped': secret.replace(
    /[/+=&]/g,
    (sign) => `\\u00${sign.charCodeAt(0).toString(16)}`,
  ),
  'an address': encodeURIComponent(secret),
  'an address in small letters': encodeURIComponent(secret).replace(/%../g, (code) => code.toLowerCase()),
  HTML: secret.replaceAll('&', '&amp;'),
  base64: Buffer.from(secret).toString('base64').replace(/=+$/, ''),
  'base64 after a name': Buffer.from(`x-oauth-basics:${secret}`).toString('base64'),
  'base64url after two signs': Buffer.from(`u:${secret}`).toString('base64url'),
  'base64 between neighbours': Buffer.from(`name:${secret}:after`).toString('base64'),
}

test('[CN216] a credential that comes back in a body is struck out in every form in which servers repeat it', async () => {
  for (const [name, form] of Object.entries(forms)) {
    const text = `{"before":1,"echo":"${form}","after":2}`
    const whole = scrubber.whole(Buffer.from(text)).toString()
    assert.equal(whole.length, text.length, name)
    assert.match(whole, /^\{"before":1,"echo":"/, name)
    assert.match(whole, /","after":2\}$/, name)
    const middle = whole.slice('{"before":1,"echo":"'.length, -'","after":2}'.length)
    // At most the signs remain in which a neighbour has a part.
    assert.ok(/\*{20,}/.test(middle), `${name}: ${middle}`)
    assert.ok(!Buffer.from(middle, 'base64').toString().includes('token'), name)
    assert.ok(!middle.includes('token'), name)
  }
})

test('[CN216] wherever a body is cut into chunks, the same is struck out', async () => {
  for (const [name, form] of Object.entries(forms)) {
    const text = `xoxb xoxb-1 {"echo":"${form}"} ${form}${form} xoxb-1/2+3=token~with.sign`
    const whole = scrubber.whole(Buffer.from(text)).toString()
    for (let cut = 1; cut <= form.length + 7; cut++) {
      assert.equal(await streamed(text, cut), whole, `${name} cut at ${cut}`)
    }
  }
})

test('[CN216] nothing else is touched or held back: what cannot begin a credential passes at once', async () => {
  const stream = scrubber.stream()
  const got: string[] = []
  stream.on('data', (chunk: Buffer) => void got.push(chunk.toString()))
  stream.write('data: one\n\n')
  stream.write('data: two xox')
  stream.write('o data: three\n\n')
  assert.deepEqual(got, ['data: one\n\n', 'data: two ', 'xoxo data: three\n\n'])
})

test('[CN216] a replacement of another length leaves the rest as it was', async () => {
  const links = new AnswerRewriter([{ find: Buffer.from('https://far/'), put: Buffer.from('near:') }])
  assert.equal(links.keepsLength, false)
  const text = 'https://far/a https://far https://far/https://far/b https://fa'
  const expected = 'near:a https://far near:near:b https://fa'
  assert.equal(links.whole(Buffer.from(text)).toString(), expected)
  for (let cut = 1; cut < 20; cut++) {
    const chunks = text.match(new RegExp(`.{1,${cut}}`, 'g')) ?? []
    const out = await buffer(Readable.from(chunks.map((chunk) => Buffer.from(chunk))).pipe(links.stream()))
    assert.equal(out.toString(), expected)
  }
})
