import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import type { SignedIn } from '@atom/contract/accounts.ts'
import { errorCodes } from '@atom/contract/errors.ts'
import type { Health } from '@atom/contract/health.ts'
import { clientFrames, serverFrames } from '@atom/contract/socket.ts'
import { AtomError } from '#foundation/errors.ts'
import { Failures } from '#foundation/failure-groups.ts'
import { routeGroups } from '#http/openapi.ts'
import { assertProblem, browse, call } from './support/calls.ts'
import { founder, openDoors } from './support/doors.ts'
import { testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

test('[ER13] [MO62] /ready says no while the database is away or the server drains, and that is no failure; /live says yes as long as there is a process', async () => {
  await using db = await testDatabase()
  let away = false
  const check = async () => {
    if (away) throw new AtomError('unavailable')
    return undefined
  }
  const failures = new Failures()
  await using doors = await openDoors(db.database, {
    checks: [{ name: 'database', required: true, check }],
    http: { failures },
  })
  const ask = async (path: string) => await call(doors.url, 'GET', path)
  assert.equal((await ask('/ready')).status, 200)
  assert.deepEqual((await ask('/status')).body, { status: 'up' })
  away = true
  await until(async () => (await ask('/ready')).status === 503)
  assertProblem(await ask('/ready'), 'unavailable')
  assert.equal((await ask('/live')).status, 200)
  assert.deepEqual((await ask('/status')).body, { status: 'down' })
  assert.deepEqual(await ask('/health').then(({ status, body }) => ({ status, body })), {
    status: 503,
    body: { status: 'down' },
  })
  away = false
  await until(async () => (await ask('/ready')).status === 200)
  await doors.http.drain()
  const drained = await ask('/ready')
  assertProblem(drained, 'draining')
  assert.equal(drained.headers.get('connection'), 'close')
  assert.equal((await ask('/live')).status, 200)
  assert.equal((await ask('/v1/setup')).status, 200)
  const counted = [...doors.http.traffic.counts()].flatMap(
    ({ route, statuses, failed, upstream, refused }) =>
      route === '/ready' ? [[statuses.has(503), failed, upstream, refused]] : [],
  )
  assert.deepEqual(counted, [[true, 0, 0, 0]])
  assert.deepEqual(failures.take(), [])
})

test('[ER14] what exactly is wrong is told to operators only, and a check that hangs is down and holds nobody up', async () => {
  await using db = await testDatabase()
  const never = Promise.withResolvers<undefined>()
  let asked = 0
  await using doors = await openDoors(db.database, {
    checks: [
      { name: 'database', required: true, check: async () => undefined },
      { name: 'model', required: false, check: async () => ({ status: 'degraded', detail: 'No key.' }) },
      {
        name: 'disk',
        required: false,
        check: async () => {
          asked++
          return await never.promise
        },
      },
    ],
  })
  const { accessToken: token } = (await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder }))
    .body
  const strangers = await Promise.all(
    Array.from({ length: 50 }, () => call<Health>(doors.url, 'GET', '/health')),
  )
  for (const { status, body } of strangers)
    assert.deepEqual({ status, body }, { status: 200, body: { status: 'degraded' } })
  assert.equal(asked, 1, 'one look hangs; no second one is begun beside it')
  const expired = await call<Health>(doors.url, 'GET', '/health', { token: 'x.y.z' })
  assert.deepEqual(expired.body, { status: 'degraded' })
  const operator = await call<Health>(doors.url, 'GET', '/health', { token })
  assert.equal(operator.body.components?.['database']?.status, 'up')
  const { status, detail } = operator.body.components?.['model'] ?? {}
  assert.deepEqual({ status, detail }, { status: 'degraded', detail: 'No key.' })
  assert.equal(operator.body.components?.['disk']?.status, 'down')
  assert.equal((await call(doors.url, 'GET', '/ready')).status, 200)
  never.resolve(undefined)
})

test('[ER15] a server that closes finishes what it began, closes kept-alive connections, and cuts what never ends', async () => {
  await using db = await testDatabase()
  const held = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const doors = await openDoors(db.database, {
    http: { closeMs: 1_500 },
    register: ({ http }) =>
      http.get('/v1/held', async (_request, reply) => {
        reached.resolve()
        await held.promise
        return reply.send({})
      }),
  })
  using agent = disposable(new Agent({ keepAlive: true }))
  await new Promise<void>((resolve, reject) =>
    get(`${doors.url}/live`, { agent: agent.value }, (response) =>
      response.resume().once('end', resolve),
    ).once('error', reject),
  )
  const { hostname, port } = new URL(doors.url)
  const unused = connect(Number(port), hostname)
  await new Promise((resolve) => unused.once('connect', resolve))
  unused.on('error', () => unused.destroy()).resume()
  const hanging = connect(Number(port), hostname)
  hanging.on('error', () => hanging.destroy())
  hanging.write('GET /v1/setup HTTP/1.1\r\nHost: a\r\nX-')
  const underWay = call(doors.url, 'GET', '/v1/held')
  await reached.promise
  const closed = doors[Symbol.asyncDispose]()
  held.resolve()
  const answer = await underWay
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('connection'), 'close', 'whose request began before is told as well')
  await closed
  await until(() => hanging.closed && unused.closed)
  const [cut] = doors.lines.filter((line) => line.includes('connections cut'))
  assert.match(cut ?? '', /"connections":1,"requests":0/, 'only the one that hangs had to be cut')
  await assert.rejects(async () => await fetch(`${doors.url}/live`))
  await doors[Symbol.asyncDispose]()
})

function disposable<T extends { destroy(): void }>(value: T): Disposable & { readonly value: T } {
  return { value, [Symbol.dispose]: () => value.destroy() }
}

test('[ER16] the OpenAPI document holds every route of the contract with its shapes and errors', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const { body: document } = await call<{
    openapi: string
    servers: { url: string }[]
    paths: Record<
      string,
      Record<
        string,
        {
          operationId: string
          responses: Record<string, { description: string }>
          parameters: { name: string; in: string }[]
        }
      >
    >
    components: { schemas: Record<string, unknown> }
  }>(doors.url, 'GET', '/openapi.json')
  assert.match(document.openapi, /^3\.1\./)
  assert.equal(document.servers[0]?.url, doors.url)
  const ids: string[] = []
  for (const { routes } of routeGroups)
    for (const [name, route] of Object.entries(routes)) {
      const operation = document.paths[route.path]?.[route.method.toLowerCase()]
      assert.equal(operation?.operationId, name)
      ids.push(name)
      for (const status of Object.keys(route.answers))
        assert.ok(operation?.responses[status], `${name} ${status}`)
      const described = Object.values(operation?.responses ?? {})
        .map(({ description }) => description)
        .join()
      for (const code of route.errors)
        assert.ok(described.includes(`\`${code}\``) || name === 'health', `${name} ${code}`)
      const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter)
      assert.deepEqual(
        operation?.parameters
          .filter((parameter) => parameter.in === 'path')
          .map((parameter) => parameter.name),
        inPath,
        name,
      )
    }
  assert.equal(new Set(ids).size, ids.length, 'operation ids are unique')
  assert.ok(document.components.schemas['Problem'])
  assert.ok(!JSON.stringify(document).includes('"$id"'))
})

test('[ER17] the reference shows every route, socket frame and error, and needs nothing from elsewhere', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const reference = await browse(doors.url, '/docs')
  assert.equal(reference.status, 200)
  for (const { name: group, routes } of routeGroups)
    for (const [name, route] of Object.entries(routes)) {
      assert.ok(reference.page.includes(`id="${group}.${name}"`), name)
      assert.ok(reference.page.includes(route.path), route.path)
    }
  for (const frame of [...Object.keys(clientFrames), ...Object.keys(serverFrames)])
    assert.ok(reference.page.includes(`<code>${frame}</code>`), frame)
  const errors = await browse(doors.url, '/docs/errors')
  for (const code of errorCodes) assert.ok(errors.page.includes(`id="${code}"`), code)
  for (const { page, headers } of [reference, errors]) {
    const nonce = /<style nonce="([^"]+)">/.exec(page)?.[1] ?? 'none'
    assert.ok(String(headers['content-security-policy']).includes(`style-src 'nonce-${nonce}'`))
    assert.doesNotMatch(page, /<script|<link|<img|style="|https?:\/\//)
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
    assert.equal(new Set(ids).size, ids.length, 'an anchor leads to one place')
    for (const [, anchor] of page.matchAll(/href="#([^"]+)"/g))
      assert.ok(page.includes(`id="${anchor}"`), anchor)
  }
  assert.notEqual((await browse(doors.url, '/docs')).page, reference.page, 'a nonce is used once')
})

test('[ER18] the dashboard is served with its own strict policy: hashed files for a year, its index for every page, never for the API', async () => {
  await using db = await testDatabase()
  await using folder = await dashboardFolder()
  await using doors = await openDoors(db.database, { dashboard: folder.path })
  for (const path of ['/', '/rooms', '/rooms/0190-x', '/connections?problem=consent_denied', '/sign-in']) {
    const { status, headers, page } = await browse(doors.url, path)
    assert.equal(status, 200, path)
    assert.equal(headers['cache-control'], 'no-cache')
    const nonce = /<style nonce="([^"]+)">/.exec(page)?.[1] ?? 'none'
    assert.notEqual(nonce, 'ATOM_CSP_NONCE')
    const policy = String(headers['content-security-policy'])
    assert.ok(policy.includes(`style-src 'self' 'nonce-${nonce}'`))
    assert.match(policy, /script-src 'self';/)
    assert.match(policy, /frame-ancestors 'none'/)
    assert.doesNotMatch(policy, /script-src[^;]*unsafe|connect-src[^;]*\*/)
  }
  const asset = await fetch(`${doors.url}/assets/app-1a2b3c.js`)
  assert.equal(await asset.text(), 'export {}')
  assert.match(asset.headers.get('content-type') ?? '', /javascript/)
  assert.equal(asset.headers.get('cache-control'), 'public, max-age=31536000, immutable')
  const icon = await fetch(`${doors.url}/icon.svg`)
  assert.match(icon.headers.get('content-type') ?? '', /svg/)
  assertProblem(await call(doors.url, 'GET', '/rooms'), 'not_found')
  assert.equal((await fetch(`${doors.url}/`)).status, 200)
  const missing = [
    '/v1/nothing',
    '/assets/gone.js',
    '/assets/..%2findex.html',
    '/assets/%2e%2e/%2e%2e/secret.txt',
    '/docs/nothing',
    '/webhooks/x',
    '/.well-known/x',
  ]
  for (const path of missing) {
    const { status, page } = await browse(doors.url, path)
    assert.ok(status === 404 || status === 403 || status === 400, `${path} ${status}`)
    assert.ok(!page.includes('the dashboard') && !page.includes('kept out'), path)
  }
})

async function dashboardFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const home = await mkdtemp(join(tmpdir(), 'atom-dashboard-'))
  const path = join(home, 'dist')
  await mkdir(join(path, 'assets'), { recursive: true })
  await writeFile(join(home, 'secret.txt'), 'kept out')
  await writeFile(
    join(path, 'index.html'),
    '<!doctype html><title>the dashboard</title><style nonce="ATOM_CSP_NONCE"></style>',
  )
  await writeFile(join(path, 'assets', 'app-1a2b3c.js'), 'export {}')
  await writeFile(join(path, 'icon.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>')
  return { path, [Symbol.asyncDispose]: async () => await rm(home, { recursive: true }) }
}

test('[ER19] where the dashboard is not built, a page says what to do', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const { status, page, headers } = await browse(doors.url, '/rooms')
  assert.equal(status, 503)
  assert.match(headers['retry-after'] ?? '', /^\d+$/)
  assert.match(page, /The dashboard is not built/)
  assert.match(page, /npm start/)
})

test('[ER20] a streamed door passes bodies unread both ways, keeps the rest of the address as it was sent, and counts', async () => {
  await using db = await testDatabase()
  const seen: { rest: string; id: string | undefined; method: string }[] = []
  const gone = Promise.withResolvers<void>()
  await using doors = await openDoors(db.database, {
    register: ({ guards: { guardStream } }) =>
      guardStream(
        {
          methods: ['GET', 'POST', 'DELETE'],
          path: '/v1/through/{id}/{path}',
          audience: 'member',
          bodyLimit: 100_000,
        },
        async ({ rest, params, method, body, signal }) => {
          seen.push({ rest, id: params['id'], method })
          if (rest === '/wait') {
            signal.addEventListener('abort', () => gone.resolve())
            await gone.promise
          }
          if (rest === '/swallow' && body !== undefined) await buffer(body)
          return { status: 207, headers: { 'content-type': 'text/x-own' }, body: body ?? null }
        },
      ),
  })
  const { accessToken: token } = (await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder }))
    .body
  const authorization = `Bearer ${token}`
  const address = `${doors.url}/v1/through/a%20b`
  const bytes = Buffer.alloc(90_000, 7)
  const echoed = await fetch(`${address}/x%2Fy//z?q=%41&r=1/2`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/octet-stream' },
    body: bytes,
  })
  assert.equal(echoed.status, 207)
  assert.equal(echoed.headers.get('content-type'), 'text/x-own')
  assert.deepEqual(Buffer.from(await echoed.arrayBuffer()), bytes)
  assert.deepEqual(seen[0], { rest: '/x%2Fy//z?q=%41&r=1/2', id: 'a b', method: 'POST' })
  const bare = await fetch(`${address}/`, { headers: { authorization } })
  assert.equal(await bare.text(), '')
  assert.deepEqual(seen[1], { rest: '/', id: 'a b', method: 'GET' })

  assertProblem(await call(doors.url, 'GET', '/v1/through/a/x'), 'unauthenticated')
  assertProblem(await call(doors.url, 'PATCH', '/v1/through/a/x/y', { token }), 'method_not_allowed')
  const announced = await fetch(`${address}/swallow`, {
    method: 'POST',
    headers: { authorization },
    body: Buffer.alloc(100_001),
  })
  assert.equal(announced.status, 413)
  const chunked = await fetch(`${address}/swallow`, {
    method: 'POST',
    headers: { authorization },
    body: new Blob([Buffer.alloc(200_000)]).stream(),
    duplex: 'half',
  })
  assert.equal(chunked.status, 413)
  assert.equal(((await chunked.json()) as { code: string }).code, 'payload_too_large')

  const impatient = new AbortController()
  const waiting = fetch(`${address}/wait`, { headers: { authorization }, signal: impatient.signal })
  await until(() => seen.at(-1)?.rest === '/wait')
  impatient.abort()
  await assert.rejects(waiting)
  await gone.promise
})
