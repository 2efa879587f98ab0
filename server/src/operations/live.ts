import type { LiveHistory as History, LiveRoom, LiveSummary, OpenSocket } from '@atom/contract/operations.ts'
import type { CloseReason } from '@atom/contract/socket.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { LiveHistory, rounded } from './live-history.ts'
import type { LiveSources, RoomHere, SocketHere } from './live-sources.ts'

export interface LiveOptions {
  /** How this process is called. */
  readonly node: string
  readonly sources: LiveSources
  /** Rooms of the caller's workspace by id, with their names where the caller is in them; others are absent. */
  readonly roomNames: (
    principal: AccountPrincipal,
    roomIds: readonly string[],
  ) => Promise<ReadonlyMap<string, string | null>>
  readonly clock: Clock
  readonly log: Log
}

interface Place {
  readonly rank: number
  readonly since: number
  readonly id: string
}

const states = ['behind', 'crowded', 'live'] as const
/** How often the positions of rooms are remembered, of which two lie behind a rate. */
const markMs = 5_000

/** The live side of this process, for an operator: what it does, who is connected, and the ways to send somebody away. */
export class Live implements Disposable {
  readonly node: string
  readonly #sources: LiveSources
  readonly #roomNames: LiveOptions['roomNames']
  readonly #clock: Clock
  readonly #log: Log
  readonly #history: LiveHistory
  readonly #marker: NodeJS.Timeout
  #older = new Map<string, number>()
  #newer = new Map<string, number>()
  #olderAt = performance.now()
  #newerAt = performance.now()

  constructor(options: LiveOptions) {
    this.node = options.node
    this.#sources = options.sources
    this.#roomNames = options.roomNames
    this.#clock = options.clock
    this.#log = options.log
    this.#history = new LiveHistory(options)
    this.#marker = setInterval(() => this.#mark(), markMs)
    this.#marker.unref()
  }

  summary(): LiveSummary {
    const { sockets, publishCounts } = this.#sources
    const people = new Set<string>()
    let crowded = 0
    let behind = 0
    let unsentBytes = 0
    for (const socket of sockets.open()) {
      people.add(socket.principal.id)
      unsentBytes += socket.unsent
      if (socket.behind) behind++
      else if (socket.crowded) crowded++
    }
    let rooms = 0
    for (const _ of sockets.rooms()) rooms++
    const { p50, p99 } = publishCounts.acknowledged.lastMinute()
    return {
      node: this.node,
      sockets: sockets.count,
      people: people.size,
      rooms,
      crowded,
      behind,
      unsentBytes,
      published: this.#history.rate('published'),
      acknowledgedP50Ms: p50 === undefined ? null : rounded(p50),
      acknowledgedP99Ms: p99 === undefined ? null : rounded(p99),
      lanes: this.#sources.lanes().map(({ rows, bytes }) => ({ rows, bytes })),
      handshakes: this.#history.rate('handshakes'),
      returned: this.#history.rate('returned'),
      spreadMs: sockets.spreadMs,
      moving: sockets.moving,
    }
  }

  /** Those of the caller's workspace. Throws `validation_failed` for a cursor that is none. */
  list(
    principal: AccountPrincipal,
    filter: {
      readonly q?: string | undefined
      readonly state?: OpenSocket['state'] | 'slow' | undefined
      readonly cursor?: string | undefined
      readonly limit?: number | undefined
    },
  ): { items: OpenSocket[]; next: string | null } {
    const { state, limit = 50 } = filter
    const sought = filter.q?.trim().toLowerCase() ?? ''
    const after = filter.cursor === undefined ? undefined : placeOf(filter.cursor)
    const found: { socket: SocketHere; place: Place }[] = []
    for (const socket of this.#sources.sockets.open()) {
      if (socket.principal.workspaceId !== principal.workspaceId) continue
      if (state !== undefined && !isIn(stateOf(socket), state)) continue
      if (sought !== '' && !matches(socket, sought)) continue
      const place = { rank: states.indexOf(stateOf(socket)), since: socket.since.getTime(), id: socket.id }
      if (after === undefined || compare(place, after) > 0) found.push({ socket, place })
    }
    found.sort((one, other) => compare(one.place, other.place))
    const page = found.slice(0, limit)
    const last = page.at(-1)
    return {
      items: page.map(({ socket }) => told(socket)),
      next: found.length > limit && last !== undefined ? cursorOf(last.place) : null,
    }
  }

  /** The busiest first, then the most followed; those of the caller's workspace. */
  async rooms(principal: AccountPrincipal, limit = 20): Promise<LiveRoom[]> {
    const now = performance.now()
    const rated = [...this.#sources.sockets.rooms()].map((room) => ({
      room,
      perSecond: this.#rate(room, now),
    }))
    rated.sort((one, other) => other.perSecond - one.perSecond || other.room.followers - one.room.followers)
    // Rooms of other workspaces fall out afterwards, so a few more are looked at.
    const looked = rated.slice(0, limit * 5)
    const names = await this.#roomNames(
      principal,
      looked.map(({ room }) => room.id),
    )
    return looked
      .flatMap(({ room, perSecond }) => {
        const name = names.get(room.id)
        return name === undefined ? [] : [{ roomId: room.id, name, followers: room.followers, perSecond }]
      })
      .slice(0, limit)
  }

  /** Samples of the last `minutes`, or after `after`, whichever is later. */
  history({
    minutes = 15,
    after = 0,
  }: {
    minutes?: number | undefined
    after?: number | undefined
  }): History {
    const from = this.#clock.now().getTime() - minutes * 60_000
    return { node: this.node, ...this.#history.since(Math.max(from, after)) }
  }

  /** Throws `not_found`: it is gone already, another process's, or another workspace's. */
  disconnect(principal: AccountPrincipal, socketId: string, comeBack: boolean): void {
    const found = [...this.#sources.sockets.open()].find((socket) => socket.id === socketId)
    if (found === undefined || found.principal.workspaceId !== principal.workspaceId) {
      throw new AtomError('not_found', 'There is no such socket on this process. It may have closed already.')
    }
    const reason: CloseReason = comeBack ? 'moved' : 'disconnected'
    this.#log.info(
      { operatorId: principal.id, socketId, accountId: found.principal.id, reason },
      'an operator closed a socket',
    )
    found.close(reason)
  }

  /**
   * Moves every socket that is open now, in waves at a rate that servers take well; each serves until its client has another one,
   * here or elsewhere. Throws `validation_failed` where `confirm` is not this process.
   */
  drain(principal: AccountPrincipal, confirm: string): { moving: number; withinMs: number } {
    if (confirm !== this.node) {
      throw new AtomError('validation_failed', `This process is ${this.node}. Nothing was moved.`)
    }
    const { sockets, withinMs } = this.#sources.sockets.moveAll()
    this.#log.warn({ operatorId: principal.id, sockets, withinMs }, 'an operator moves all sockets')
    return { moving: sockets, withinMs }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#marker)
    this.#history[Symbol.dispose]()
  }

  #rate({ id, position }: RoomHere, now: number): number {
    const before = this.#older.get(id)
    if (before === undefined || before === 0) return 0
    return rounded((position - before) / Math.max(1, (now - this.#olderAt) / 1_000))
  }

  #mark(): void {
    this.#older = this.#newer
    this.#olderAt = this.#newerAt
    this.#newer = new Map()
    for (const { id, position } of this.#sources.sockets.rooms()) this.#newer.set(id, position)
    this.#newerAt = performance.now()
  }
}

function stateOf(socket: SocketHere): OpenSocket['state'] {
  if (socket.behind) return 'behind'
  return socket.crowded ? 'crowded' : 'live'
}

function isIn(state: OpenSocket['state'], asked: OpenSocket['state'] | 'slow'): boolean {
  return asked === 'slow' ? state !== 'live' : state === asked
}

function matches(socket: SocketHere, sought: string): boolean {
  const { id, deviceId, principal } = socket
  return (
    principal.name.toLowerCase().includes(sought) ||
    deviceId.toLowerCase().includes(sought) ||
    id.toLowerCase() === sought ||
    principal.id === sought
  )
}

function told(socket: SocketHere): OpenSocket {
  const { id, principal, deviceId, address, since, heardAt, followers, unsent } = socket
  return {
    id,
    account: { id: principal.id, name: principal.name },
    deviceId,
    address,
    since: since.toISOString(),
    lastFrameAt: heardAt.toISOString(),
    rooms: followers.size,
    unsentBytes: unsent,
    state: stateOf(socket),
  }
}

/** Slow readers first, then the newest. */
function compare(one: Place, other: Place): number {
  return (
    one.rank - other.rank || other.since - one.since || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0)
  )
}

function cursorOf({ rank, since, id }: Place): string {
  return Buffer.from(`${rank} ${since} ${id}`).toString('base64url')
}

function placeOf(cursor: string): Place {
  const [, rank, since, id] =
    /^([0-2]) (\d{1,15}) ([\w-]+)$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (rank === undefined || since === undefined || id === undefined) {
    throw new AtomError('validation_failed', 'The cursor is not one of ours. Leave it out to start over.')
  }
  return { rank: Number(rank), since: Number(since), id }
}
