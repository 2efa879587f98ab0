import type { Connection } from '@atom/contract/connections.ts'
import type { RoomEvent, RoomEventType } from '@atom/contract/rooms.ts'
import type { RoomSignal } from '@atom/contract/socket.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import { Agents } from '#agents/agents.ts'
import { Approvals } from '#agents/approvals.ts'
import { Dispatcher } from '#agents/dispatcher.ts'
import { Drafts } from '#agents/drafts.ts'
import type { Model } from '#agents/models/model.ts'
import { githubTools } from '#agents/tools/github-tools.ts'
import type { Tool } from '#agents/tools/tool.ts'
import type { Checkpoint, TurnDependencies, TurnLimits } from '#agents/turn.ts'
import { TurnWorker } from '#agents/turn-worker.ts'
import { Turns } from '#agents/turns.ts'
import type { ProxyRequest } from '#connections/proxy/connection-proxy.ts'
import { systemClock } from '#foundation/clock.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import { Messages } from '#rooms/messages.ts'
import { Rooms } from '#rooms/rooms.ts'
import { Timeline } from '#rooms/timeline.ts'
import { testLog } from './postgres.ts'
import { until } from './until.ts'

export interface AgentHouseOptions {
  readonly database: Database
  /** Where the provider's API is; or the way to it. */
  readonly providerUrl: string
  readonly proxy?: TurnDependencies['proxy']
  readonly models: readonly [Model, ...Model[]]
  readonly tools?: readonly Tool[]
  readonly limits?: Partial<TurnLimits>
  readonly checkpoint?: (name: Checkpoint, turnId: string) => Promise<void>
  /** `false`: nothing reads the rooms and nothing runs turns. */
  readonly working?: boolean
  readonly leaseMs?: number
  /** How long the dispatcher leaves to another process what that has written. */
  readonly patienceMs?: number
  readonly connectionsOf?: TurnDependencies['connectionsOf']
  readonly failures?: TurnDependencies['failures']
}

export interface Cast {
  readonly workspaceId: string
  readonly person: AccountPrincipal
  readonly agent: { readonly id: string; readonly name: string }
  readonly roomId: string
}

/** One process of an installation, as far as rooms and agents go: everything real but the way to the provider. */
export class AgentHouse implements AsyncDisposable {
  readonly database: Database
  readonly timeline: Timeline
  readonly rooms: Rooms
  readonly messages: Messages
  readonly agents: Agents
  readonly approvals: Approvals
  readonly turns: Turns
  readonly drafts: Drafts
  readonly signals: RoomSignal[] = []
  readonly #parts = new AsyncDisposableStack()

  private constructor(options: AgentHouseOptions, timeline: Timeline) {
    const { database } = options
    const tools = options.tools ?? githubTools
    this.database = database
    this.timeline = this.#parts.use(timeline)
    this.agents = new Agents({ database, model: options.models[0].name })
    this.rooms = new Rooms({
      database,
      timeline,
      directory: { find: async () => ({ name: 'Somebody' }) },
      // Nobody here has a socket.
      news: { tell: () => undefined },
    })
    this.messages = this.#parts.use(new Messages({ database, timeline, log: testLog }))
    this.approvals = new Approvals({ database, timeline, tools })
    this.turns = new Turns({ database, timeline, rooms: this.rooms, approvals: this.approvals })
    this.drafts = new Drafts({ tell: (signal) => void this.signals.push(signal), coalesceMs: 5 })
  }

  static async open(options: AgentHouseOptions): Promise<AgentHouse> {
    const { database, models } = options
    const timeline = await Timeline.open({ database, log: testLog, recheckMs: 100 })
    const house = new AgentHouse(options, timeline)
    if (options.working === false) return house
    const worker = await TurnWorker.start({
      database,
      timeline,
      approvals: house.approvals,
      drafts: house.drafts,
      proxy: options.proxy ?? {
        request: (_principal, _id, request) => direct(options.providerUrl, request),
      },
      connectionsOf: options.connectionsOf ?? (async (_workspace, owner) => [githubConnection(owner)]),
      providerName: (provider) => ({ github: 'GitHub', google: 'Google' })[provider] ?? provider,
      tools: options.tools ?? githubTools,
      models,
      clock: systemClock,
      log: testLog,
      limits: { verifyEveryMs: 20, settleMs: 100, ...options.limits },
      ...(options.checkpoint && { checkpoint: options.checkpoint }),
      ...(options.failures && { failures: options.failures }),
      leaseMs: options.leaseMs ?? 2_000,
      pollMs: 25,
      graceMs: 500,
    })
    house.#parts.use(worker)
    const dispatcher = await Dispatcher.start({
      database,
      timeline,
      rooms: house.rooms,
      model: models[0].name,
      log: testLog,
      ...(options.patienceMs !== undefined && { patienceMs: options.patienceMs }),
    })
    house.#parts.use(dispatcher)
    return house
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync()
  }

  /** A person in a room of their own with the agent. */
  async cast(person: AccountPrincipal = personIn(newId())): Promise<Cast> {
    const { workspaceId } = person
    return await this.database.transaction(async (tx) => {
      const agent = await this.agents.createDefault(tx, workspaceId)
      const room = await this.rooms.create(tx, {
        workspaceId,
        name: 'Room',
        members: [
          { kind: 'account', id: person.id, name: person.name },
          { kind: 'agent', id: agent.id, name: agent.name },
        ],
        createdBy: person.id,
      })
      return { workspaceId, person, agent, roomId: room.id }
    })
  }

  async say(cast: Cast, text: string): Promise<{ seq: number }> {
    return await this.messages.send(cast.person, cast.roomId, { clientId: newId(), text })
  }

  async events(roomId: string): Promise<RoomEvent[]> {
    return (await this.timeline.since(roomId, 0)).events
  }

  async all<T extends RoomEventType>(roomId: string, type: T): Promise<Extract<RoomEvent, { type: T }>[]> {
    const events = await this.events(roomId)
    return events.filter((event): event is Extract<RoomEvent, { type: T }> => event.type === type)
  }

  /** The nth event of this type, when it is there. */
  async nth<T extends RoomEventType>(
    roomId: string,
    type: T,
    n = 1,
  ): Promise<Extract<RoomEvent, { type: T }>> {
    let found: Extract<RoomEvent, { type: T }> | undefined
    await until(async () => {
      found = (await this.all(roomId, type))[n - 1]
      return found !== undefined
    })
    if (found === undefined) throw new Error('until() ended early')
    return found
  }

  async decide(cast: Cast, decision: 'approve' | 'deny', edits?: Record<string, string>) {
    const { approval } = await this.nth(cast.roomId, 'approval.requested')
    return await this.approvals.decide(cast.person, approval.id, { decision, ...(edits && { edits }) })
  }
}

export function personIn(workspaceId: string, name = 'Ada'): AccountPrincipal {
  return { kind: 'account', id: newId(), workspaceId, role: 'member', sessionId: newId(), name }
}

export function githubConnection(ownerId: string, changes: Partial<Connection> = {}): Connection {
  return {
    id: ownerId,
    provider: 'github',
    flow: 'authorization_code',
    status: 'active',
    identity: { id: '1', name: 'Ada Lovelace', handle: 'ada' },
    askedScopes: ['repo'],
    scopes: ['repo'],
    missingScopes: [],
    sandbox: true,
    ownerId,
    expiresAt: null,
    credentials: [{ slot: 'main', expiresAt: null, refreshExpiresAt: null }],
    connectedAt: new Date().toISOString(),
    lastUsedAt: null,
    ...changes,
  }
}

/** The provider's answer, without what the connection proxy adds. */
async function direct(base: string, request: ProxyRequest) {
  try {
    const answer = await fetch(`${base}${request.path}`, {
      method: request.method,
      headers: { 'content-type': String(request.headers?.['content-type'] ?? 'application/json') },
      ...(request.body !== undefined && { body: String(request.body) }),
      ...(request.signal && { signal: request.signal }),
    })
    return { status: answer.status, headers: answer.headers, body: answer.body }
  } catch (error) {
    throw new AtomError('provider_unavailable', undefined, { cause: error })
  }
}
