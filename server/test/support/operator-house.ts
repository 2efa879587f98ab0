import { logRoutes } from '@atom/contract/log.ts'
import parsePrometheus from 'parse-prometheus-text-format'
import { createGuards } from '#access/guarded-route.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import { systemClock } from '#foundation/clock.ts'
import type { Database } from '#foundation/database/pool.ts'
import { createLog } from '#foundation/log.ts'
import { LogModules } from '#foundation/log-modules.ts'
import { LogTail } from '#foundation/log-tail.ts'
import { Secret } from '#foundation/secret.ts'
import { Metrics } from '#foundation/telemetry/metrics.ts'
import { HttpServer } from '#http/server.ts'
import { Live as LiveOperations } from '#operations/live.ts'
import { registerLiveMetrics } from '#operations/live-metrics.ts'
import { LogDesk } from '#operations/log-desk.ts'
import { metricsDoor } from '#operations/metrics-door.ts'
import { Nodes } from '#operations/nodes.ts'
import { operationDoors } from '#operations/operation-routes.ts'
import { SocketTraffic } from '#realtime/socket-traffic.ts'
import { PublishTraffic } from '#rooms/publish-traffic.ts'
import { type Called, call } from './calls.ts'
import { type Live, type LiveOptions, somebody, startLive } from './live.ts'
import { testDatabase, testLog } from './postgres.ts'

export const scraperToken = 'the-token-of-the-scraper'

export interface OperatorHouse extends AsyncDisposable {
  readonly live: Live
  readonly database: Database
  readonly url: string
  readonly node: string
  readonly operator: AccountPrincipal
  /** What the process said in its log. */
  readonly lines: string[]
  /** As this person; the operator where nobody is named. */
  ask<T>(method: string, path: string, body?: object, as?: AccountPrincipal): Promise<Called<T>>
  /** Says that it ends, and serves on. */
  drain(): Promise<void>
  /** What a scraper reads: one number by name and labels, as `atom_sockets_closed_total{reason="moved"}`. */
  metrics(): Promise<ReadonlyMap<string, number>>
}

/** Rooms, their live door and the operator's doors, as `app.ts` puts them together; `beside` another, on the same database. */
export async function startOperatorHouse(
  options: LiveOptions & { readonly node?: string; readonly beside?: OperatorHouse } = {},
): Promise<OperatorHouse> {
  await using born = new AsyncDisposableStack()
  const { database } = options.beside ?? born.use(await testDatabase())
  const operator: AccountPrincipal = options.beside?.operator ?? {
    ...somebody(undefined, 'Olga Operator'),
    role: 'admin',
  }
  const traffic = new SocketTraffic()
  const publishTraffic = new PublishTraffic()
  const live = born.use(
    await startLive(database, {
      ...options,
      traffic,
      publishing: { ...options.publishing, traffic: publishTraffic },
    }),
  )
  born.use(live.timeline.subscribe((news) => publishTraffic.heard(news)))
  const lines: string[] = []
  const tail = new LogTail()
  const log = createLog({ level: 'info', write: (line) => void lines.push(line), tail })
  const sources = {
    sockets: live.sockets,
    socketCounts: traffic,
    publishCounts: publishTraffic,
    lanes: () => live.messages.loads(),
  }
  const { node = 'node-of-the-test' } = options
  const operations = born.use(
    new LiveOperations({
      node,
      sources,
      roomNames: (principal, roomIds) => live.rooms.names(principal, roomIds),
      clock: systemClock,
      log,
    }),
  )
  const http = born.use(new HttpServer({ log: testLog }))
  const { guard } = createGuards({ http, tokens: live.tokens, log: testLog })
  const desk = born.use(
    new LogDesk({
      ...{ node, tail, modules: new LogModules(log), database, notes: live.notes, clock: systemClock, log },
    }),
  )
  const nodes = born.use(
    new Nodes({
      live: operations,
      notes: live.notes,
      alive: () => live.presence.nodes(),
      draining: () => http.phase === 'draining',
      lines: (wanted) => desk.lines(wanted),
      version: '0.0.0-test',
      clock: systemClock,
      log,
    }),
  )
  operationDoors(guard, { sandbox: undefined, nodes })
  guard(logRoutes.log, async ({ query }) => ({ status: 200, body: await nodes.log(query) }))
  const metrics = new Metrics()
  registerLiveMetrics(metrics, sources)
  metricsDoor(http, {
    text: () => metrics.text(),
    tokens: live.tokens,
    scraperToken: new Secret(scraperToken),
  })
  const url = await http.listen({ host: '127.0.0.1', port: 0 })
  const alive = born.move()
  return {
    live,
    database,
    url,
    node,
    operator,
    lines,
    ask: async (method, path, body, as = operator) =>
      await call(url, method, path, { token: await live.token(as), ...(body !== undefined && { body }) }),
    drain: () => http.drain(),
    metrics: async () => {
      const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${scraperToken}` } })
      return flat(await answer.text())
    },
    [Symbol.asyncDispose]: () => alive.disposeAsync(),
  }
}

function flat(text: string): Map<string, number> {
  const numbers = new Map<string, number>()
  for (const { name, metrics } of parsePrometheus(text)) {
    for (const { labels = {}, value, count } of metrics) {
      const named = Object.entries(labels).map(([label, of]) => `${label}="${of}"`)
      numbers.set(named.length === 0 ? name : `${name}{${named.join(',')}}`, Number(value ?? count))
    }
  }
  return numbers
}
