import assert from 'node:assert/strict'
import { get } from 'node:http'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import type { SignedIn } from '@atom/contract/accounts.ts'
import type { FastifyReply } from 'fastify'
import { validate, version } from 'uuid'
import { knownBearer } from '#access/authenticate.ts'
import { accessTokenLifetimeMs } from '#access/tokens.ts'
import { newPassingId } from '#foundation/ids.ts'
import { HttpServer } from '#http/server.ts'
import budget from '../../benchmarks/src/api/budget.json' with { type: 'json' }
import { layerOf, layers } from '../../benchmarks/src/api/layers.ts'
import { assertProblem, call } from './support/calls.ts'
import { founder, openDoors, TestClock } from './support/doors.ts'
import { testLog } from './support/log.ts'
import { testDatabase } from './support/postgres.ts'

/** Every field of the answer as it was sent: name and value in turn. */
async function rawFields(url: string, headers: Record<string, string> = {}): Promise<readonly string[]> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>()
  get(url, { headers }, async (response) => {
    await buffer(response)
    resolve(response.rawHeaders)
  }).once('error', reject)
  return await promise
}

const standing = [
  'content-security-policy',
  'x-content-type-options',
  'referrer-policy',
  'cross-origin-resource-policy',
  'cross-origin-opener-policy',
  'permissions-policy',
  'cache-control',
  'x-request-id',
]

test('[AP8] whichever way a door answers, each answer has all standing fields once, and what the door says instead counts', async () => {
  const origin = 'https://app.example'
  await using http = new HttpServer({
    log: testLog,
    allowedOrigins: [origin],
    publicUrl: 'https://atom.example',
  })
  const ways: Record<string, (reply: FastifyReply) => FastifyReply> = {
    whole: (reply) => reply.header('Cache-Control', 'max-age=1').send({ fine: true }),
    empty: (reply) => reply.code(204).header('cache-control', 'max-age=1').send(),
    stream: (reply) => reply.header('cache-control', 'max-age=1').send(Readable.from(['a', 'b'])),
    setOneByOne: (reply) => {
      reply.raw.setHeader('Cache-Control', 'max-age=1')
      return reply.send('text')
    },
    past: (reply) => {
      reply.hijack()
      reply.raw.writeHead(200, 'Fine', { 'Cache-Control': 'max-age=1' })
      reply.raw.end('text')
      return reply
    },
    asList: (reply) => {
      reply.hijack()
      reply.raw.writeHead(200, ['Cache-Control', 'max-age=1'])
      reply.raw.end('text')
      return reply
    },
  }
  for (const [way, answer] of Object.entries(ways))
    http.get(`/${way}`, async (_request, reply) => answer(reply))
  http.takeTraffic()
  const url = await http.listen({ host: '127.0.0.1', port: 0 })
  for (const way of [...Object.keys(ways), 'nowhere']) {
    const fields = await rawFields(`${url}/${way}`, { origin })
    const found = new Map<string, string[]>()
    for (let place = 0; place < fields.length; place += 2) {
      const name = fields[place]?.toLowerCase() ?? ''
      found.set(name, [...(found.get(name) ?? []), fields[place + 1] ?? ''])
    }
    for (const name of [...standing, 'strict-transport-security'])
      assert.equal(found.get(name)?.length, 1, `${way}: ${name}`)
    assert.deepEqual(found.get('cache-control'), [way === 'nowhere' ? 'no-store' : 'max-age=1'], way)
    assert.deepEqual(found.get('cross-origin-resource-policy'), ['cross-origin'], way)
    assert.deepEqual(found.get('access-control-allow-origin'), [origin], way)
  }
})

test('[AP9] a token that was verified is known without a wait, until it or its session ends', async () => {
  await using db = await testDatabase()
  const clock = new TestClock()
  await using doors = await openDoors(db.database, { clock })
  const { accessToken, account } = (await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder }))
    .body
  const known = (text: string) => knownBearer(doors.tokens, text)
  assert.equal(known(`Bearer ${accessToken}`), undefined, 'nobody has verified it yet')
  const me = async () => await call(doors.url, 'GET', '/v1/me', { token: accessToken })
  assert.equal((await me()).status, 200)
  assert.equal(known(`Bearer ${accessToken}`)?.id, account.id)
  assert.equal(known(`Bearer ${accessToken}x`), undefined)
  assert.equal(known(accessToken), undefined)
  assert.equal(known(`Bearer ${'x'.repeat(9_000)}`), undefined)
  assert.equal((await me()).status, 200)

  clock.pass(accessTokenLifetimeMs)
  assert.equal(known(`Bearer ${accessToken}`), undefined)
  assertProblem(await me(), 'token_expired')
})

test('[AP9] a token that was known is refused as soon as its session has ended', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const { accessToken } = (await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder })).body
  const me = async () => await call(doors.url, 'GET', '/v1/me', { token: accessToken })
  assert.equal((await me()).status, 200)
  assert.ok(knownBearer(doors.tokens, `Bearer ${accessToken}`))
  const [, payload = ''] = accessToken.split('.')
  const { sid } = JSON.parse(Buffer.from(payload, 'base64url').toString())
  await db.database.transaction((tx) => doors.revocations.announce(tx, sid))
  assert.equal(knownBearer(doors.tokens, `Bearer ${accessToken}`), undefined)
  assertProblem(await me(), 'session_revoked')
})

test('[AP10] ids of requests are UUIDs of their time, and never the same', () => {
  const before = Date.now()
  const ids = Array.from({ length: 20_000 }, newPassingId)
  assert.equal(new Set(ids).size, ids.length)
  const variants = new Set<string | undefined>()
  for (const id of ids) {
    assert.ok(validate(id) && version(id) === 7, id)
    const ms = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
    assert.ok(ms >= before && ms <= Date.now(), id)
    variants.add(id[19])
  }
  assert.deepEqual([...variants].sort(), ['8', '9', 'a', 'b'])
})

const at = (url: string, functionName = 'anything') => ({ url, functionName })

test('[AP11] each layer of a request has its budget, and what the processor did is counted for the layer that had it done', () => {
  for (const method of ['GET', 'POST'] as const)
    assert.deepEqual(Object.keys(budget[method]).sort(), ['whole', ...layers].sort(), method)
  const fastify = at('file:///node_modules/fastify/lib/reply.js')
  const cases: [ReturnType<typeof layerOf>, ...ReturnType<typeof at>[]][] = [
    [undefined, at('', '(idle)'), at('', '(root)')],
    ['garbage', at('', '(garbage collector)'), at('', '(root)')],
    ['node:http', at('', '(program)'), at('', '(root)')],
    ['node:http', at('node:_http_outgoing', 'end'), fastify],
    ['node:http', at('node:net'), at('node:_http_server'), at('', '(root)')],
    ['framework', fastify, at('file:///server/src/http/server.ts')],
    ['serialisation', at(''), at('file:///node_modules/fastify/lib/reply.js', 'serialize'), fastify],
    [
      'security headers',
      at('node:_http_outgoing', 'setHeader'),
      at('file:///server/src/http/answer.ts'),
      fastify,
    ],
    ['token', at('node:internal/crypto/hash'), at('file:///server/src/access/tokens.ts', 'known'), fastify],
    ['validation', at('', 'parse'), at('file:///server/src/http/strict-json.ts'), fastify],
    ['access log', at('file:///server/src/http/server.ts', '#tell'), at('file:///server/src/http/server.ts')],
    ['access log', at('node:fs', 'writeSync'), at('file:///server/src/foundation/log-sink.ts')],
    [
      'metrics',
      at('file:///server/src/foundation/telemetry/buckets.ts'),
      at('file:///server/src/http/server.ts'),
    ],
    ['guard', at('file:///server/src/http/server.ts', '#begin'), fastify],
    ['background', at('node:timers'), at('file:///server/src/operations/live.ts')],
  ]
  for (const [layer, ...stack] of cases) assert.equal(layerOf(stack), layer, JSON.stringify(stack))
})
