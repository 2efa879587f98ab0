import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Reply } from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { type ProxyScene, proxyScene } from './support/proxy-scene.ts'

async function lent(it: ProxyScene, wish: object): Promise<{ id: string; token: string; expiresAt: string }> {
  const reply = await it.ada.call('POST', `/v1/connections/${it.connection.id}/capabilities`, {
    json: { methods: ['GET'], paths: ['/user'], expiresIn: 600, ...wish },
  })
  assert.equal(reply.status, 201, reply.text)
  return reply.body
}

function asks(it: ProxyScene, token: string, method: string, path: string): Promise<Reply> {
  return it.house.call(method, `${it.proxy}${path}`, { token })
}

test('[CN220] a capability opens the proxy for its methods and paths and for nothing else', async () => {
  await using it = await proxyScene()
  it.provider.on('api.github.com', '/repos/o/r/issues', () => ({ body: [{ number: 1 }] }))
  const { token } = await lent(it, {
    methods: ['GET', 'POST'],
    paths: ['/user', '/repos/o/*/issues', '/orgs/o/**'],
  })
  assert.equal((await asks(it, token, 'GET', '/user')).status, 200)
  assert.equal((await asks(it, token, 'HEAD', '/user')).status, 200)
  assert.deepEqual((await asks(it, token, 'GET', '/repos/o/r/issues?state=open')).body, [{ number: 1 }])
  assert.equal((await asks(it, token, 'POST', '/repos/o/r/issues')).status, 200)
  const before = it.provider.seen.length
  for (const [method, path] of [
    ['DELETE', '/user'],
    ['PATCH', '/user'],
    ['GET', '/'],
    ['GET', '/users'],
    ['GET', '/user/emails'],
    ['GET', '/repos/o/r'],
    ['GET', '/repos/o//issues'],
    ['GET', '/repos/o/r/issues/1'],
    ['GET', '/repos/x/r/issues'],
    ['GET', '/repos/o/r%2Fother/issues'],
    ['GET', '/repos/o/r%252Fother/issues'],
    ['GET', '/orgs/o'],
    ['GET', '/uploads.github.com/user'],
  ] as const) {
    const reply = await asks(it, token, method, path)
    assert.equal(reply.status, 403, `${method} ${path}`)
    assert.equal(reply.body.code, 'capability_exceeded', `${method} ${path}`)
  }
  assert.equal(it.provider.seen.length, before)
})

test('[CN220] a redirect that leads beyond a capability is handed over instead of followed', async () => {
  await using it = await proxyScene()
  it.provider.on('api.github.com', '/repos/old', () => ({
    status: 301,
    headers: { location: 'https://api.github.com/repositories/1' },
  }))
  it.provider.on('api.github.com', '/repositories/1', () => ({ body: { id: 1 } }))
  const { token } = await lent(it, { paths: ['/repos/**'] })
  const narrow = await asks(it, token, 'GET', '/repos/old')
  assert.equal(narrow.status, 301)
  assert.equal(it.provider.requests('api.github.com', '/repositories/1').length, 0)
  it.provider.on('api.github.com', '/repos/odd', () => ({
    status: 301,
    headers: { location: 'https://api.github.com/repos/100%25' },
  }))
  assert.equal((await asks(it, token, 'GET', '/repos/odd')).status, 301)
  const { token: wide } = await lent(it, { paths: ['/**'] })
  assert.deepEqual((await asks(it, wide, 'GET', '/repos/old')).body, { id: 1 })
})

test('[CN221] a capability is no sign-in: every other door refuses it, and so do other connections', async () => {
  await using it = await proxyScene()
  const { token } = await lent(it, { methods: ['GET', 'POST', 'DELETE'], paths: ['/**'] })
  const here = `/v1/connections/${it.connection.id}`
  for (const [method, path] of [
    ['GET', '/v1/connections'],
    ['GET', here],
    ['DELETE', here],
    ['POST', `${here}/refresh`],
    ['GET', `${here}/capabilities`],
    ['POST', `${here}/capabilities`],
    ['GET', '/v1/providers'],
  ] as const) {
    const reply = await it.house.call(method, path, { token })
    assert.equal(reply.status, 401, `${method} ${path}`)
    assert.equal(reply.body.code, 'unauthenticated')
  }
  const other = await it.house.call(
    'GET',
    '/v1/connections/01999999-9999-7999-8999-999999999999/proxy/user',
    { token },
  )
  assert.equal(other.body.code, 'capability_exceeded')
  assert.equal((await asks(it, `${token}x`, 'GET', '/user')).body.code, 'unauthenticated')
})

test('[CN221] only the owner of a connection lends it out, sees what it is lent for, and ends it: at once and in every process', async () => {
  await using it = await proxyScene()
  const capabilities = `/v1/connections/${it.connection.id}/capabilities`
  const { id, token, expiresAt } = await lent(it, { ratePerMinute: 30 })
  const colleague = await it.house.person('owner', it.ada.principal.workspaceId)
  for (const [method, path] of [
    ['GET', capabilities],
    ['POST', capabilities],
    ['DELETE', `${capabilities}/${id}`],
  ] as const) {
    const json = method === 'POST' ? { methods: ['GET'], paths: ['/**'], expiresIn: 60 } : undefined
    assert.equal((await colleague.call(method, path, { json })).body.code, 'not_found')
  }
  assert.equal((await asks(it, token, 'GET', '/user')).status, 200)
  const [shown] = (await it.ada.call('GET', capabilities)).body.items
  assert.deepEqual(
    { ...shown, createdAt: undefined, lastUsedAt: undefined },
    {
      id,
      methods: ['GET'],
      paths: ['/user'],
      ratePerMinute: 30,
      expiresAt,
      createdAt: undefined,
      lastUsedAt: undefined,
    },
  )
  assert.notEqual(shown.lastUsedAt, null)
  const elsewhere = await it.elsewhere()
  assert.equal((await elsewhere.call('DELETE', `${capabilities}/${id}`)).status, 204)
  assert.equal((await asks(it, token, 'GET', '/user')).body.code, 'unauthenticated')
  assert.equal((await it.ada.call('DELETE', `${capabilities}/${id}`)).body.code, 'not_found')
  // The token itself is nowhere but with its bearer.
  assert.ok(!it.house.lines.join('').includes(token))
})

test('[CN221] disconnecting ends every capability of the connection', async () => {
  await using it = await proxyScene()
  const { token } = await lent(it, {})
  await it.ada.call('DELETE', `/v1/connections/${it.connection.id}`)
  assert.equal((await asks(it, token, 'GET', '/user')).body.code, 'unauthenticated')
})

test('[CN222] a capability ends on the second, and says so', async () => {
  const clock = new TestClock()
  await using it = await proxyScene('github', { clock })
  const { token } = await lent(it, { expiresIn: 60 })
  clock.pass(59_999)
  assert.equal((await asks(it, token, 'GET', '/user')).status, 200)
  clock.pass(1)
  const late = await asks(it, token, 'GET', '/user')
  assert.equal(late.status, 401)
  assert.equal(late.body.code, 'token_expired')
})

test('[CN222] a rate holds to the call, over all processes together, and fills up evenly', async () => {
  const clock = new TestClock()
  await using it = await proxyScene('github', { clock })
  const { token } = await lent(it, { ratePerMinute: 6 })
  const elsewhere = await it.elsewhere()
  const before = it.provider.requests('api.github.com', '/user').length
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, at) =>
      at % 2 === 0 ? asks(it, token, 'GET', '/user') : elsewhere.call('GET', `${it.proxy}/user`, { token }),
    ),
  )
  assert.equal(replies.filter(({ status }) => status === 200).length, 6)
  assert.equal(it.provider.requests('api.github.com', '/user').length - before, 6)
  const refused = replies.find(({ status }) => status !== 200)
  assert.equal(refused?.status, 429)
  assert.equal(refused?.body.code, 'rate_limited')
  assert.equal(refused?.headers.get('retry-after'), '10')
  clock.pass(9_900)
  assert.equal((await asks(it, token, 'GET', '/user')).status, 429)
  clock.pass(100)
  assert.equal((await asks(it, token, 'GET', '/user')).status, 200)
  assert.equal((await asks(it, token, 'GET', '/user')).status, 429)
})

test('[CN222] what is no limit is refused by its name', async () => {
  await using it = await proxyScene()
  const capabilities = `/v1/connections/${it.connection.id}/capabilities`
  const good = { methods: ['GET'], paths: ['/user'], expiresIn: 60 }
  for (const [wish, pointer] of [
    [{ paths: ['user'] }, '/paths/0'],
    [{ paths: ['/user', '/a/**/b'] }, '/paths/1'],
    [{ paths: ['/a*'] }, '/paths/0'],
    [{ paths: ['/a?x=1'] }, '/paths/0'],
    [{ paths: ['/a%2Fb'] }, '/paths/0'],
    [{ paths: [] }, '/paths'],
    [{ methods: ['TRACE'] }, '/methods/0'],
    [{ methods: [] }, '/methods'],
    [{ expiresIn: 86_401 }, '/expiresIn'],
    [{ expiresIn: 0 }, '/expiresIn'],
    [{ ratePerMinute: 0 }, '/ratePerMinute'],
  ] as const) {
    const reply = await it.ada.call('POST', capabilities, { json: { ...good, ...wish } })
    assert.equal(reply.status, 400, JSON.stringify(wish))
    assert.equal(reply.body.errors[0].pointer, pointer)
  }
})
