import { type Presence as PresenceOf, type ServerFrame, socketLimits } from '@atom/contract/socket.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Notes } from '#foundation/database/notes.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Rooms } from '#rooms/rooms.ts'
import type { RoomNews, Timeline } from '#rooms/timeline.ts'
import type { DeviceState } from './presence-store.ts'
import * as store from './presence-store.ts'

/** What presence needs of a socket. */
export interface Device {
  readonly accountId: string
  readonly principal: AccountPrincipal
  readonly closing: boolean
  emit(name: 'room.signal', signal: ServerFrame<'room.signal'>): void
}

export interface PresenceTimes {
  /** How often this process says that it lives, and for how long that counts. */
  readonly beatMs: number
  readonly leaseMs: number
  /** A person without any socket counts as present for this long. */
  readonly graceMs: number
  /** At most one diff of a room in this time. */
  readonly diffMs: number
}

export const defaultPresenceTimes: PresenceTimes = {
  beatMs: 10_000,
  leaseMs: 30_000,
  graceMs: socketLimits.presenceGraceMs,
  diffMs: 1_000,
}

export interface PresenceOptions {
  readonly database: Database
  readonly notes: Pick<Notes, 'self' | 'tell' | 'hear'>
  readonly timeline: Pick<Timeline, 'subscribe' | 'watch'>
  readonly rooms: Pick<Rooms, 'standings' | 'memberIds'>
  /** Agents that work on a turn in these rooms now. */
  readonly working: (
    roomIds: readonly string[],
  ) => Promise<readonly { readonly roomId: string; readonly agentId: string }[]>
  readonly log: Log
  readonly times?: PresenceTimes
}

type State = PresenceOf['state']

interface PersonHere {
  readonly devices: Map<Device, DeviceState>
  leaving: NodeJS.Timeout | undefined
  /** As the others were told. */
  state: DeviceState | undefined
}

/** A person at another node; `version` orders what was heard and what was read. */
interface PersonThere {
  readonly state: DeviceState | undefined
  readonly version: number
}

interface WatchedRoom {
  readonly id: string
  /** What says that somebody came, went, or works there. */
  readonly news: Disposable
  readonly watchers: Set<Device>
  members: ReadonlySet<string>
  working: ReadonlySet<string>
  /** As the watchers know it. */
  told: Map<string, State>
  /** Who is in it, or who works in it, has to be read again. */
  stale: boolean
  loaded: Promise<void>
  timer: NodeJS.Timeout | undefined
  toldAt: number
}

interface Changes {
  readonly people: readonly { readonly id: string; readonly state: DeviceState | null }[]
}

/** In larger rooms somebody comes or goes all the time: their diffs are gathered for longer. */
const largeRoom = 200
const largeRoomFactor = 5
/** People who come or go within this time are written together. */
const writeMs = 100
const retryMs = 1_000
const perNote = 80

/**
 * Who is there: told for rooms that somebody watches, and for no others. Where a person's sockets are is a row per person and
 * node, which counts while the node's lease holds: a process that is killed takes its people with it, and no socket costs a
 * write of its own while it is quiet.
 */
export class Presence implements AsyncDisposable {
  readonly #with: PresenceOptions
  readonly #times: PresenceTimes
  readonly #here = new Map<string, PersonHere>()
  /** People in watched rooms, by node. */
  readonly #there = new Map<string, Map<string, PersonThere>>()
  readonly #rooms = new Map<string, WatchedRoom>()
  /** Which watched rooms a member is in. */
  readonly #roomsOf = new Map<string, Set<WatchedRoom>>()
  readonly #watching = new Map<Device, Set<WatchedRoom>>()
  /** Each device's last wish, until it is met: the next one replaces it, so it comes after it. */
  readonly #wishes = new WeakMap<Device, Promise<void>>()
  readonly #unwritten = new Set<string>()
  readonly #release = new AsyncDisposableStack()
  #version = 0
  #writing: NodeJS.Timeout | undefined
  #written: Promise<void> | undefined
  #check: NodeJS.Timeout | undefined
  #ended = false

  private constructor(options: PresenceOptions) {
    this.#with = options
    this.#times = options.times ?? defaultPresenceTimes
  }

  /** Resolves once this node is known to the others. */
  static async open(options: PresenceOptions): Promise<Presence> {
    const presence = new Presence(options)
    const { notes, timeline } = options
    presence.#release.use(
      notes.hear(
        'presence',
        (body, from) => presence.#heard((body as Changes).people, from),
        () => presence.#readAgain(),
      ),
    )
    // Somebody ends: its lease is shorter than was believed.
    presence.#release.use(notes.hear('presence.ending', () => void presence.#look()))
    presence.#release.use(timeline.subscribe((news) => presence.#news(news), undefined, 'followed'))
    await presence.#beat()
    const beat = setInterval(() => void presence.#beat(), presence.#times.beatMs)
    beat.unref()
    presence.#release.defer(() => clearInterval(beat))
    return presence
  }

  arrived(device: Device): void {
    const person = this.#here.get(device.accountId) ?? {
      devices: new Map(),
      leaving: undefined,
      state: undefined,
    }
    this.#here.set(device.accountId, person)
    clearTimeout(person.leaving)
    person.leaving = undefined
    person.devices.set(device, 'active')
    // What the others are at does not matter any more.
    this.#stand(device.accountId, person, 'active')
  }

  left(device: Device): void {
    this.#unwatch(device)
    const person = this.#here.get(device.accountId)
    if (person === undefined || !person.devices.delete(device)) return
    if (person.devices.size > 0) {
      this.#settle(device.accountId, person)
      return
    }
    person.leaving ??= setTimeout(() => {
      this.#here.delete(device.accountId)
      this.#changed(device.accountId)
    }, this.#times.graceMs)
    person.leaving.unref()
  }

  set(device: Device, state: DeviceState): void {
    const person = this.#here.get(device.accountId)
    if (person === undefined || !person.devices.has(device)) return
    person.devices.set(device, state)
    this.#settle(device.accountId, person)
  }

  /** Replaces what the device watched. Rooms that its person is not in are left out of the answer. */
  async watch(device: Device, roomIds: readonly string[]): Promise<Record<string, PresenceOf[]>> {
    const before = this.#wishes.get(device)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wishes.set(device, promise)
    await before
    try {
      return await this.#watchInstead(device, roomIds)
    } finally {
      resolve()
    }
  }

  async #watchInstead(device: Device, roomIds: readonly string[]): Promise<Record<string, PresenceOf[]>> {
    const standings = await this.#with.rooms.standings(device.principal, roomIds)
    const mine = [...standings].flatMap(([id, standing]) => (standing instanceof AtomError ? [] : [id]))
    const before = this.#watching.get(device) ?? new Set()
    const wanted = new Set<WatchedRoom>()
    if (device.closing) return {}
    for (const id of mine) {
      const room = this.#rooms.get(id) ?? this.#begin(id)
      room.watchers.add(device)
      wanted.add(room)
    }
    this.#watching.set(device, wanted)
    for (const room of before) if (!wanted.has(room)) this.#leave(device, room)
    await Promise.all([...wanted].map((room) => room.loaded))
    return Object.fromEntries(
      [...wanted].map((room) => [room.id, [...this.#standing(room)].map(([id, state]) => ({ id, state }))]),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    await this.#release.disposeAsync()
    clearTimeout(this.#check)
    clearTimeout(this.#writing)
    for (const room of this.#rooms.values()) clearTimeout(room.timer)
    for (const person of this.#here.values()) clearTimeout(person.leaving)
    await this.#written
    const { database, notes, log } = this.#with
    const { leaseMs, graceMs } = this.#times
    try {
      await store.endBeat(database, notes.self, { leaseMs, leftMs: graceMs })
      notes.tell('presence.ending', {})
    } catch (error) {
      log.debug({ err: error }, 'the end of this node was not told; its lease will end')
    }
  }

  // People here

  #settle(accountId: string, person: PersonHere): void {
    this.#stand(accountId, person, [...person.devices.values()].includes('active') ? 'active' : 'away')
  }

  #stand(accountId: string, person: PersonHere, state: DeviceState): void {
    if (person.state === state) return
    person.state = state
    this.#changed(accountId)
  }

  #changed(accountId: string): void {
    this.#unwritten.add(accountId)
    this.#writing ??= setTimeout(() => void this.#write(), writeMs)
    this.#touch(accountId)
  }

  /** Never rejects, and never runs twice at once: the last state of a person has to be the last one written. */
  async #write(): Promise<void> {
    await this.#written
    const { database, notes, log } = this.#with
    const ids = [...this.#unwritten]
    this.#unwritten.clear()
    this.#writing = undefined
    if (ids.length === 0) return
    const work = async () => {
      const people = ids.map((id) => ({ id, state: this.#here.get(id)?.state }))
      try {
        await store.write(database, notes.self, people)
        for (let at = 0; at < people.length; at += perNote) {
          const some = people.slice(at, at + perNote).map(({ id, state }) => ({ id, state: state ?? null }))
          notes.tell('presence', { people: some } satisfies Changes)
        }
      } catch (error) {
        log.debug({ err: error, people: ids.length }, 'who is here could not be written; trying again')
        for (const id of ids) this.#unwritten.add(id)
        if (!this.#ended) {
          // The database may have forgotten this node.
          await this.#beat()
          this.#writing ??= setTimeout(() => void this.#write(), retryMs)
        }
      }
    }
    this.#written = work()
    await this.#written
    this.#written = undefined
  }

  // Other nodes

  /** Ids of the nodes whose lease holds, this one among them. */
  async nodes(): Promise<readonly string[]> {
    const nodes = await store.living(this.#with.database, this.#times.leaseMs)
    return nodes.map(({ id }) => id)
  }

  async #beat(): Promise<void> {
    const { database, notes, log } = this.#with
    try {
      if (await store.beat(database, notes.self)) for (const id of this.#here.keys()) this.#changed(id)
    } catch (error) {
      log.debug({ err: error }, 'a beat of this node failed')
    }
    await this.#look()
  }

  /** Forgets people of nodes that are gone, and looks again when the next lease would end. */
  async #look(): Promise<void> {
    const { database, log } = this.#with
    try {
      const nodes = await store.living(database, this.#times.leaseMs)
      const alive = new Set(nodes.map(({ id }) => id))
      for (const [accountId, there] of this.#there) {
        for (const nodeId of there.keys()) {
          if (alive.has(nodeId)) continue
          there.delete(nodeId)
          this.#touch(accountId)
        }
      }
      const soonest = Math.min(...nodes.map(({ leftMs }) => leftMs))
      clearTimeout(this.#check)
      if (!this.#ended && soonest < this.#times.beatMs) {
        this.#check = setTimeout(() => void this.#look(), Math.max(0, soonest) + 10)
        this.#check.unref()
      }
    } catch (error) {
      log.debug({ err: error }, 'the other nodes could not be looked for')
    }
  }

  #heard(people: Changes['people'], from: string): void {
    for (const { id, state } of people) {
      const there = this.#there.get(id)
      if (there === undefined) continue
      there.set(from, { state: state ?? undefined, version: ++this.#version })
      this.#touch(id)
    }
  }

  /** Notes were lost: everything of interest is read anew. */
  #readAgain(): void {
    for (const room of this.#rooms.values()) this.#again(room)
  }

  // Rooms that are watched

  #begin(id: string): WatchedRoom {
    const room: WatchedRoom = {
      id,
      news: this.#with.timeline.watch(id),
      watchers: new Set(),
      members: new Set(),
      working: new Set(),
      told: new Map(),
      stale: true,
      loaded: Promise.resolve(),
      timer: undefined,
      toldAt: 0,
    }
    this.#rooms.set(id, room)
    room.loaded = this.#load(room).then(() => {
      room.told = this.#standing(room)
    })
    // Whoever watches hears of it; with several of them it is said once.
    room.loaded.catch(() => this.#end(room))
    return room
  }

  async #load(room: WatchedRoom): Promise<void> {
    const { database, notes, rooms, working } = this.#with
    const at = this.#version
    room.stale = false
    try {
      const [members, agents] = await Promise.all([rooms.memberIds([room.id]), working([room.id])])
      if (this.#rooms.get(room.id) !== room) return
      this.#enlist(room, new Set(members.map(({ id }) => id)))
      room.working = new Set(agents.map(({ agentId }) => agentId))
      const ids = [...room.members]
      const found = await store.elsewhere(database, notes.self, this.#times.leaseMs, ids)
      const seen = new Set(found.map(({ id, nodeId }) => `${id} ${nodeId}`))
      for (const { id, nodeId, state } of found) {
        const there = this.#there.get(id)
        // What was heard since is newer than what was read.
        if (there !== undefined && (there.get(nodeId)?.version ?? 0) <= at)
          there.set(nodeId, { state, version: at })
      }
      for (const id of ids) {
        for (const [nodeId, { version }] of this.#there.get(id) ?? []) {
          if (version <= at && !seen.has(`${id} ${nodeId}`)) this.#there.get(id)?.delete(nodeId)
        }
      }
    } catch (error) {
      room.stale = true
      throw error
    }
  }

  /** Whose presence matters here from now on. Who was taken out watches no more. */
  #enlist(room: WatchedRoom, members: ReadonlySet<string>): void {
    for (const id of members) {
      const rooms = this.#roomsOf.get(id) ?? new Set()
      this.#roomsOf.set(id, rooms)
      rooms.add(room)
      if (!this.#there.has(id)) this.#there.set(id, new Map())
    }
    for (const id of room.members) if (!members.has(id)) this.#strike(room, id)
    room.members = members
    for (const device of room.watchers) {
      if (members.has(device.accountId)) continue
      this.#watching.get(device)?.delete(room)
      this.#leave(device, room)
    }
  }

  #strike(room: WatchedRoom, memberId: string): void {
    const rooms = this.#roomsOf.get(memberId)
    if (rooms === undefined || !rooms.delete(room) || rooms.size > 0) return
    this.#roomsOf.delete(memberId)
    this.#there.delete(memberId)
  }

  #unwatch(device: Device): void {
    for (const room of this.#watching.get(device) ?? []) this.#leave(device, room)
    this.#watching.delete(device)
  }

  #leave(device: Device, room: WatchedRoom): void {
    room.watchers.delete(device)
    if (room.watchers.size === 0) this.#end(room)
  }

  #end(room: WatchedRoom): void {
    if (this.#rooms.get(room.id) === room) this.#rooms.delete(room.id)
    clearTimeout(room.timer)
    room.news[Symbol.dispose]()
    for (const id of room.members) this.#strike(room, id)
    for (const device of room.watchers) this.#watching.get(device)?.delete(room)
    room.watchers.clear()
  }

  #news({ roomId, events, ended }: RoomNews): void {
    const room = this.#rooms.get(roomId)
    if (room === undefined) return
    if (ended === true) this.#end(room)
    // News of other processes do not say what happened.
    else if (events === undefined || events.some((event) => 'turnId' in event || 'member' in event))
      this.#again(room)
  }

  #again(room: WatchedRoom): void {
    room.stale = true
    this.#schedule(room)
  }

  #touch(memberId: string): void {
    for (const room of this.#roomsOf.get(memberId) ?? []) this.#schedule(room)
  }

  #schedule(room: WatchedRoom): void {
    if (room.timer !== undefined || this.#ended) return
    const every = this.#times.diffMs * (room.members.size > largeRoom ? largeRoomFactor : 1)
    const wait = Math.max(0, room.toldAt + every - performance.now())
    room.timer = setTimeout(() => void this.#diff(room), wait)
  }

  /** Tells the watchers what has changed since the last time. Never rejects. */
  async #diff(room: WatchedRoom): Promise<void> {
    try {
      await room.loaded
      if (room.stale) await this.#load(room)
    } catch (error) {
      this.#with.log.debug(
        { err: error, roomId: room.id },
        'who is in a room could not be read; trying again',
      )
      room.toldAt = performance.now()
      room.timer = undefined
      if (this.#rooms.get(room.id) === room) this.#schedule(room)
      return
    }
    room.timer = undefined
    if (this.#rooms.get(room.id) !== room) return
    const now = this.#standing(room)
    const changes: { id: string; state: State | 'offline' }[] = []
    for (const [id, state] of now) if (room.told.get(id) !== state) changes.push({ id, state })
    for (const id of room.told.keys()) if (!now.has(id)) changes.push({ id, state: 'offline' })
    room.told = now
    if (changes.length > 0) {
      room.toldAt = performance.now()
      for (const device of room.watchers)
        device.emit('room.signal', { roomId: room.id, kind: 'presence', changes })
    }
    if (room.stale) this.#schedule(room)
  }

  /** Members who are there. */
  #standing(room: WatchedRoom): Map<string, State> {
    const standing = new Map<string, State>()
    for (const id of room.members) {
      const state = room.working.has(id) ? 'working' : this.#stateOf(id)
      if (state !== undefined) standing.set(id, state)
    }
    return standing
  }

  /** The best of all their sockets at all nodes. */
  #stateOf(accountId: string): DeviceState | undefined {
    const states = [...(this.#there.get(accountId)?.values() ?? [])].map(({ state }) => state)
    states.push(this.#here.get(accountId)?.state)
    if (states.includes('active')) return 'active'
    return states.includes('away') ? 'away' : undefined
  }
}
