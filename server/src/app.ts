import cluster from 'node:cluster'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { StatusWord } from '@atom/contract/health.ts'
import { bearerToken, isOperatorsToken } from '#access/authenticate.ts'
import { createGuards, type Guards } from '#access/guarded-route.ts'
import { keyRoutes } from '#access/key-routes.ts'
import { OpenStreams } from '#access/open-streams.ts'
import { Revocations } from '#access/revocations.ts'
import { SigningKeyStore } from '#access/signing-key-store.ts'
import { AccessTokens, accessTokenLifetimeMs, clockToleranceMs } from '#access/tokens.ts'
import { accountRoutes } from '#accounts/account-routes.ts'
import { AccountStore } from '#accounts/account-store.ts'
import { Accounts } from '#accounts/accounts.ts'
import { SessionStore } from '#accounts/session-store.ts'
import { Sessions } from '#accounts/sessions.ts'
import { SignInThrottle } from '#accounts/sign-in-throttle.ts'
import { agentRoutes } from '#agents/agent-routes.ts'
import { Agents } from '#agents/agents.ts'
import { Approvals } from '#agents/approvals.ts'
import { Dispatcher } from '#agents/dispatcher.ts'
import { Drafts } from '#agents/drafts.ts'
import { EmbeddedModel } from '#agents/models/embedded-model.ts'
import type { Model } from '#agents/models/model.ts'
import { OpenAICompatibleModel } from '#agents/models/openai-compatible.ts'
import { SharedDrafts } from '#agents/shared-drafts.ts'
import { githubTools } from '#agents/tools/github-tools.ts'
import { googleTools } from '#agents/tools/google-tools.ts'
import type { TurnDependencies } from '#agents/turn.ts'
import { turnStreamRoutes } from '#agents/turn-stream-routes.ts'
import { TurnStreams } from '#agents/turn-streams.ts'
import { TurnWorker } from '#agents/turn-worker.ts'
import { Turns } from '#agents/turns.ts'
import { openUnderstanding } from '#agents/understanding/understanding.ts'
import type { SandboxOffer } from '#connections/apps.ts'
import { createConnectionRoom } from '#connections/connection-room.ts'
import { PostgresBroadcast } from '#foundation/broadcast/postgres.ts'
import { RedisBroadcast } from '#foundation/broadcast/redis.ts'
import { type Clock, systemClock } from '#foundation/clock.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { openKeyring } from '#foundation/crypto/keyring.ts'
import { readArchive } from '#foundation/database/archive.ts'
import { openDataDir } from '#foundation/database/database-folder.ts'
import { DatabaseProbe } from '#foundation/database/database-probe.ts'
import { startEmbedded } from '#foundation/database/embedded.ts'
import { migrate } from '#foundation/database/migrate.ts'
import { Notes } from '#foundation/database/notes.ts'
import { type Database, type DatabaseAddress, openDatabase } from '#foundation/database/pool.ts'
import { asAtomError } from '#foundation/errors.ts'
import { Failures } from '#foundation/failure-groups.ts'
import { randomToken } from '#foundation/ids.ts'
import { createLog, type Log } from '#foundation/log.ts'
import { LogModules } from '#foundation/log-modules.ts'
import { LogTail } from '#foundation/log-tail.ts'
import { nodeName } from '#foundation/node-name.ts'
import { createOutbound } from '#foundation/outbound.ts'
import { MemoryRateLimits } from '#foundation/rate-limit/memory-rate-limit.ts'
import type { RateLimits } from '#foundation/rate-limit/rate-limit.ts'
import { RedisRateLimits } from '#foundation/rate-limit/redis-rate-limit.ts'
import { Secret } from '#foundation/secret.ts'
import { SystemReadings } from '#foundation/system/system-readings.ts'
import { registerCacheMetrics } from '#foundation/telemetry/cache-counts.ts'
import { Metrics } from '#foundation/telemetry/metrics.ts'
import { RuntimeReadings } from '#foundation/telemetry/runtime-readings.ts'
import { Tracing } from '#foundation/telemetry/tracing.ts'
import { Callers } from '#http/callers.ts'
import { dashboardDoors } from '#http/dashboard-files.ts'
import { Edge } from '#http/edge.ts'
import { portError, requireFreePort } from '#http/free-port.ts'
import { Health } from '#http/health.ts'
import { healthDoors } from '#http/health-doors.ts'
import { knockAt, LoadShedding, type LoadSheddingOptions } from '#http/load-shedding.ts'
import { openApiDoor } from '#http/openapi.ts'
import { PolicyLimits } from '#http/policy-limits.ts'
import { ProbeListener } from '#http/probe-listener.ts'
import { Readiness } from '#http/readiness.ts'
import { referenceDoors } from '#http/reference.ts'
import { registerRouteMetrics } from '#http/route-traffic.ts'
import { createHttpServer, type HttpServer } from '#http/server.ts'
import { setupPageDoors } from '#http/setup-pages.ts'
import { Alerts } from '#operations/alerts.ts'
import { errorAlerts } from '#operations/error-alerts.ts'
import { ErrorsSeen } from '#operations/errors-seen.ts'
import { HealthAlerts } from '#operations/health-alerts.ts'
import { healthChecks } from '#operations/health-checks.ts'
import { registerHealthMetrics } from '#operations/health-metrics.ts'
import { historyReader } from '#operations/history-sources.ts'
import { registerLimitMetrics } from '#operations/limit-metrics.ts'
import { limitDoors } from '#operations/limit-routes.ts'
import { Limits } from '#operations/limits.ts'
import { Live } from '#operations/live.ts'
import { registerLiveMetrics, registerRedisMetrics, registerTurnMetrics } from '#operations/live-metrics.ts'
import { LogDesk } from '#operations/log-desk.ts'
import { MetricHistory } from '#operations/metric-history.ts'
import { metricsDoor } from '#operations/metrics-door.ts'
import { monitoringDoors } from '#operations/monitoring-routes.ts'
import { Nodes } from '#operations/nodes.ts'
import { Objectives } from '#operations/objectives.ts'
import { operationDoors } from '#operations/operation-routes.ts'
import { recordDoors } from '#operations/record-routes.ts'
import { catalog } from '#providers/catalog.ts'
import { providerPagePath } from '#providers/provider-guide.ts'
import { providerPage } from '#providers/provider-page.ts'
import { type DrainPlan, defaultDrain } from '#realtime/drain.ts'
import { Neighbours } from '#realtime/neighbours.ts'
import { Presence } from '#realtime/presence.ts'
import { roomStreamRoutes } from '#realtime/room-stream-routes.ts'
import { RoomStreams } from '#realtime/room-streams.ts'
import { SocketServer } from '#realtime/socket-server.ts'
import { SocketTraffic } from '#realtime/socket-traffic.ts'
import { Amendments } from '#rooms/amendments.ts'
import { EndedRooms } from '#rooms/ended-rooms.ts'
import { MembershipNews } from '#rooms/membership-news.ts'
import { Messages } from '#rooms/messages.ts'
import { PublishTraffic } from '#rooms/publish-traffic.ts'
import { Receipts } from '#rooms/receipts.ts'
import { roomRoutes } from '#rooms/room-routes.ts'
import { Rooms } from '#rooms/rooms.ts'
import { Search } from '#rooms/search.ts'
import { Signals } from '#rooms/signals.ts'
import { Timeline } from '#rooms/timeline.ts'
import packageJson from '../package.json' with { type: 'json' }
import { type Config, pairsOf, type TelemetryConfig } from './config.ts'
import { LocalSandbox, sandboxProviders } from './local-sandbox.ts'

export const migrationsFolder = join(import.meta.dirname, '..', 'migrations')
const dashboard = join(import.meta.dirname, '..', '..', 'dashboard', 'dist')
/** Measured knee of a pool on two processors; more sessions made the slowest queries slower. */
const poolSize = 10

/** What a test may put in the place of a real part. */
export interface Overrides {
  readonly log?: Log
  /** What keeps the last lines of `log`. */
  readonly logTail?: LogTail
  readonly clock?: Clock
  /** A sandbox that outlives this server, and the origins it is reached by. */
  readonly sandbox?: SandboxOffer & { reach(): readonly string[] }
  readonly models?: readonly [Model, ...Model[]]
  readonly turns?: Pick<TurnDependencies, 'checkpoint' | 'limits'> & { readonly leaseMs?: number }
  readonly dashboard?: string
  readonly shedding?: Partial<LoadSheddingOptions>
  /** Aborted when nobody wants the server any more before it is there; `createApp` then throws its reason. */
  readonly starting?: AbortSignal
  /** What `/metrics` says where several processes stand behind one port. */
  readonly scrape?: () => Promise<string>
  /** Where limits are counted without Redis, where several processes stand behind one port. */
  readonly rateLimits?: RateLimits
  /** Registers doors besides Atom's own, behind everything that stands before those. */
  readonly doors?: (guards: Guards, http: HttpServer) => void
}

export interface App extends AsyncDisposable {
  /** Where it is reached; once it listens. */
  readonly url: string
  readonly database: Database
  /** The one-time setup link, while there is no account. */
  setupUrl(): Promise<string | undefined>
  /** Opens the port and takes traffic. */
  listen(): Promise<void>
  /** How it is. */
  readonly word: StatusWord
  /** Somebody keeps asking `/ready`, and looks away when told no. */
  readonly watched: boolean
  /**
   * Says that it ends, serves for `graceMs` more, then sends streams and sockets away; done by disposal too, without the grace.
   * `withinMs`: all that there is until everything must be over.
   */
  drain(options?: { readonly graceMs?: number; readonly withinMs?: number }): Promise<void>
  /** Counts something that nobody caught, or that ended a process, among the errors that operators see. */
  crashed(thrown: unknown): void
  /** What this process counts, in Prometheus' text format. */
  metrics(): Promise<string>
  /** What has begun and not ended, by name. */
  unfinished(): Readonly<Record<string, number>>
  /** Requests that were cut; final after disposal. */
  readonly cut: number
}

/**
 * Everything Atom is made of, in the order in which it comes to life; released in reverse.
 *
 * @throws StartError one sentence for the person at the terminal
 */
export async function createApp(config: Config, overrides: Overrides = {}): Promise<App> {
  await using born = new AsyncDisposableStack()
  const log = overrides.log ?? createLog({ level: config.logLevel })
  const modules = new LogModules(log)
  const node = nodeName
  const clock = overrides.clock ?? systemClock
  const startedAt = clock.now()
  const goOn = () => overrides.starting?.throwIfAborted()
  goOn()
  await requireFreePort(config.host, config.port)

  // The ground: data folder, keys, database, the one way out.
  const dataDir = await openDataDir(config.dataDir)
  const keyring = await openKeyring({ env: config.masterKeys?.reveal(), dataDir, log })
  const envelope = new Envelope({ keyring })
  const { database, address } = await openAtomDatabase(config, {
    ...{ log, born, sessionName: keyring.announcement },
    goOn,
  })
  const failures = new Failures()
  const metrics = new Metrics()
  const tracing = config.telemetry && born.use(await openTracing(config.telemetry, metrics, log))
  const http = createHttpServer({
    log: modules.of('http'),
    failures,
    tracing,
    publicUrl: config.publicUrl,
    trustedProxies: config.trustedProxies,
    allowedOrigins: config.corsOrigins,
  })
  goOn()
  const publicUrl = () => http.publicUrl
  const sandbox = overrides.sandbox ?? sandboxOf(config, { log, publicUrl, born })
  const outbound = born.use(createOutbound({ allowLoopback: () => sandbox?.reach() ?? [], log }))

  // Who is calling.
  const revocations = born.use(
    await Revocations.open({
      database,
      clock,
      log,
      tokenLifetimeMs: accessTokenLifetimeMs + clockToleranceMs,
    }),
  )
  const tokens = await AccessTokens.open({
    store: new SigningKeyStore(database),
    envelope,
    revocations,
    clock,
    issuer: publicUrl,
  })

  // How much anybody may do.
  const limits = new PolicyLimits(
    born.use(
      config.redisUrl === undefined
        ? (overrides.rateLimits ?? new MemoryRateLimits())
        : await RedisRateLimits.open({ url: config.redisUrl, log }),
    ),
  )
  const shedding = born.use(
    new LoadShedding({
      log,
      knock: async () => (http.bound === undefined ? undefined : await knockAt(http.bound)),
      accepted: () => http.connections.accepted,
      queue: () => database.queue,
      ...overrides.shedding,
    }),
  )
  const edge = new Edge({
    limits,
    shedding,
    callers: new Callers({ now: () => clock.now().getTime() }),
    claim: (authorization) => {
      const token = bearerToken(authorization) ?? ''
      const workspaceId = tokens.peek(token)?.workspaceId
      return workspaceId === undefined
        ? connectionRoom.claim(token)
        : { party: workspaceId, priority: undefined }
    },
  })
  http.protect(edge)

  // Rooms and what is said in them.
  const redis = config.redisUrl && born.use(await RedisBroadcast.open({ url: config.redisUrl, log: log }))
  const timeline = born.use(await Timeline.open({ database, log, broadcast: redis }))
  const agents = new Agents({ database, model: config.model?.name ?? 'rules' })
  const setupToken = config.setupToken ?? new Secret(randomToken())
  const accounts = new Accounts({
    database,
    store: new AccountStore(),
    sessions: new Sessions({ database, store: new SessionStore(), revocations, clock, log }),
    tokens,
    throttle: new SignInThrottle({
      perAccount: limits.of('sign-in'),
      perAddress: limits.of('sign-in-address'),
      perSite: limits.of('sign-in-network'),
      refused: (policy, subject) => limits.refusals.note(policy, subject),
    }),
    clock,
    log,
    setupToken,
    publicUrl,
    // Whoever arrives finds a room with the agent in it.
    arrived: async (tx, { workspace, account, founded, invited }) => {
      const agent = founded
        ? await agents.createDefault(tx, workspace.id)
        : await agents.default(tx, workspace.id)
      await rooms.create(tx, {
        workspaceId: workspace.id,
        name: `${account.name} and ${agent.name}`,
        members: [
          { kind: 'account', id: account.id, name: account.name },
          { kind: 'agent', id: agent.id, name: agent.name },
        ],
        createdBy: account.id,
      })
      if (invited !== undefined) {
        const { id, name } = account
        await rooms.welcome(tx, workspace.id, { kind: 'account', id, name }, invited)
      }
    },
    mayInviteInto: (principal, roomIds) => rooms.requireGroups(principal, roomIds),
  })
  const notes = born.use(await Notes.open({ database, log }))
  const membershipNews = born.use(new MembershipNews({ notes }))
  const rooms = new Rooms({
    database,
    timeline,
    news: membershipNews,
    directory: {
      find: (workspaceId, kind, id) =>
        kind === 'account' ? accounts.find(workspaceId, id) : agents.find(workspaceId, id),
    },
  })
  const publishTraffic = new PublishTraffic()
  born.use(timeline.subscribe((news) => publishTraffic.heard(news), undefined, 'own'))
  const messages = born.use(
    new Messages({ database, timeline, log: modules.of('rooms'), traffic: publishTraffic }),
  )
  const amendments = new Amendments({ database, rooms, timeline })
  const search = born.use(new Search({ database, timeline, rooms, log: modules.of('rooms') }))
  const broadcast = redis ?? born.use(await PostgresBroadcast.open({ database, log }))
  const signals = born.use(new Signals({ broadcast, log }))
  const receipts = born.use(new Receipts({ database, signals, notes, log: modules.of('rooms') }))

  // Accounts at providers.
  const connectionRoom = born.use(
    createConnectionRoom({
      database,
      envelope,
      outbound,
      clock,
      log: modules.of('connections'),
      publicUrl,
      sessionEnded: (id) => revocations.has(id),
      sandbox,
      dataDir,
    }),
  )
  const { connections, apps, proxy, providerTraffic } = connectionRoom
  const providerName = (provider: string) => apps.provider(provider).name

  // Agents, and what answers for them.
  const tools = [...githubTools, ...googleTools]
  const understanding = born.use(openUnderstanding({ dataDir, tools, log: modules.of('agents') }))
  const embedded = new EmbeddedModel({ understanding, providerName })
  const models =
    overrides.models ??
    (config.model === undefined
      ? ([embedded] as const)
      : ([new OpenAICompatibleModel(config.model), embedded] as const))
  const approvals = new Approvals({ database, timeline, tools })
  const turns = new Turns({ database, timeline, rooms, approvals })
  born.use(
    new EndedRooms({
      database,
      timeline,
      log: modules.of('rooms'),
      clearings: [(tx, roomId, places) => turns.forget(tx, roomId, places)],
    }),
  )
  const ownDrafts = new Drafts({ tell: (signal) => signals.tell(signal) })
  const working = (roomIds: readonly string[]) => turns.working(roomIds)
  const drafts = born.use(
    new SharedDrafts({ drafts: ownDrafts, notes, underWay: (roomIds) => turns.underWay(roomIds), log }),
  )
  const turnWorker = born.use(
    await TurnWorker.start({
      database,
      timeline,
      approvals,
      drafts: ownDrafts,
      proxy,
      connectionsOf: (workspaceId, accountId, provider) =>
        connections.ownedBy(workspaceId, accountId, provider),
      providerName,
      tools,
      models,
      clock,
      log: modules.of('agents'),
      failures,
      tracing,
      ...overrides.turns,
    }),
  )
  born.use(
    await Dispatcher.start({
      database,
      timeline,
      rooms,
      model: models[0].name,
      log: modules.of('agents'),
      ...(tracing !== undefined && { traceOf: (key: string) => tracing.left(key) }),
    }),
  )

  // The doors.
  born.use(http)
  const guards = createGuards({ http, tokens, log })
  const streams = born.use(new OpenStreams({ revocations, clock }))
  const roomStreams = born.use(
    new RoomStreams({ rooms, timeline, signals, drafts, streams, log: modules.of('realtime') }),
  )
  const turnStreams = new TurnStreams({ turns, rooms, timeline, signals, drafts, streams, log })
  accountRoutes(guards.guard, { accounts, crossOrigin: http.crossOrigin })
  keyRoutes(guards.guard, { tokens })
  roomRoutes(guards.guard, {
    rooms,
    messages,
    timeline,
    amendments,
    search,
    receipts,
    companions: async ({ workspaceId }) => {
      const agent = await agents.default(database, workspaceId)
      return [{ kind: 'agent', id: agent.id }]
    },
  })
  connectionRoom.doors(guards)
  agentRoutes(guards.guard, { agents, approvals, turns })
  roomStreamRoutes(guards.guardEvents, { roomStreams })
  turnStreamRoutes(guards.guardEvents, { turnStreams })
  openApiDoor(http, { version: packageJson.version })
  referenceDoors(http)
  setupPageDoors(
    http,
    new Map(
      [...catalog.values()].map((provider) => [
        providerPagePath(provider.id),
        () => providerPage(provider, publicUrl()),
      ]),
    ),
  )
  await dashboardDoors(http, { folder: overrides.dashboard ?? dashboard })
  const neighbours = born.use(await Neighbours.open({ database, log }))
  const presence = born.use(
    await Presence.open({ database, notes, timeline, rooms, working, log: modules.of('realtime') }),
  )
  const socketTraffic = new SocketTraffic()
  const sockets = born.use(
    new SocketServer({
      http: http.node,
      rooms,
      messages,
      amendments,
      timeline,
      signals,
      tokens,
      revocations,
      turns,
      receipts,
      membershipNews,
      presence,
      drafts,
      neighbours,
      addressOf: http.addressOf,
      entry: edge,
      crossOrigin: http.crossOrigin,
      clock,
      log: modules.of('realtime'),
      traffic: socketTraffic,
      failures,
      drain: drainPlan(config.stop),
      tracing,
    }),
  )

  // What an operator sees of all this, and may do about it.
  const liveSources = {
    sockets,
    socketCounts: socketTraffic,
    publishCounts: publishTraffic,
    lanes: () => messages.loads(),
  }
  const live = born.use(
    new Live({
      node,
      sources: liveSources,
      roomNames: (principal, roomIds) => rooms.names(principal, roomIds),
      clock,
      log,
    }),
  )
  const nodes = born.use(
    new Nodes({
      live,
      notes,
      alive: () => presence.nodes(),
      draining: () => http.phase === 'draining',
      lines: (wanted) => logDesk.lines(wanted),
      version: packageJson.version,
      clock,
      log,
    }),
  )
  operationDoors(guards.guard, { sandbox, nodes })
  const alerts = born.use(
    new Alerts({
      database,
      envelope,
      outbound,
      clock,
      log,
      say: ({ roomId, workspaceId, clientId, text }) =>
        messages.publish({
          roomId,
          workspaceId,
          type: 'message.created',
          actor: { kind: 'system', id: systemActor },
          clientId,
          body: { text },
        }),
      requireMember: (principal, roomId) => rooms.requireMember(principal, roomId),
    }),
  )
  const errorsSeen = born.use(
    new ErrorsSeen({
      failures,
      database,
      clock,
      log,
      tell: errorAlerts(alerts, log),
      ranSince: (ms) => history.ranSince(ms),
    }),
  )
  const logDesk = born.use(
    new LogDesk({ node, tail: overrides.logTail ?? new LogTail(), modules, database, notes, clock, log }),
  )
  recordDoors(guards, { errors: errorsSeen, log: logDesk, nodes, streams })
  const operatorLimits = born.use(
    await Limits.open({
      database,
      edge,
      notes,
      clock,
      log,
      accountExists: async (workspaceId, id) => (await accounts.find(workspaceId, id)) !== undefined,
      // Whoever is kept out now loses what they have open.
      changed: () => {
        for (const socket of sockets.open())
          if (edge.isBlocked(socket.address, socket.principal.id)) socket.close('disconnected')
        streams.closeBlocked((ip, accountId) => edge.isBlocked(ip, accountId))
      },
    }),
  )
  limitDoors(guards.guard, { limits: operatorLimits, http, node: live.node })
  const probe = born.use(
    new DatabaseProbe({ connection: { ...address, application_name: keyring.announcement }, clock, log }),
  )
  const caches = {
    access_tokens: tokens.cache,
    caller_addresses: edge.callers.cache,
    data_keys: envelope.keyCache,
    ...connectionRoom.caches,
  }
  const health = born.use(
    new Health({
      log,
      clock,
      checks: healthChecks({
        database: { ask: () => probe.ask(), load: () => database.load, hears: () => database.hears },
        archive: () => readArchive(database),
        cache: { redis, together: () => limits.shared, own: caches },
        masterKeys: keyring,
        queue: turnWorker,
        realtime: {
          sockets: () => sockets.count,
          behind: () => [...sockets.open()].filter((socket) => socket.behind).length,
          streams: () => streams.count,
        },
        resting: () => connectionRoom.resting(),
        system: born.use(new SystemReadings()),
        dataDir,
        log,
      }),
    }),
  )
  born.use(
    new HealthAlerts({
      ...{ node, alerts, clock, log },
      parts: () =>
        http.phase === 'ready' ? { ...health.components('component'), ...health.components('system') } : {},
    }),
  )
  const readiness = new Readiness({ phase: () => http.phase, health })
  healthDoors(http, {
    health,
    readiness,
    mayKnow: (authorization) => isOperatorsToken(tokens, authorization),
    about: { node, version: packageJson.version, startedAt },
  })
  // Workers share one port of probes, which the process that started them answers.
  const probes =
    config.probePort === undefined || cluster.isWorker
      ? undefined
      : born.use(
          await ProbeListener.open({
            ...{ host: config.host, port: config.probePort, publicUrl: config.publicUrl, log },
            word: () => readiness.word,
            asked: () => readiness.asked(),
          }),
        )
  registerHealthMetrics(metrics, health)
  registerLimitMetrics(metrics, http, edge)
  const runtime = born.use(new RuntimeReadings())
  const turnLoad = async () => ({ ...(await turnWorker.backlog()), running: turnWorker.running })
  registerLiveMetrics(metrics, liveSources)
  registerRouteMetrics(metrics, http.traffic)
  runtime.register(metrics)
  database.traffic.register(metrics, () => database.load)
  providerTraffic.register(metrics)
  registerCacheMetrics(metrics, caches)
  registerTurnMetrics(metrics, { running: () => turnWorker.running })
  if (redis !== undefined) registerRedisMetrics(metrics, () => redis.connected)
  const history = born.use(
    new MetricHistory({
      database,
      clock,
      log,
      node,
      inFlight: () => http.traffic.inFlight(),
      read: historyReader({
        routes: http.traffic,
        runtime,
        database,
        providers: () => providerTraffic.providers(),
        publishing: publishTraffic,
        sockets: () => sockets.count,
        turns: turnLoad,
        log,
      }),
    }),
  )
  const objectives = born.use(new Objectives({ database, history, alerts, clock, log }))
  monitoringDoors(guards.guard, { history, objectives, alerts })
  metricsDoor(http, {
    text: overrides.scrape ?? (() => metrics.text()),
    tokens,
    scraperToken: config.metricsToken,
  })
  overrides.doors?.(guards, http)

  goOn()
  const alive = born.move()
  let drained: Promise<void> | undefined
  const drain: App['drain'] = ({ graceMs = 0, withinMs = config.stop.deadlineMs } = {}) => {
    drained ??= (async () => {
      const began = performance.now()
      // What comes from now on another process takes up; what runs has all the time there is to end here.
      turnWorker.retire()
      const looksAway = http.drain(graceMs)
      probes?.beat()
      await looksAway
      streams[Symbol.dispose]()
      await sockets.drain()
      http.allowClosing(Math.max(0, withinMs - (performance.now() - began) - afterRequestsMs))
    })()
    return drained
  }
  let disposed: Promise<void> | undefined
  return {
    get url() {
      return http.publicUrl
    },
    database,
    setupUrl: async () =>
      (await accounts.setupOpen()) ? `${publicUrl()}/setup#token=${setupToken.reveal()}` : undefined,
    async listen() {
      await health.start()
      try {
        await http.listen({ host: config.host, port: config.port })
      } catch (error) {
        throw portError(error, config.host, config.port)
      }
      if (sandbox !== undefined && (config.sandbox === 'on' || sandboxWasUsed(sandbox))) await sandbox.open()
      http.takeTraffic()
    },
    get word() {
      return readiness.word
    },
    get watched() {
      return readiness.watched
    },
    drain,
    metrics: () => metrics.text(),
    crashed: (thrown) => failures.note({ door: 'process', place: 'crash', error: asAtomError(thrown) }),
    unfinished: () => ({
      requests: http.underWay,
      streams: streams.count,
      sockets: sockets.count,
      turns: turnWorker.running,
    }),
    get cut() {
      return http.cut
    },
    [Symbol.asyncDispose]() {
      disposed ??= drain().then(() => alive.disposeAsync())
      return disposed
    },
  }
}

/** What is left for turns, sessions and files once no request is under way any more. */
const afterRequestsMs = 4_000
/** What is left for requests and all that, once no socket is left. */
const afterSocketsMs = 8_000

/** Sockets are moved within what grace and requests leave of the deadline. */
function drainPlan({ graceMs, deadlineMs }: Config['stop']): Partial<DrainPlan> {
  const forSockets = Math.max(1_000, deadlineMs - graceMs - afterSocketsMs)
  return {
    deadlineMs: Math.min(defaultDrain.deadlineMs, forSockets),
    graceMs: Math.min(defaultDrain.graceMs, forSockets / 2),
  }
}

/** Spans and metrics to the collector of the configuration; its packages are loaded here and nowhere else. */
async function openTracing(config: TelemetryConfig, metrics: Metrics, log: Log): Promise<Tracing> {
  const { OtlpExport } = await import('#foundation/telemetry/otlp-export.ts')
  const headers = pairsOf('OTEL_EXPORTER_OTLP_HEADERS', config.headers?.reveal() ?? '')
  return new Tracing({ maker: new OtlpExport({ ...config, headers }, metrics, log), ratio: config.ratio })
}

/** Who speaks where the server itself has something to say. */
const systemActor = '0199e000-0000-7000-8000-0000000a703a'

/** Sessions that one process takes: its pool, the two that listen, the one that asks how the database is, and one to spare. */
const sessionsPerProcess = poolSize + 4

/**
 * The database of the configuration, migrated; what has to be closed again goes onto `born`. `processes`: so many will use it,
 * for which the embedded PostgreSQL takes enough sessions.
 */
export async function openAtomDatabase(
  config: Config,
  {
    log,
    born,
    sessionName,
    processes = 1,
    goOn = () => undefined,
  }: {
    log: Log
    born: AsyncDisposableStack
    sessionName?: string
    processes?: number
    /** Throws where nobody wants it any more. */
    goOn?: () => void
  },
): Promise<{ database: Database; address: DatabaseAddress; applied: readonly string[] }> {
  const sessions = String(Math.max(60, (processes + 1) * sessionsPerProcess))
  const address: DatabaseAddress =
    config.databaseUrl === undefined
      ? born.use(
          await startEmbedded({ dataDir: config.dataDir, log, settings: { max_connections: sessions } }),
        ).connection
      : { connectionString: config.databaseUrl.reveal() }
  goOn()
  const connection = { ...address, ...(sessionName !== undefined && { application_name: sessionName }) }
  const database = born.use(await openDatabase({ connection, poolSize, log }))
  goOn()
  const { applied } = await migrate(database, { directory: migrationsFolder, log })
  return { database, address, applied }
}

function sandboxOf(
  config: Config,
  { log, publicUrl, born }: { log: Log; publicUrl: () => string; born: AsyncDisposableStack },
): LocalSandbox | undefined {
  if (config.sandbox === 'off') return undefined
  return born.use(
    new LocalSandbox({
      dataDir: config.dataDir,
      log,
      redirectUris: () => sandboxProviders.map((id) => `${publicUrl()}/v1/oauth/callback/${id}`),
    }),
  )
}

function sandboxWasUsed(sandbox: object): boolean {
  return sandbox instanceof LocalSandbox && existsSync(sandbox.file)
}
