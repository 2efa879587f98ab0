import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AtomError } from '#foundation/errors.ts'
import { Failures } from '#foundation/failure-groups.ts'
import { newId } from '#foundation/ids.ts'
import { createLog } from '#foundation/log.ts'
import { Metrics } from '#foundation/telemetry/metrics.ts'
import { OtlpExport } from '#foundation/telemetry/otlp-export.ts'
import { Tracing } from '#foundation/telemetry/tracing.ts'
import { createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { call } from './support/calls.ts'
import { attribute, type Collector, type ReceivedSpan, startCollector } from './support/collector.ts'
import { founder } from './support/doors.ts'
import { PlainClient, roomOf, somebody, startLive } from './support/live.ts'
import { emptyTestDatabase, testDatabase, testLog, urlOf } from './support/postgres.ts'
import { obedient, ScriptedModel } from './support/scripted-model.ts'
import { runApplication } from './support/traced-application.ts'
import { until } from './support/until.ts'

function exporterTo(collector: Collector, service: string): OtlpExport {
  return new OtlpExport(
    {
      endpoint: collector.url,
      headers: {},
      resource: { 'service.name': service },
      metricIntervalMs: 60_000,
      spanDelayMs: 50,
    },
    new Metrics(),
    testLog,
  )
}

class Received {
  readonly #collector: Collector

  constructor(collector: Collector) {
    this.#collector = collector
  }

  of({ traceId }: { readonly traceId: string }): ReceivedSpan[] {
    return this.#collector.spans.filter((span) => span.traceId === traceId)
  }

  named(trace: { readonly traceId: string }, name: string): ReceivedSpan {
    return this.of(trace).find((span) => span.name === name) ?? assert.fail(`${name} is not in the trace`)
  }

  below(parent: ReceivedSpan): ReceivedSpan[] {
    const children = this.of(parent).filter(({ parentSpanId }) => parentSpanId === parent.spanId)
    return children.flatMap((child) => [child, ...this.below(child)])
  }

  statements(parent: ReceivedSpan): ReceivedSpan[] {
    return this.below(parent).filter((span) => attribute(span, 'db.system.name') === 'postgresql')
  }
}

test('[MO41] one trace goes from the application that uses the client over the socket through the message, the turn, the model, the request to a provider and their SQL, as does one begun over HTTP; [MO44] the lines of what fails name it, and so does the error that an operator sees', async () => {
  await using collector = await startCollector()
  await using database = await emptyTestDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-chain-'))
  const config = readConfig({
    ATOM_DATA_DIR: dataDir,
    ATOM_PORT: String(await freePort()),
    ATOM_SETUP_TOKEN: founder.token,
    ATOM_SANDBOX: '1',
    DATABASE_URL: urlOf(database.connection),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_SERVICE_NAME: 'atom',
    // Only what is asked for.
    OTEL_TRACES_SAMPLER_ARG: '0',
  })
  const lines: string[] = []
  const log = createLog({ level: 'debug', write: (line) => void lines.push(line) })
  const asked = obedient()
  const model = new ScriptedModel((transcript, input) => {
    if (transcript.some((entry) => entry.role === 'person' && entry.text === 'fail'))
      throw new AtomError('model_unavailable', 'On purpose.')
    return asked.step(input)
  })
  const received = new Received(collector)
  const broken = randomBytes(16).toString('hex')
  const told = await (async () => {
    await using app = await createApp(config, {
      log,
      models: [model],
      doors: (_guards, http) => {
        http.get('/v1/fails', async () => {
          throw new TypeError('nobody foresaw this')
        })
      },
    })
    await app.listen()
    const headers = { traceparent: `00-${broken}-${randomBytes(8).toString('hex')}-00` }
    await call(app.url, 'GET', '/v1/fails', { headers })
    const answer = await runApplication({ url: app.url, collectorUrl: collector.url, founder })
    await until(() =>
      [answer.overSocket, answer.overHttp, answer.failed].every((traceId) =>
        received.of({ traceId }).some(({ name }) => name === 'turn'),
      ),
    )
    return answer
  })()
  await rm(dataDir, { recursive: true })

  for (const [trace, click, begin] of [
    [{ traceId: told.overSocket }, 'show my issues', 'message.send'],
    [{ traceId: told.overHttp }, 'say it over HTTP', 'POST /v1/rooms/{id}/messages'],
  ] as const) {
    const clicked = received.named(trace, click)
    assert.equal(clicked.service, 'the-page')
    const said = received.named(trace, begin)
    assert.equal(said.parentSpanId, clicked.spanId)
    assert.ok(
      received.statements(said).some((span) => /insert into/i.test(String(attribute(span, 'db.query.text')))),
      'the message is stored in its trace',
    )
    const turn = received.named(trace, 'turn')
    assert.equal(turn.parentSpanId, said.spanId)
    assert.ok(received.statements(turn).length > 3)
    const below = received.below(turn)
    assert.ok(below.some(({ name }) => name === 'chat scripted'))
    const provider = below.find((span) => attribute(span, 'atom.provider') === 'github')
    assert.equal(provider?.name, 'GET github')
    assert.equal(received.of(trace).length, 1 + 1 + received.below(said).length)
  }

  const said = lines.map((line) => JSON.parse(line) as { msg: string; traceId?: string })
  const saying = (message: string) => said.filter(({ msg }) => msg === message).map(({ traceId }) => traceId)
  assert.deepEqual(saying('a model did not answer'), [told.failed])
  assert.deepEqual(saying('a turn failed'), [told.failed])
  assert.deepEqual(saying('request failed'), [broken])
  for (const line of lines) assert.ok(line.split('"traceId"').length <= 2, `said twice: ${line}`)
  const example = (place: string) => told.errors.find((group) => group.place === place)?.exampleTraceId
  assert.equal(example('model'), told.failed)
  assert.equal(example('GET /v1/fails'), broken)
})

/** A live door that traces what asks for it. */
async function tracedDoor(options: { readonly askedPerSecond?: number; readonly ratio?: number } = {}) {
  const release = new AsyncDisposableStack()
  const collector = release.use(await startCollector())
  const own = release.use(await testDatabase())
  const failures = new Failures()
  const tracing = release.use(
    new Tracing({
      maker: exporterTo(collector, 'atom'),
      ratio: options.ratio ?? 0,
      slowMs: 600_000,
      askedPerSecond: options.askedPerSecond ?? 1_000,
    }),
  )
  const live = release.use(await startLive(own.database, { tracing, failures }))
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const client = release.use(new PlainClient(live.url, { token: await live.token(ada) }))
  await client.hello()
  return { collector, received: new Received(collector), client, roomId, failures, release }
}

function callers(count: number) {
  return Array.from({ length: count }, () => {
    const traceId = randomBytes(16).toString('hex')
    return { traceId, traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01` }
  })
}

test('[MO42] messages of several traces that are stored together are linked with what stores them, and no trace shows the work of another', async () => {
  const { client, collector, received, release, roomId } = await tracedDoor()
  await using _ = release
  const items = ['one', 'two', 'three'].map((text) => ({ clientId: newId(), text }))
  const [one, three] = callers(2)
  assert.ok(one && three)
  const context = { traceparent: [one.traceparent, null, three.traceparent] }
  assert.ok((await client.askAnything('message.send', { roomId, items }, context)).ok)
  await until(() => collector.spans.some(({ name }) => name === 'publish'))
  await until(() => received.of(one).length > 0 && received.of(three).length > 0)
  const together = collector.spans.find(({ name }) => name === 'publish') ?? assert.fail()
  const sent = [one, three].map((trace) => received.named(trace, 'message.send'))
  assert.deepEqual(
    sent.map(({ parentSpanId }) => parentSpanId),
    [one, three].map(({ traceparent }) => traceparent.slice(36, 52)),
  )
  assert.ok([one, three].every(({ traceId }) => traceId !== together.traceId))
  assert.deepEqual(
    new Set(together.links?.map(({ traceId, spanId }) => `${traceId} ${spanId}`)),
    new Set(sent.map(({ traceId, spanId }) => `${traceId} ${spanId}`)),
  )
  for (const span of sent) {
    assert.deepEqual(
      span.links?.map(({ traceId, spanId }) => [traceId, spanId]),
      [[together.traceId, together.spanId]],
    )
    assert.deepEqual(received.statements(span), [])
  }
  assert.equal(received.statements(together).length, 1)
  assert.equal(attribute(together, 'atom.events'), 3)

  // One alone has the statement in its own trace, and that alone: not what others say while it is stored.
  const alone = callers(5)
  await Promise.all(
    alone.flatMap(({ traceparent }) =>
      [{ traceparent }, {}].map(async (context) => {
        const body = { roomId, clientId: newId(), text: 'at once' }
        assert.ok((await client.askAnything('message.send', body, context)).ok)
      }),
    ),
  )
  await until(() => alone.every((trace) => received.of(trace).some(({ name }) => name === 'message.send')))
  for (const trace of alone) assert.ok(received.statements(received.named(trace, 'message.send')).length <= 1)

  const [last] = callers(1)
  assert.ok(last)
  const next = { roomId, clientId: newId(), text: 'four' }
  assert.ok((await client.askAnything('message.send', next, { traceparent: last.traceparent })).ok)
  await until(() => received.of(last).some(({ name }) => name === 'message.send'))
  assert.equal(received.statements(received.named(last, 'message.send')).length, 1)
})

test('[MO43] a frame whose trace is malformed is done as one without, and no more traces are kept on request than are allowed', async () => {
  const { client, collector, received, release, roomId } = await tracedDoor({ askedPerSecond: 3 })
  await using _ = release
  const [good] = callers(1)
  assert.ok(good)
  const contexts: unknown[] = [
    'a text',
    7,
    null,
    [],
    { traceparent: 7 },
    { traceparent: '' },
    { traceparent: `${good.traceparent}-more` },
    { traceparent: good.traceparent.toUpperCase() },
    { traceparent: `01${good.traceparent.slice(2)}-${'x'.repeat(600)}` },
    { traceparent: [good.traceparent] },
    { traceparent: { toString: 'no' } },
    { traceparent: null, more: Buffer.from('bytes') },
  ]
  let said = 0
  for (const context of contexts) {
    const text = `m ${++said}`
    const answer = await client.askAnything('message.send', { roomId, clientId: newId(), text }, context)
    assert.ok(answer.ok, `${JSON.stringify(context)}: ${answer.error?.detail}`)
    const items = [{ clientId: newId(), text: `i ${++said}` }]
    assert.ok((await client.askAnything('message.send', { roomId, items }, context)).ok)
    assert.ok((await client.askAnything('room.leave', { roomId: newId() }, context)).ok)
  }
  // What stands in the list of several is a message's own, and that of one no list.
  const many = callers(60)
  const began = Date.now()
  for (const { traceparent } of many) {
    const body = { roomId, clientId: newId(), text: 'asks for a trace' }
    assert.ok((await client.askAnything('message.send', body, { traceparent })).ok)
  }
  const seconds = Math.floor((Date.now() - began) / 1_000) + 2
  await until(() => many.some((trace) => received.of(trace).length > 0))
  await release.disposeAsync()
  const kept = many.filter((trace) => received.of(trace).length > 0).length
  assert.ok(kept >= 1 && kept <= 3 * seconds, `${kept} traces in ${seconds} s`)
  const strays = collector.spans.filter(({ traceId }) => many.every((trace) => trace.traceId !== traceId))
  assert.deepEqual([...new Set(strays.map(({ traceId }) => traceId))], [good.traceId])
})

test('[MO44] a frame that fails is told as a span of its caller’s trace although it was not chosen, and its error and its line name that trace', async () => {
  const { client, failures, received, release } = await tracedDoor()
  await using _ = release
  const traceId = randomBytes(16).toString('hex')
  const traceparent = `00-${traceId}-${randomBytes(8).toString('hex')}-00`
  // No turn can be stopped here, which nobody foresaw.
  const answer = await client.askAnything('turn.cancel', { turnId: newId() }, { traceparent })
  assert.equal(answer.error?.code, 'internal')
  // Somebody's mistake is no failure.
  const mistake = await client.askAnything('room.join', { roomId: newId() }, { traceparent })
  assert.equal(mistake.error?.code, 'not_found')
  await until(() => received.of({ traceId }).length > 0)
  assert.deepEqual(
    received.of({ traceId }).map((span) => [span.name, attribute(span, 'error.type')]),
    [['turn.cancel', 'internal']],
  )
  const taken = failures.take()
  assert.deepEqual(
    taken.map(({ place, traceId: example }) => [place, example]),
    [
      ['turn.cancel', traceId],
      ['room.join', undefined],
    ],
  )
})
