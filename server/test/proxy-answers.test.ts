import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { proxyScene } from './support/proxy-scene.ts'
import { until } from './support/until.ts'

const access = 'google-access-token-1'
const refresh = 'google-refresh-token-1'

test('[CN216] neither token of a connection comes back in a body: whole or in chunks, packed or not, to its owner or to a bearer', async () => {
  await using it = await proxyScene('google')
  const text = JSON.stringify({
    access,
    refresh,
    header: `Basic ${Buffer.from(`user:${access}`).toString('base64')}`,
    rest: 'stays',
  })
  it.provider.on('www.googleapis.com', '/whole', () => ({
    headers: { 'content-type': 'application/json' },
    body: text,
  }))
  it.provider.on('www.googleapis.com', '/packed', () => ({
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    body: gzipSync(text),
  }))
  it.provider.on('www.googleapis.com', '/chunks', async (_seen, { response }) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    for (const letter of text) {
      response.write(letter)
      await new Promise(setImmediate)
    }
    response.end()
    return undefined
  })
  it.provider.on('www.googleapis.com', '/refused', () => ({
    status: 403,
    headers: { 'x-echo': refresh },
    body: { error: access },
  }))
  for (const path of ['/whole', '/packed', '/chunks', '/refused']) {
    const reply = await it.ada.call('GET', `${it.proxy}${path}`)
    assert.ok(!reply.text.includes('access-token') && !reply.text.includes('refresh-token'), path)
    assert.ok(
      !Buffer.from(reply.text.match(/Basic ([^"]+)/)?.[1] ?? '', 'base64')
        .toString()
        .includes('token'),
      path,
    )
    assert.equal(reply.headers.get('x-echo'), null)
    if (path !== '/refused') assert.equal(reply.body.rest, 'stays', path)
    if (path !== '/refused') assert.equal(reply.text.length, text.length, path)
  }
})

test('[CN216] after a refresh the new pair is struck out as well', async () => {
  await using it = await proxyScene('google')
  it.provider.on('www.googleapis.com', '/echo', ({ headers }) =>
    headers.authorization === `Bearer ${access}`
      ? { status: 401, body: {} }
      : { body: { sent: headers.authorization, kept: refresh } },
  )
  for (let round = 0; round < 2; round++) {
    const reply = await it.ada.call('GET', `${it.proxy}/echo`)
    assert.equal(reply.status, 200)
    assert.doesNotMatch(reply.text, /token/)
    assert.match(reply.body.sent, /^Bearer \*+$/)
    assert.match(reply.body.kept, /^\*+$/)
  }
})

test('[CN219] addresses of the provider in Link and Location lead through the proxy again; others stay as they are', async () => {
  await using it = await proxyScene()
  const through = `${it.house.url}${it.proxy}`
  it.provider.on('api.github.com', '/page', () => ({
    status: 201,
    headers: {
      link: `<https://api.github.com/page?page=2>; rel="next", <${it.provider.url}/api.github.com/page?page=9>; rel="last", <https://evil.example/>; rel="x"`,
      location: 'https://uploads.github.com/a/b?c=1',
    },
    body: { next: 'https://api.github.com/page?page=2' },
  }))
  const reply = await it.ada.call('POST', `${it.proxy}/page`)
  assert.equal(
    reply.headers.get('link'),
    `<${through}/page?page=2>; rel="next", <${through}/page?page=9>; rel="last", <https://evil.example/>; rel="x"`,
  )
  assert.equal(reply.headers.get('location'), `${through}/uploads.github.com/a/b?c=1`)
  assert.equal(reply.body.next, 'https://api.github.com/page?page=2')
})

test('[CN226] where a provider says with status 200 that the token has ended, it is renewed and the request sent once more', async () => {
  await using it = await proxyScene('slack')
  let refused = 0
  it.provider.on('slack.com', '/api/chat.postMessage', () =>
    ++refused === 1 ? { body: { ok: false, error: 'token_expired' } } : { body: { ok: true, ts: '1' } },
  )
  const reply = await it.ada.call('POST', `${it.proxy}/chat.postMessage`, { json: { text: 'x' } })
  assert.deepEqual(reply.body, { ok: true, ts: '1' })
  const sent = it.provider.requests('slack.com', '/api/chat.postMessage')
  assert.equal(sent.length, 2)
  assert.notEqual(sent[0]?.headers.authorization, sent[1]?.headers.authorization)
  assert.equal(sent[1]?.body, '{"text":"x"}')
  // Any other failure is the caller's, and costs no second request.
  it.provider.on('slack.com', '/api/chat.update', () => ({
    body: { ok: false, error: 'cant_update_message' },
  }))
  assert.equal((await it.ada.call('POST', `${it.proxy}/chat.update`)).body.error, 'cant_update_message')
  assert.equal(it.provider.requests('slack.com', '/api/chat.update').length, 1)
})

test('[CN227] a limit that is told by a 403 passes through as it came and is noted; a lack of rights is not taken for one', async () => {
  await using it = await proxyScene('google')
  const noted = () =>
    it.house.lines.filter((line) => line.includes('the provider limits this account')).length
  it.provider.on('www.googleapis.com', '/limited', () => ({
    status: 403,
    body: { error: { errors: [{ reason: 'userRateLimitExceeded' }], code: 403 } },
  }))
  it.provider.on('www.googleapis.com', '/forbidden', () => ({
    status: 403,
    body: { error: { errors: [{ reason: 'insufficientPermissions' }], code: 403 } },
  }))
  assert.equal((await it.ada.call('GET', `${it.proxy}/forbidden`)).status, 403)
  assert.equal(noted(), 0)
  const reply = await it.ada.call('GET', `${it.proxy}/limited`)
  assert.equal(reply.status, 403)
  assert.equal(reply.body.error.errors[0].reason, 'userRateLimitExceeded')
  await until(() => noted() === 1)
})

test('[CN228] an answer that breaks off before anything of it was passed on is provider_unavailable, not half an answer', async () => {
  await using it = await proxyScene()
  it.provider.on('api.github.com', '/half', (_seen, { response }) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
    response.write('{"half":', () => response.destroy())
    return undefined
  })
  const reply = await it.ada.call('GET', `${it.proxy}/half`)
  assert.equal(reply.status, 503)
  assert.equal(reply.body.code, 'provider_unavailable')
})

test('[CN228] an answer that was packed small and is long arrives whole; a coding that nobody asked for is refused', async () => {
  await using it = await proxyScene()
  const long = JSON.stringify({ text: 'a'.repeat(3_000_000) })
  it.provider.on('api.github.com', '/long', () => {
    const packed = gzipSync(long)
    return {
      headers: {
        'content-type': 'application/json',
        'content-encoding': 'gzip',
        'content-length': String(packed.length),
      },
      body: packed,
    }
  })
  assert.equal((await it.ada.call('GET', `${it.proxy}/long`)).text, long)
  it.provider.on('api.github.com', '/odd', () => ({
    headers: { 'content-encoding': 'aes128gcm' },
    body: 'x',
  }))
  assert.equal((await it.ada.call('GET', `${it.proxy}/odd`)).body.code, 'provider_refused')
})

test('[CN228] many at once on one connection each see what was true when they came', async () => {
  await using it = await proxyScene()
  const all = await Promise.all(Array.from({ length: 50 }, () => it.ada.call('GET', `${it.proxy}/user`)))
  assert.ok(all.every(({ status }) => status === 200))
  await it.ada.call('DELETE', `/v1/connections/${it.connection.id}`)
  const late = await Promise.all(Array.from({ length: 20 }, () => it.ada.call('GET', `${it.proxy}/user`)))
  assert.ok(late.every(({ status }) => status === 404))
})
