import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { createLog } from '#foundation/log.ts'
import {
  currentSpan,
  parseTraceparent,
  type Span,
  type SpanDescription,
} from '#foundation/telemetry/trace.ts'
import { Tracing } from '#foundation/telemetry/tracing.ts'
import { createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { assertProblem, call } from './support/calls.ts'
import { attribute, type ReceivedSpan, startCollector } from './support/collector.ts'
import { founder, openDoors } from './support/doors.ts'
import { emptyTestDatabase, testDatabase, urlOf } from './support/postgres.ts'
import { ScriptedModel, say } from './support/scripted-model.ts'
import { until } from './support/until.ts'

const run = promisify(execFile)

test('[MO12] one trace goes from the caller’s traceparent through the request, its SQL and the turn, and the log line names it; [MO16] what /metrics tells reaches the collector too', async () => {
  await using collector = await startCollector()
  await using database = await emptyTestDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-traced-'))
  const token = 'the-token-of-this-test'
  const config = readConfig({
    ATOM_DATA_DIR: dataDir,
    ATOM_PORT: String(await freePort()),
    ATOM_SETUP_TOKEN: token,
    ATOM_SANDBOX: '0',
    DATABASE_URL: urlOf(database.connection),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a%20key',
    OTEL_SERVICE_NAME: 'atom-of-the-test',
    // Only what is asked for.
    OTEL_TRACES_SAMPLER_ARG: '0',
    OTEL_METRIC_EXPORT_INTERVAL: '1000',
  })
  const lines: string[] = []
  const log = createLog({ level: 'debug', write: (line) => void lines.push(line) })
  const traceId = randomBytes(16).toString('hex')
  {
    await using app = await createApp(config, {
      log,
      models: [new ScriptedModel(() => [say('Traced.')])],
    })
    await app.listen()
    const setup = await call<{ accessToken: string }>(app.url, 'POST', '/v1/setup', {
      body: { ...founder, token },
    })
    const { accessToken } = setup.body
    const rooms = await call<{ items: { id: string }[] }>(app.url, 'GET', '/v1/rooms', { token: accessToken })
    const roomId = rooms.body.items[0]?.id
    const sent = await call(app.url, 'POST', `/v1/rooms/${roomId}/messages`, {
      token: accessToken,
      body: { clientId: randomUUID(), text: 'hello' },
      headers: { traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01` },
    })
    assert.equal(sent.status, 201)
    await until(() => collector.spans.some(({ name }) => name.startsWith('chat ')))
    await until(() => collector.spans.some(({ name }) => name === 'turn'))
    await until(() => collector.metrics.has('http_server_request_duration_seconds'))
  }
  await rm(dataDir, { recursive: true })
  // What took a second is told of unasked, and on a busy machine a sign-in may.
  const slow = new Set(collector.spans.filter((span) => tookMs(span) >= 1_000).map((span) => span.traceId))
  const expected = (id: string | undefined) => id === traceId || slow.has(id ?? '')
  assert.deepEqual(
    collector.spans.filter((span) => !expected(span.traceId)),
    [],
  )
  assert.deepEqual([...collector.services], ['atom-of-the-test'])
  assert.deepEqual([...collector.keys], ['a key'])
  const byName = (name: string) => collector.spans.find((span) => span.name === name) ?? assert.fail(name)
  const request = byName('POST /v1/rooms/{id}/messages')
  const turn = byName('turn')
  // The turn is the request's child, the model's step the turn's, and both have statements of their own.
  assert.equal(turn.parentSpanId, request.spanId)
  assert.equal(collector.spans.find(({ name }) => name.startsWith('chat '))?.parentSpanId, turn.spanId)
  const statements = (parent: ReceivedSpan) =>
    collector.spans.filter(
      (span) => span.parentSpanId === parent.spanId && attribute(span, 'db.system.name') === 'postgresql',
    )
  assert.ok(statements(request).length > 0)
  assert.ok(statements(turn).length > 3)
  assert.equal(attribute(request, 'http.response.status_code'), 201)
  const line = lines.find((each) => each.includes('/messages"'))
  const tracedAs = (each: string) => (JSON.parse(each) as { traceId?: string }).traceId
  assert.equal(tracedAs(line ?? '{}'), traceId)
  assert.deepEqual(
    lines.filter((each) => each.includes('"traceId"') && !expected(tracedAs(each))),
    [],
  )
  const all = JSON.stringify(collector.spans)
  for (const secret of [founder.password, founder.email.toLowerCase(), 'hello'])
    assert.ok(!all.includes(secret), secret)
  const counted = JSON.stringify(collector.metrics.get('http_server_request_duration_seconds'))
  assert.match(counted, /"\/v1\/rooms\/\{id\}\/messages"/)
  for (const name of ['process_resident_memory_bytes', 'db_client_connection_count', 'atom_sockets_open'])
    assert.ok(collector.metrics.has(name), name)
})

function tookMs({ startTimeUnixNano, endTimeUnixNano }: ReceivedSpan): number {
  return Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6
}

interface Made {
  readonly description: SpanDescription
  readonly notes: Record<string, unknown>
  readonly parent: string | undefined
  failed: string | undefined
}

/** Keeps what would be exported. */
function recordingMaker(made: Made[]) {
  const begin = (
    description: SpanDescription,
    options: { parent?: { traceId: string } | undefined; leave: (key: string, span: Span) => void },
  ): Span & { end(at?: number): void } => {
    const one: Made = { description, notes: {}, parent: options.parent?.traceId, failed: undefined }
    made.push(one)
    const traceId = options.parent?.traceId ?? randomBytes(16).toString('hex')
    const span: Span & { end(at?: number): void } = {
      traceId,
      traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01`,
      child: (child) => begin(child, { ...options, parent: { traceId } }),
      apart: (other) => begin(other, { ...options, parent: undefined }),
      link: () => undefined,
      note: (notes) => void Object.assign(one.notes, notes),
      fail: (type) => {
        one.failed = type
      },
      end: () => undefined,
      leave: (key) => options.leave(key, span),
    }
    return span
  }
  return { begin, [Symbol.asyncDispose]: async () => undefined }
}

test('[MO13] nothing of a request that was not chosen is exported, but one that fails is, always; a stranger’s wish to be traced is bounded', async () => {
  await using own = await testDatabase()
  const made: Made[] = []
  const tracing = new Tracing({
    maker: recordingMaker(made),
    ratio: 0,
    slowMs: 60_000,
    askedPerSecond: 0,
  })
  let inside: unknown = 'not asked'
  await using doors = await openDoors(own.database, {
    http: { tracing },
    register: ({ http }) => {
      http.get('/v1/fails', async () => {
        throw new Error('on purpose')
      })
      http.get('/v1/looks', async (_request, reply) => {
        inside = currentSpan()
        return reply.send('{}')
      })
    },
  })
  const asking = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }
  for (let n = 0; n < 50; n++) await call(doors.url, 'GET', '/v1/looks', { headers: asking })
  assert.equal(inside, undefined)
  assert.equal(made.length, 0)
  for (let n = 0; n < 20; n++) assertProblem(await call(doors.url, 'GET', '/v1/fails'), 'internal')
  await until(() => made.length === 20)
  for (const { description, notes, failed } of made) {
    assert.equal(description.name, 'GET /v1/fails')
    assert.deepEqual([notes['atom.kept_late'], failed], [true, 'internal'])
    assert.equal(description.attributes?.['http.response.status_code'], 500)
  }
  // The line of each names the trace that was made for it.
  const failures = doors.lines.filter((line) => line.includes('request failed'))
  assert.equal(new Set(failures.map((line) => (JSON.parse(line) as { traceId: string }).traceId)).size, 20)
  // One that says whose it is stays in that trace.
  await call(doors.url, 'GET', '/v1/fails', { headers: asking })
  await until(() => made.length === 21)
  assert.equal(made[20]?.parent, 'a'.repeat(32))

  const some: Made[] = []
  const bounded = new Tracing({ maker: recordingMaker(some), ratio: 0, askedPerSecond: 3 })
  const describe = () => ({ name: 'one', kind: 'server' }) as const
  for (let n = 0; n < 1_000; n++) bounded.arrive(asking.traceparent, describe)
  // The second may change while this runs, on however slow a machine.
  assert.ok(some.length >= 3 && some.length <= 30, `${some.length} were kept`)
  const half = new Tracing({ maker: recordingMaker([]), ratio: 0.5, random: () => 0.4 })
  assert.ok(half.arrive(undefined, describe) !== undefined)
  await assert.rejects(
    new Tracing({ maker: recordingMaker(some), ratio: 0 }).run(
      undefined,
      describe(),
      async () => {
        throw new TypeError('no')
      },
      async (thrown) => {
        throw thrown
      },
    ),
  )
  assert.equal(some.at(-1)?.failed, 'TypeError')
})

test('a traceparent is read as W3C Trace Context writes it, and anything else is none', () => {
  const good = `00-${'a'.repeat(32)}-${'b'.repeat(16)}`
  assert.deepEqual(parseTraceparent(`${good}-01`), {
    traceId: 'a'.repeat(32),
    spanId: 'b'.repeat(16),
    sampled: true,
  })
  assert.equal(parseTraceparent(`${good}-00`)?.sampled, false)
  // A later version may say more.
  assert.equal(parseTraceparent(`01${good.slice(2)}-01-more`)?.sampled, true)
  for (const wrong of [
    undefined,
    '',
    `${good}-01-more`,
    `ff${good.slice(2)}-01`,
    `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`,
    `00-${'a'.repeat(32)}-${'0'.repeat(16)}-01`,
    `${good.toUpperCase()}-01`,
    `${good}-0`,
  ])
    assert.equal(parseTraceparent(wrong), undefined, String(wrong))
})

test('[MO14] without a collector configured no package of OpenTelemetry is loaded; bad settings stop the start', async () => {
  assert.equal(readConfig({}).telemetry, undefined)
  const collector = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318/' }
  assert.equal(readConfig({ ...collector, OTEL_SDK_DISABLED: 'true' }).telemetry, undefined)
  const { telemetry } = readConfig({
    ...collector,
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test,service.namespace=a%2Cb',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20the-key',
  })
  assert.ok(telemetry)
  assert.deepEqual([telemetry.endpoint, telemetry.ratio], ['http://127.0.0.1:4318', 0.01])
  assert.deepEqual(telemetry.resource, {
    'deployment.environment': 'test',
    'service.namespace': 'a,b',
    'service.name': 'atom',
  })
  assert.ok(!JSON.stringify(telemetry).includes('the-key'))
  for (const wrong of [
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' },
    { ...collector, OTEL_TRACES_SAMPLER_ARG: '2' },
    { ...collector, OTEL_TRACES_SAMPLER_ARG: 'all' },
    { ...collector, OTEL_METRIC_EXPORT_INTERVAL: '5' },
    { ...collector, OTEL_EXPORTER_OTLP_HEADERS: 'the-key' },
    { ...collector, OTEL_RESOURCE_ATTRIBUTES: 'a=%zz' },
  ]) {
    const name = Object.keys(wrong).at(-1) ?? ''
    assert.throws(
      () => readConfig(wrong),
      (error: Error) =>
        error.name === 'StartError' && error.message.includes(name) && !error.message.includes('the-key'),
    )
  }
  const { stdout } = await run(process.execPath, [
    '--input-type=module',
    '--eval',
    `import { registerHooks } from 'node:module'
     const loaded = []
     registerHooks({ load(url, context, next) { if (url.includes('opentelemetry')) loaded.push(url); return next(url, context) } })
     await import(${JSON.stringify(new URL('../src/app.ts', import.meta.url).href)})
     console.log(JSON.stringify(loaded.filter((url) => !url.includes('/@opentelemetry/api/'))))`,
  ])
  assert.equal(stdout.trim(), '[]')
})
