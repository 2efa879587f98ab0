import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get, type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import type { SignedIn } from '@atom/contract/accounts.ts'
import { type Route, route } from '@atom/contract/route.ts'
import { Type } from 'typebox'
import { routeGroups } from '#http/openapi.ts'
import { call } from './support/calls.ts'
import { founder, openDoors } from './support/doors.ts'
import { testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

interface Raw {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
}

/** Without anything that unpacks on its own. */
async function raw(url: string, headers: Record<string, string> = {}): Promise<Raw> {
  const { promise, resolve, reject } = Promise.withResolvers<Raw>()
  get(url, { headers }, async (response) =>
    resolve({ status: response.statusCode, headers: response.headers, bytes: await buffer(response) }),
  ).once('error', reject)
  return await promise
}

test('[AP1] the OpenAPI document is sent compressed to who takes it so, and not again to who has it', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const address = `${doors.url}/openapi.json`
  const plain = await raw(address)
  assert.equal(plain.status, 200)
  assert.equal(plain.headers['content-encoding'], undefined)
  assert.equal(plain.headers['cache-control'], 'no-cache')
  const unpackers = { br: brotliDecompressSync, gzip: gunzipSync }
  const tags = new Set([plain.headers.etag])
  for (const [coding, unpack] of Object.entries(unpackers)) {
    for (const accepted of [coding, `${coding.toUpperCase()};q=0.5, deflate`]) {
      const packed = await raw(address, { 'accept-encoding': accepted })
      assert.equal(packed.headers['content-encoding'], coding)
      assert.equal(packed.headers.vary, 'Accept-Encoding')
      assert.deepEqual(unpack(packed.bytes), plain.bytes)
      assert.ok(packed.bytes.length * 4 < plain.bytes.length)
      tags.add(packed.headers.etag)
    }
  }
  assert.equal(tags.size, 3, 'one tag for each representation')
  for (const refusing of ['', 'deflate', 'br;q=0, gzip;q=0', '*;q=0', 'identity'])
    assert.equal(
      (await raw(address, { 'accept-encoding': refusing })).headers['content-encoding'],
      undefined,
      refusing,
    )
  const { etag = '' } = plain.headers
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await raw(address, { 'if-none-match': known })
    assert.equal(again.status, 304, known)
    assert.equal(again.bytes.length, 0)
    assert.equal(again.headers.etag, etag)
  }
  assert.equal((await raw(address, { 'if-none-match': '"other"' })).status, 200)
  assert.equal((await raw(address, { 'if-none-match': etag, 'accept-encoding': 'br' })).status, 200)
})

test('[AP2] an answer made for somebody is never compressed, never kept, and has no tag', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const { body } = await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder })
  for (const path of ['/v1/me', '/v1/members', '/v1/setup', '/docs', '/status']) {
    const { status, headers } = await raw(`${doors.url}${path}`, {
      authorization: `Bearer ${body.accessToken}`,
      'accept-encoding': 'br, gzip, deflate, zstd',
    })
    assert.equal(status, 200, path)
    assert.equal(headers['content-encoding'], undefined, path)
    assert.equal(headers['cache-control'], 'no-store', path)
    assert.equal(headers.etag, undefined, path)
  }
})

test('[AP3] a file of the dashboard is not sent again to who has it', async () => {
  await using db = await testDatabase()
  const dashboard = await mkdtemp(join(tmpdir(), 'atom-dashboard-'))
  await using cleanup = new AsyncDisposableStack()
  cleanup.defer(() => rm(dashboard, { recursive: true }))
  await mkdir(join(dashboard, 'assets'))
  await writeFile(join(dashboard, 'assets', 'app-1a2b3c.js'), 'export {}')
  await writeFile(join(dashboard, 'icon.svg'), '<svg/>')
  await writeFile(join(dashboard, 'index.html'), '<!doctype html>')
  await using doors = await openDoors(db.database, { dashboard })
  for (const path of ['/assets/app-1a2b3c.js', '/icon.svg']) {
    const first = await raw(`${doors.url}${path}`)
    assert.equal(first.status, 200, path)
    const again = await raw(`${doors.url}${path}`, { 'if-none-match': first.headers.etag ?? 'none' })
    assert.equal(again.status, 304, path)
    assert.equal(again.bytes.length, 0)
  }
})

/** Lists that come whole, and what keeps each of them short. */
const whole: Readonly<Record<string, string>> = {
  '/v1/providers': 'the catalogue of this version; it changes with the code',
  '/v1/connections/forecast': 'the connections of one person that will soon need them',
  '/v1/rooms/{id}/pins': 'a room has at most 50',
  '/v1/operations/nodes': 'the processes that run',
  '/v1/operations/log/levels': 'the rooms of the house',
  '/v1/operations/traffic': 'the routes of this version',
  '/v1/operations/objectives': 'one for each kind of route',
}

test('[AP4] every list of the contract comes in pages, or is bounded by what it lists', () => {
  let lists = 0
  for (const { routes } of routeGroups)
    for (const { method, path, query, answers } of Object.values<Route>(routes)) {
      const named = propertiesOf(answers[200])
      if (method !== 'GET' || named['items'] === undefined) continue
      lists++
      const asked = propertiesOf(query)
      const paged = asked['cursor'] !== undefined && named['next'] !== undefined
      assert.ok(
        paged || asked['limit'] !== undefined || whole[path] !== undefined,
        `${path} has neither pages nor a bound`,
      )
    }
  assert.ok(lists > 10)
})

function propertiesOf(schema: Route['query']): Readonly<Record<string, unknown>> {
  return schema !== undefined && 'properties' in schema ? (schema.properties as Record<string, unknown>) : {}
}

test('[AP5] a door that asks late whether its caller is gone is told so, too', async () => {
  await using db = await testDatabase()
  const waiting = Promise.withResolvers<void>()
  const seen: boolean[] = []
  let arrived = 0
  const slow = route({
    method: 'GET',
    path: '/v1/slow',
    summary: 'Takes its time',
    audience: 'anyone',
    answers: { 200: Type.Object({}) },
    errors: [],
  })
  await using doors = await openDoors(db.database, {
    register: ({ guards }) =>
      guards.guard(slow, async (asked) => {
        arrived++
        await waiting.promise
        seen.push(asked.signal.aborted)
        return { status: 200, body: {} }
      }),
  })
  const open = request(`${doors.url}/v1/slow`)
  open.on('error', () => undefined)
  open.end()
  await until(async () => arrived === 1)
  const gone = new Promise((resolve) => open.once('close', resolve))
  open.destroy()
  await gone
  const connections = () =>
    new Promise<number>((resolve, reject) =>
      doors.http.node.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    )
  await until(async () => (await connections()) === 0)
  const stays = raw(`${doors.url}/v1/slow`)
  await until(async () => arrived === 2)
  waiting.resolve()
  assert.equal((await stays).status, 200)
  assert.deepEqual(seen, [true, false])
})

test('[AP6] a connection is kept longer than balancers keep theirs', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const { headers } = await raw(`${doors.url}/live`, { connection: 'keep-alive' })
  assert.ok(
    Number(/timeout=(\d+)/.exec(String(headers['keep-alive']))?.[1]) > 60,
    String(headers['keep-alive']),
  )
})
