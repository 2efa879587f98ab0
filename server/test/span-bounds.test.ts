import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createLog } from '#foundation/log.ts'
import { spanBounds } from '#foundation/telemetry/bounded-spans.ts'
import { Metrics } from '#foundation/telemetry/metrics.ts'
import { OtlpExport } from '#foundation/telemetry/otlp-export.ts'
import { attribute, startCollector } from './support/collector.ts'
import { until } from './support/until.ts'

/** What exports to there, and what it counts and says of it. */
function exporterTo(endpoint: string, metricIntervalMs = 3_600_000) {
  const metrics = new Metrics()
  const lines: string[] = []
  const exporter = new OtlpExport(
    { endpoint, headers: {}, resource: {}, metricIntervalMs, spanDelayMs: 5 },
    metrics,
    createLog({ level: 'info', write: (line) => void lines.push(line) }),
  )
  const counted = async (name: string) => {
    const line = (await metrics.text()).split('\n').find((one) => one.startsWith(`${name} `))
    return line === undefined ? undefined : Number(line.split(' ')[1])
  }
  const begin = (name: string) =>
    exporter.begin({ name, kind: 'internal' }, { startedAt: Date.now(), leave: () => undefined })
  return { exporter, begin, counted, lines }
}

test('[MO50] links and attributes beyond their bounds are cut, counted, and said once', async () => {
  await using collector = await startCollector()
  const it = exporterTo(collector.url)
  await using _ended = it.exporter
  const span = it.begin('together')
  const others = Array.from({ length: spanBounds.links + 2 }, (_, at) => it.begin(`other ${at}`))
  for (const other of others) span.link(other)
  span.note({
    fits: 'x'.repeat(spanBounds.attributeLength),
    long: 'x'.repeat(spanBounds.attributeLength + 1),
  })
  span.end()
  await until(() => collector.spans.length > 0)
  const [told] = collector.spans
  assert.ok(told)
  assert.deepEqual(
    told.links?.map(({ traceId }) => traceId),
    others.slice(2).map(({ traceId }) => traceId),
  )
  for (const name of ['fits', 'long'])
    assert.equal(String(attribute(told, name)).length, spanBounds.attributeLength)
  assert.equal(await it.counted('atom_trace_cut_total{what="links"}'), 2)
  assert.equal(await it.counted('atom_trace_cut_total{what="attributes"}'), 1)
  await until(async () => (await it.counted('atom_trace_spans_exported_total')) === 1)
  assert.equal(it.lines.filter((line) => line.includes('traces are incomplete')).length, 1)
})

test('[MO50] spans beyond what may wait, and those that the collector does not take, are counted', async () => {
  const held: ServerResponse[] = []
  let refuses = false
  await using server = createServer((request, response) => {
    request.resume()
    response.statusCode = 400
    if (refuses) response.end()
    else held.push(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const it = exporterTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  {
    await using _ended = it.exporter
    for (let at = 0; at < spanBounds.waiting + 10; at++) it.begin(`one ${at}`).end()
    assert.equal(await it.counted('atom_trace_spans_lost_total{reason="queue"}'), 10)
    await until(() => held.length > 0)
    refuses = true
    for (const response of held) response.end()
    await until(
      async () =>
        (await it.counted('atom_trace_spans_lost_total{reason="collector"}')) === spanBounds.waiting,
    )
    // There is room again.
    it.begin('the last').end()
    assert.equal(await it.counted('atom_trace_spans_lost_total{reason="queue"}'), 10)
  }
  assert.equal(await it.counted('atom_trace_spans_exported_total'), 0)
  assert.equal(it.lines.filter((line) => line.includes('traces are incomplete')).length, 1)
})

test('[MO60] metrics that the collector does not take are counted, and it is said once with the reason, and once when it is over', async () => {
  let refuses = true
  await using server = createServer((request, response) => {
    request.resume()
    response.writeHead(refuses ? 400 : 200, { 'content-type': 'application/json' }).end('{}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const it = exporterTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 20)
  {
    await using _ended = it.exporter
    const exports = (outcome: string) => it.counted(`atom_metric_exports_total{outcome="${outcome}"}`)
    await until(async () => Number(await exports('failed')) >= 3)
    assert.equal(await exports('taken'), 0)
    refuses = false
    await until(async () => Number(await exports('taken')) >= 3)
    assert.deepEqual(
      it.lines.map((line) => JSON.parse(line)).map(({ msg, why, failed }) => [msg, why ?? failed]),
      [
        ['the collector does not take the metrics; each interval is another try', 'Bad Request'],
        ['the collector takes the metrics again', await exports('failed')],
      ],
    )
  }
})
