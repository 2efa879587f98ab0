import { type EventPage, limits, type Member, type RoomEvent } from '@atom/contract/rooms.ts'
import type { AgentPrincipal } from '#access/principal.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { derivedId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Rooms } from '#rooms/rooms.ts'
import type { RoomNews, Timeline } from '#rooms/timeline.ts'
import * as store from './agent-store.ts'

export interface DispatcherDependencies {
  readonly database: Database
  readonly timeline: Timeline
  readonly rooms: Pick<Rooms, 'list' | 'get' | 'agentsIn'>
  /** What answers, as `turn.started` will name it. */
  readonly model: string
  readonly log: Log
  /** How long what another process wrote is left to that process, before this one looks whether it was read. */
  readonly patienceMs?: number
  /** The kept trace in which somebody said something, by `room actor clientId`; none where absent. */
  readonly traceOf?: (key: string) => string | undefined
}

/** Rooms whose agents are remembered. */
const remembered = 10_000

/**
 * A reader of the timeline: every message of a person that is for an agent makes one turn of that agent, whatever is
 * read twice, missed, or cut off in between. How far an agent has read is a row, moved in the transaction that makes the
 * turns; a turn's id is derived from room, seq and agent.
 */
export class Dispatcher implements AsyncDisposable {
  readonly #with: DispatcherDependencies
  readonly #release = new DisposableStack()
  /** Rooms that are being read, and whether there is more to read. */
  readonly #reading = new Map<string, { again: boolean }>()
  readonly #members = new Map<string, readonly store.AgentRow[]>()
  /** Rooms in which another process has written, and up to where. */
  readonly #elsewhere = new Map<string, { head: number }>()
  #waiting: NodeJS.Timeout | undefined
  #checking: Promise<void> | undefined
  #ended = false

  private constructor(dependencies: DispatcherDependencies) {
    this.#with = dependencies
  }

  /** Resolves when everything that was said while nobody listened has its turns. */
  static async start(dependencies: DispatcherDependencies): Promise<Dispatcher> {
    const dispatcher = new Dispatcher(dependencies)
    const subscription = dependencies.timeline.subscribe(
      (news) => dispatcher.#heard(news),
      () => dispatcher.#recheck(),
    )
    dispatcher.#release.use(subscription)
    dispatcher.#release.defer(() => clearTimeout(dispatcher.#waiting))
    await dispatcher.#catchUp({ everything: true })
    return dispatcher
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    this.#release.dispose()
    await this.#checking
  }

  #heard(news: RoomNews): void {
    if (news.events?.some(movesAgents) ?? false) this.#members.delete(news.roomId)
    if (news.ended === true) return
    if (news.echo === true) {
      this.#writtenElsewhere(news.roomId, news.head)
      return
    }
    // An agent's own events are skipped without a look; the cursor passes them with the next message.
    if (news.events !== undefined && !news.events.some(concerns)) return
    void this.#read(news.roomId)
  }

  /** For every commit of every other process, so the room is looked up once. */
  #writtenElsewhere(roomId: string, head: number): void {
    const known = this.#elsewhere.get(roomId)
    if (known === undefined) this.#elsewhere.set(roomId, { head })
    else if (head > known.head) known.head = head
    this.#waiting ??= setTimeout(() => void this.#takeUp(), this.#with.patienceMs ?? 1_000)
  }

  /**
   * Who wrote it has read it by now, unless it died in between: two queries at most for all rooms say which. So a message
   * costs the other processes next to nothing, and none is left lying.
   */
  async #takeUp(): Promise<void> {
    this.#waiting = undefined
    const heads = new Map(this.#elsewhere)
    this.#elsewhere.clear()
    try {
      const readers = await this.#with.rooms.agentsIn([...heads.keys()])
      // As in most rooms of most seconds.
      if (readers.length === 0) return
      const standings = await store.standings(this.#with.database, readers)
      const read = new Map(standings.map(({ agentId, roomId, seq }) => [`${agentId} ${roomId}`, seq]))
      const behind = readers.filter(
        ({ agentId, roomId }) => (read.get(`${agentId} ${roomId}`) ?? 0) < (heads.get(roomId)?.head ?? 0),
      )
      for (const roomId of new Set(behind.map((reader) => reader.roomId))) {
        // The agent may have come by way of the other process as well.
        this.#members.delete(roomId)
        await this.#read(roomId)
      }
    } catch (error) {
      this.#log(error, 'rooms of other processes could not be looked at')
      // Nobody will speak of these rooms again.
      if (this.#ended) return
      for (const [roomId, { head }] of heads) this.#writtenElsewhere(roomId, head)
    }
  }

  #recheck(): void {
    this.#members.clear()
    this.#checking ??= this.#catchUp({ everything: false })
      .catch((error) => this.#log(error, 'rooms could not be checked for new messages'))
      .finally(() => {
        this.#checking = undefined
      })
  }

  /** Rooms come newest first, so the first page without anything new ends the search, unless `everything` is asked for. */
  async #catchUp({ everything }: { everything: boolean }): Promise<void> {
    for (const agent of await store.allAgents(this.#with.database)) {
      for (let cursor: string | undefined; !this.#ended; ) {
        const page = await this.#with.rooms.list(principalOf(agent), { cursor, limit: 100 })
        const cursors = await store.cursorsOf(
          this.#with.database,
          agent.id,
          page.items.map((room) => room.id),
        )
        const behind = page.items.filter((room) => room.head > (cursors.get(room.id) ?? 0))
        for (const room of behind) await this.#read(room.id)
        if (page.next === null || (!everything && behind.length === 0)) break
        cursor = page.next
      }
    }
  }

  /** Reads a room to its end; asked again meanwhile, it looks once more. Never rejects: what failed is found by a recheck. */
  async #read(roomId: string): Promise<void> {
    const reading = this.#reading.get(roomId)
    if (reading !== undefined) {
      reading.again = true
      return
    }
    const state = { again: true }
    this.#reading.set(roomId, state)
    try {
      while (state.again && !this.#ended) {
        state.again = false
        for (const agent of await this.#agentsIn(roomId)) {
          while (await this.#advance(agent, roomId)) if (this.#ended) break
        }
      }
    } catch (error) {
      this.#log(error, 'a room could not be read for its agents')
    } finally {
      this.#reading.delete(roomId)
    }
  }

  async #agentsIn(roomId: string): Promise<readonly store.AgentRow[]> {
    const known = this.#members.get(roomId)
    if (known !== undefined) return known
    const found: store.AgentRow[] = []
    for (const agent of await store.allAgents(this.#with.database)) {
      if ((await this.#joinedAt(agent, roomId)) !== undefined) found.push(agent)
    }
    if (this.#members.size >= remembered) this.#members.clear()
    this.#members.set(roomId, found)
    return found
  }

  /** Where the agent begins to listen: what was said before it came is not addressed to it. Undefined: it is not there. */
  async #joinedAt(agent: store.AgentRow, roomId: string): Promise<number | undefined> {
    try {
      return (await this.#with.rooms.get(principalOf(agent), roomId)).readSeq
    } catch (error) {
      if (error instanceof AtomError && (error.code === 'not_found' || error.code === 'not_a_member'))
        return undefined
      throw error
    }
  }

  /** One page. True: there is more. */
  async #advance(agent: store.AgentRow, roomId: string): Promise<boolean> {
    const known = (await store.cursorsOf(this.#with.database, agent.id, [roomId])).get(roomId)
    const initial = known ?? (await this.#joinedAt(agent, roomId))
    if (initial === undefined) return false
    const page = await this.#since(roomId, initial)
    const last = page.events.at(-1)
    if (last === undefined) return false
    const wanted = await this.#addressed(agent, roomId, page.events)
    await this.#with.database.transaction(async (tx) => {
      const cursor = await store.lockCursor(tx, agent, roomId, initial)
      let turnId: string | undefined
      for (const event of page.events) {
        // Another process may have read further meanwhile.
        if (event.seq <= cursor || !wanted.has(event.seq)) continue
        const id = derivedId('turn', roomId, String(event.seq), agent.id)
        const fresh = await store.insertTurn(tx, {
          id,
          workspaceId: agent.workspaceId,
          roomId,
          agentId: agent.id,
          messageId: derivedId('answer', id),
          triggerSeq: event.seq,
          onBehalfOf: event.actor.id,
          model: this.#with.model,
          traceparent:
            event.type === 'message.created'
              ? this.#with.traceOf?.(`${roomId} ${event.actor.id} ${event.clientId}`)
              : undefined,
        })
        if (fresh) turnId = id
      }
      await store.moveCursor(tx, agent.id, roomId, last.seq)
      if (turnId !== undefined) await store.notifyTurn(tx, turnId)
    })
    return page.more
  }

  /**
   * The `seq` of every message among these that is for the agent: alone with one person all of them; in company those that
   * name it or answer something that it said.
   */
  async #addressed(
    agent: store.AgentRow,
    roomId: string,
    events: readonly RoomEvent[],
  ): Promise<ReadonlySet<number>> {
    const asking = events.filter(asks)
    if (asking.length === 0) return new Set()
    const others = (await this.#membersOf(agent, roomId)).filter(({ id }) => id !== agent.id)
    const seqs = new Set<number>()
    for (const event of asking) {
      const isNamed = event.mentions?.includes(agent.id) ?? false
      if (others.length === 1 || isNamed || (await this.#answers(agent, roomId, event.replyTo))) {
        seqs.add(event.seq)
      }
    }
    return seqs
  }

  async #membersOf(agent: store.AgentRow, roomId: string): Promise<readonly Member[]> {
    try {
      return (await this.#with.rooms.get(principalOf(agent), roomId)).members
    } catch (error) {
      // It has left since: nothing there is for it any more.
      if (error instanceof AtomError && (error.code === 'not_found' || error.code === 'not_a_member'))
        return []
      throw error
    }
  }

  async #answers(agent: store.AgentRow, roomId: string, replyTo: number | undefined): Promise<boolean> {
    if (replyTo === undefined) return false
    const [answered] = (await this.#with.timeline.since(roomId, replyTo - 1, 1)).events
    return answered?.actor.id === agent.id
  }

  /** What is no longer kept cannot be answered: the agent goes on with the oldest event that is. */
  async #since(roomId: string, cursor: number): Promise<EventPage> {
    const { timeline } = this.#with
    const page = await timeline.since(roomId, cursor, limits.pageEvents)
    const { floor } = page
    if (floor - 1 <= cursor) return page
    return await timeline.since(roomId, floor - 1, limits.pageEvents)
  }

  #log(error: unknown, what: string): void {
    const passing = error instanceof AtomError && error.row.retryable
    this.#with.log[passing ? 'debug' : 'error']({ err: error }, what)
  }
}

function asks(event: RoomEvent): event is Extract<RoomEvent, { type: 'message.created' }> {
  return event.type === 'message.created' && event.actor.kind === 'account' && event.deletedAt === undefined
}

function movesAgents(event: RoomEvent): boolean {
  return (event.type === 'member.joined' || event.type === 'member.left') && event.member.kind === 'agent'
}

function concerns(event: RoomEvent): boolean {
  return asks(event) || movesAgents(event)
}

/** The agent itself, asking which rooms it is in: it acts for nobody here. */
function principalOf(agent: store.AgentRow): AgentPrincipal {
  return {
    kind: 'agent',
    id: agent.id,
    workspaceId: agent.workspaceId,
    onBehalfOf: agent.id,
    name: agent.name,
  }
}
