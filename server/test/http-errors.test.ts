import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { accountRoutes } from '@atom/contract/accounts.ts'
import { errorCodes, errorTable } from '@atom/contract/errors.ts'
import { type Method, type Route, route } from '@atom/contract/route.ts'
import { Type } from 'typebox'
import { AtomError } from '#foundation/errors.ts'
import { defaultBodyLimit } from '#http/server.ts'
import { assertProblem, browse, call } from './support/calls.ts'
import { type Doors, type DoorsOptions, founder, openDoors } from './support/doors.ts'
import { testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

const secret = 'password=hunter2 at 10.1.2.3:5432'

const echo = route({
  method: 'POST',
  path: '/v1/echo',
  summary: 'What was understood',
  audience: 'anyone',
  body: Type.Object(
    {
      text: Type.Optional(Type.String({ maxLength: 100 })),
      count: Type.Optional(Type.Integer({ minimum: 0 })),
      deep: Type.Optional(Type.Unknown()),
    },
    { additionalProperties: false },
  ),
  answers: { 200: Type.Object({ text: Type.Optional(Type.String()) }) },
  errors: [],
})

const either = route({
  ...echo,
  path: '/v1/either',
  body: Type.Union([
    Type.Object({ name: Type.String() }, { additionalProperties: false }),
    Type.Object({ direct: Type.String() }, { additionalProperties: false }),
    Type.Object({ kind: Type.Literal('far'), days: Type.Integer(), km: Type.Integer() }),
  ]),
})

/** Opens the doors with a few more that misbehave. */
async function openWith(
  db: Awaited<ReturnType<typeof testDatabase>>,
  throwing: readonly (() => unknown)[] = [],
  options: DoorsOptions = {},
): Promise<Doors> {
  return await openDoors(db.database, {
    ...options,
    register: ({ guards: { guard } }) => {
      guard(echo, async ({ body }) => ({ status: 200, body: { ...body, undeclared: secret } }))
      guard(either, async () => ({ status: 200, body: {} }))
      for (const [at, thrower] of throwing.entries()) {
        const definition: Route = { ...accountRoutes.setupState, path: `/v1/throws/${at}` }
        guard(definition, async () => {
          throw thrower()
        })
      }
    },
  })
}

/** What the server answers to these bytes, until it closes the connection. */
async function raw(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.setNoDelay(true)
  socket.write(bytes, 'latin1')
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  return answer
}

test('[ER1] every refusal is one problem document: a code of the closed list, what happened, what to do, and the request id', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(
    db,
    errorCodes.map((code) => () => new AtomError(code)),
  )
  for (const [at, code] of errorCodes.entries()) {
    const answer = await call(doors.url, 'GET', `/v1/throws/${at}`)
    const problem = assertProblem(answer, code)
    const row = errorTable[code]
    assert.equal(answer.status, row.status)
    assert.equal(problem.title, row.title)
    assert.equal(problem.detail, row.remedy)
    assert.equal(problem.retryable, row.retryable)
    assert.equal(problem.type, `${doors.url}/docs/errors#${code}`)
    assert.equal(problem.instance, `urn:uuid:${problem.requestId}`)
    if (row.status === 429 || row.status === 503) assert.ok(Number(answer.headers.get('retry-after')) >= 1)
  }
  const published = await (await fetch(`${doors.url}/docs/errors`)).text()
  for (const code of errorCodes) assert.ok(published.includes(`id="${code}"`), code)
})

test('[ER2] an unknown failure says nothing of itself outside and is logged once, with its cause', async () => {
  await using db = await testDatabase()
  const cyclic: Record<string, unknown> = { secret }
  cyclic['self'] = cyclic
  const nasty: (() => unknown)[] = [
    () => new Error(secret),
    () => Object.assign(new Error(secret), { code: 'ECONNREFUSED', statusCode: 418, status: 418 }),
    () => Object.assign(new Error(secret), { code: 'FST_ERR_MADE_UP', statusCode: 200 }),
    () => secret,
    () => undefined,
    () => null,
    () => 42,
    () => cyclic,
    () => Object.freeze(new TypeError(secret)),
    () => new AggregateError([new Error(secret)], secret),
    () => ({ toJSON: () => assert.fail('asked'), message: secret }),
    () => ({
      get message() {
        throw new Error(secret)
      },
    }),
    () => new Error('x'.repeat(1_000_000)),
    () => Symbol(secret),
  ]
  await using doors = await openWith(db, nasty)
  for (const at of nasty.keys()) {
    doors.lines.length = 0
    const answer = await call(doors.url, 'GET', `/v1/throws/${at}`)
    const problem = assertProblem(answer, 'internal')
    assert.equal(answer.status, 500)
    assert.ok(!JSON.stringify([problem, [...answer.headers]]).includes('hunter2'), `failure ${at}`)
    const own = () => doors.lines.filter((line) => line.includes(problem.requestId))
    await until(() => own().length > 0)
    assert.equal(own().length, 1, `failure ${at}`)
    assert.ok((own()[0]?.length ?? 0) < 10_000)
    assert.match(doors.lines.join(''), /"level":"error"/)
  }
})

test('[ER3] an answer carries only what the contract names', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(db)
  const answer = await call(doors.url, 'POST', '/v1/echo', { body: { text: 'a' } })
  assert.deepEqual(answer.body, { text: 'a' })
})

test('[ER4] a body that is not strict JSON is refused before anything reads it', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(db)
  const malformed: Record<string, string | Uint8Array<ArrayBuffer>> = {
    'half an object': '{"text":',
    'two values': '{} {}',
    'a comment': '{/* */}',
    'a trailing comma': '{"text":"a",}',
    'the same key twice': '{"text":"a","text":"b"}',
    'the same key twice, spelled otherwise': '{"text":"a","te\\u0078t":"b"}',
    'the same key twice, deep inside': '{"deep":[{"a":[1,{"b":1,"b":2}]}]}',
    __proto__: '{"deep":{"__proto__":{"admin":true}}}',
    '__proto__ escaped': '{"deep":{"\\u005f_proto__":{"admin":true}}}',
    'thirty-three levels': `{"deep":${'['.repeat(32)}${']'.repeat(32)}}`,
    'invalid UTF-8': Buffer.from([...Buffer.from('{"text":"'), 0xc3, 0x28, ...Buffer.from('"}')]),
    'overlong UTF-8': Buffer.from([...Buffer.from('{"text":"'), 0xc0, 0xaf, ...Buffer.from('"}')]),
    'UTF-16': Buffer.from('{"text":"a"}', 'utf16le'),
  }
  for (const [name, body] of Object.entries(malformed)) {
    const response = await fetch(`${doors.url}/v1/echo`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    const answer = { status: response.status, headers: response.headers, body: await response.json() }
    assert.equal(assertProblem(answer, 'malformed_request').status, 400, name)
  }
  const fine = [
    '{"deep":{"a":{"b":1},"c":{"b":2}}}',
    `{"deep":${'['.repeat(31)}${']'.repeat(31)}}`,
    '{"text":"é😀 \\" \\\\"}',
  ]
  for (const body of fine)
    assert.equal((await call(doors.url, 'POST', '/v1/echo', { body })).status, 200, body)
})

test('[ER5] [ER160] a field that is wrong is named by its place, with the words that may stand there, and of alternatives the nearest is judged; nothing is coerced, dropped or guessed', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(db)
  const cases: [body: unknown, pointer: string][] = [
    [{ text: 7 }, '/text'],
    [{ text: ['a'] }, '/text'],
    [{ text: null }, '/text'],
    [{ count: '7' }, '/count'],
    [{ count: 1.5 }, '/count'],
    [{ count: -1 }, '/count'],
    [{ text: 'x'.repeat(101) }, '/text'],
    [{ 'oth/er~': 1 }, '/oth~1er~0'],
    [[], ''],
    ['a string', ''],
    ['{"text":"a\\u0000b"}', '/text'],
    ['{"text":"\\ud800"}', '/text'],
    ['{"deep":[1,{"a":["ok","\\udfff"]}]}', '/deep/1/a/1'],
  ]
  for (const [body, pointer] of cases) {
    const sent = typeof body === 'string' && !body.startsWith('{') ? JSON.stringify(body) : body
    const problem = assertProblem(
      await call(doors.url, 'POST', '/v1/echo', { body: sent }),
      'validation_failed',
    )
    assert.equal(problem.errors?.[0]?.pointer, pointer, JSON.stringify(body))
  }
  const choices: [method: string, path: string, body: object, errors: object[]][] = [
    ['POST', '/v1/echo', { zzz: 1 }, [{ pointer: '/zzz', detail: 'Is not known here.' }]],
    [
      'POST',
      '/v1/auth/login',
      { email: 'a@example.com', password: 'x', transport: 'pigeon' },
      [{ pointer: '/transport', detail: 'Must be "body" or "cookie".' }],
    ],
    ['POST', '/v1/either', { name: 5 }, [{ pointer: '/name', detail: 'Must be string.' }]],
    [
      'POST',
      '/v1/either',
      { kind: 'far', days: 'x', km: 'y' },
      [
        { pointer: '/days', detail: 'Must be integer.' },
        { pointer: '/km', detail: 'Must be integer.' },
      ],
    ],
    [
      'POST',
      '/v1/either',
      {},
      [
        { pointer: '/name', detail: 'Is missing.' },
        { pointer: '/direct', detail: 'Is missing.' },
        { pointer: '', detail: 'One of these forms is enough.' },
      ],
    ],
  ]
  for (const [method, path, body, errors] of choices)
    assert.deepEqual(
      assertProblem(await call(doors.url, method, path, { body }), 'validation_failed').errors,
      errors,
    )
  const missing = assertProblem(
    await call(doors.url, 'POST', '/v1/setup', {
      body: { ...founder, email: 'no address', token: undefined },
    }),
    'validation_failed',
  )
  assert.deepEqual(missing.errors?.map(({ pointer }) => pointer).sort(), ['/email', '/token'])
  const { accessToken: token } = (
    await call<{ accessToken: string }>(doors.url, 'POST', '/v1/setup', { body: founder })
  ).body
  const address = assertProblem(
    await call(doors.url, 'DELETE', '/v1/auth/sessions/not-an-id', { token }),
    'validation_failed',
  )
  assert.equal(address.errors?.[0]?.pointer, 'params/id')
})

test('[ER6] wrong method, address, content type and size each get their own code', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(db)
  assertProblem(await call(doors.url, 'GET', '/v1/nothing'), 'not_found')
  assertProblem(await call(doors.url, 'GET', '/v1/%zz'), 'malformed_request')
  const wrong: [method: Method | 'HEAD' | 'OPTIONS', path: string, allow: string][] = [
    ['GET', '/v1/echo', 'POST'],
    ['PUT', '/v1/setup', 'GET, HEAD, POST'],
    ['POST', `/v1/auth/sessions/${crypto.randomUUID()}`, 'DELETE'],
    ['DELETE', '/docs', 'GET, HEAD'],
  ]
  for (const [method, path, allow] of wrong) {
    const answer = await call(doors.url, method, path)
    assertProblem(answer, 'method_not_allowed')
    assert.equal(answer.headers.get('allow'), allow)
  }
  const types = [
    'text/plain',
    'application/xml',
    'application/json; charset=utf-7',
    'application/jsonp',
    'multipart/form-data',
  ]
  for (const type of types)
    assertProblem(
      await call(doors.url, 'POST', '/v1/echo', { body: '{}', headers: { 'content-type': type } }),
      'unsupported_media_type',
    )
  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON;charset="UTF-8"',
  ])
    assert.equal(
      (await call(doors.url, 'POST', '/v1/echo', { body: '{}', headers: { 'content-type': type } })).status,
      200,
      type,
    )
  assertProblem(
    await call(doors.url, 'POST', '/v1/echo', { body: '{}', headers: { 'content-encoding': 'gzip' } }),
    'unsupported_media_type',
  )
  const large = assertProblem(
    await call(doors.url, 'POST', '/v1/echo', { body: { text: 'x'.repeat(defaultBodyLimit) } }),
    'payload_too_large',
  )
  assert.match(large.detail, /65536 bytes/)
})

test('[ER7] [ER161] framing that two servers could read differently is refused in the one form and the connection closed', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(db)
  const { host } = new URL(doors.url)
  const get = `GET /v1/setup HTTP/1.1\r\nConnection: close\r\nHost: ${host}\r\n`
  const post = `POST /v1/echo HTTP/1.1\r\nConnection: close\r\nHost: ${host}\r\nContent-Type: application/json\r\n`
  assert.match(await raw(doors.url, `${get}\r\n`), /^HTTP\/1.1 200 /)
  const smuggled: Record<string, string> = {
    'two hosts': `${get}Host: evil.example\r\n\r\n`,
    'no host': 'GET /v1/setup HTTP/1.1\r\nConnection: close\r\n\r\n',
    'another host in the address': `GET http://evil.example/v1/setup HTTP/1.1\r\nConnection: close\r\nHost: ${host}\r\n\r\n`,
    'length and chunks': `${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'two lengths': `${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
    'a negative length': `${post}Content-Length: -2\r\n\r\n{}`,
    'an obscured encoding': `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    'a folded field': `${get}X-A: b\r\n c\r\n\r\n`,
    'a NUL in a field': `${get}X-A: b\0c\r\n\r\n`,
    'a space before the colon': `${get}X-A : b\r\n\r\n`,
    'bare line feeds': `GET /v1/setup HTTP/1.1\nHost: ${host}\n\n`,
    'not HTTP': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
    'header fields too large': `${get}X-A: ${'a'.repeat(20_000)}\r\n\r\n`,
  }
  for (const [name, bytes] of Object.entries(smuggled)) {
    const answer = await raw(doors.url, bytes)
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, name)
    assert.ok(!answer.includes('evil'), name)
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))
    assert.ok(['malformed_request', 'payload_too_large'].includes(body.code), `${name}: ${answer}`)
    assert.match(answer, /content-type: application\/problem\+json/i)
  }
})

test('[ER8] a sender that never finishes is cut off, and others are served meanwhile', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(db, [], { http: { headersTimeoutMs: 300, requestTimeoutMs: 600 } })
  const { host } = new URL(doors.url)
  const slow = [
    `GET /v1/setup HTTP/1.1\r\nHost: ${host}\r\nX-`,
    `POST /v1/echo HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"te`,
  ]
  const answers = slow.map((bytes) => raw(doors.url, bytes))
  assert.equal((await call(doors.url, 'GET', '/v1/setup')).status, 200)
  for (const answer of await Promise.all(answers)) assert.match(answer, /^HTTP\/1\.1 408 /)
})

test('[ER9] a browser that comes as to a page gets the same facts as a page, with foreign text escaped', async () => {
  await using db = await testDatabase()
  const foreign = '<script>alert(1)</script>&"\''
  await using doors = await openWith(db, [() => new AtomError('flow_invalid', foreign)])
  const { status, headers, page } = await browse(doors.url, '/v1/throws/0?a=<script>')
  assert.equal(status, 400)
  assert.equal(headers['content-type'], 'text/html; charset=utf-8')
  assert.match(String(headers['content-security-policy']), /^default-src 'none'; style-src 'nonce-/)
  assert.ok(page.includes(errorTable.flow_invalid.title))
  assert.ok(page.includes('&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;'))
  assert.ok(page.includes(String(headers['x-request-id'])))
  assert.ok(!page.includes('<script'))
})

test('[ER10] every answer, refusals included, carries the security headers', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(db, [() => new Error('x')])
  const requests: [method: string, path: string][] = [
    ['GET', '/v1/setup'],
    ['GET', '/v1/nothing'],
    ['GET', '/v1/%zz'],
    ['GET', '/v1/me'],
    ['POST', '/v1/me'],
    ['GET', '/v1/throws/0'],
    ['GET', '/live'],
    ['GET', '/docs'],
    ['GET', '/openapi.json'],
    ['GET', '/'],
    ['HEAD', '/v1/setup'],
  ]
  for (const [method, path] of requests) {
    const { headers } = await fetch(`${doors.url}${path}`, { method })
    const name = `${method} ${path}`
    assert.match(
      headers.get('content-security-policy') ?? '',
      /default-src 'none'.*frame-ancestors 'none'/,
      name,
    )
    assert.equal(headers.get('x-content-type-options'), 'nosniff', name)
    assert.equal(headers.get('referrer-policy'), 'no-referrer', name)
    assert.equal(headers.get('cross-origin-opener-policy'), 'same-origin-allow-popups', name)
    assert.ok(headers.has('cross-origin-resource-policy'), name)
    assert.ok(headers.has('cache-control'), name)
    assert.match(headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/, name)
    assert.equal(headers.get('x-powered-by') ?? headers.get('server'), null, name)
    assert.equal(headers.get('access-control-allow-origin') === '*', path === '/openapi.json', name)
  }
})

test('[ER11] pages of other origins may call only where the operator listed the origin, exactly', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(db, [], { http: { allowedOrigins: ['https://friend.example'] } })
  const ask = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' }
  const allowed = await fetch(`${doors.url}/v1/echo`, {
    method: 'OPTIONS',
    headers: { origin: 'https://friend.example', ...ask },
  })
  assert.equal(allowed.status, 204)
  assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://friend.example')
  assert.equal(allowed.headers.get('vary'), 'Origin')
  const answered = await call(doors.url, 'POST', '/v1/echo', {
    body: {},
    headers: { origin: 'https://friend.example' },
  })
  assert.equal(answered.headers.get('access-control-allow-origin'), 'https://friend.example')
  const others = [
    'https://evil.example',
    'https://friend.example.evil.example',
    'http://friend.example',
    'https://FRIEND.example',
    'https://friend.example:444',
    'https://friend.example.',
    'null',
    '*',
  ]
  for (const origin of others)
    for (const method of ['OPTIONS', 'GET']) {
      const { headers } = await fetch(`${doors.url}/v1/setup`, { method, headers: { origin, ...ask } })
      assert.equal(headers.get('access-control-allow-origin'), null, `${method} ${origin}`)
    }
})

test('[ER12] one line is logged for each request, and no header, token or password stands in it', async () => {
  await using db = await testDatabase()
  await using doors = await openWith(db)
  const signedIn = await call<{ accessToken: string; refreshToken: string }>(doors.url, 'POST', '/v1/setup', {
    body: founder,
  })
  const { accessToken, refreshToken } = signedIn.body
  const forged = '/v1/setup?x=a%0d%0a{"level":"error"}'
  const answer = await call(doors.url, 'GET', forged, { token: accessToken })
  await call(doors.url, 'POST', '/v1/auth/refresh', { body: { refreshToken } })
  const id = answer.headers.get('x-request-id') ?? ''
  const own = () => doors.lines.filter((line) => line.includes(id))
  await until(() => own().length > 0)
  const lines = own()
  assert.equal(lines.length, 1)
  const line = JSON.parse(lines[0] ?? '')
  assert.deepEqual(
    { method: line.method, route: line.route, status: line.status, level: line.level },
    { method: 'GET', route: '/v1/setup', status: 200, level: 'info' },
  )
  assert.equal(typeof line.ms, 'number')
  for (const secrets of [accessToken, refreshToken, founder.password, founder.token])
    assert.ok(!doors.lines.join('').includes(secrets))
})
