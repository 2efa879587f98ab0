import { Seeded } from './seeded.ts'

/** Who is there. Everybody is named by their place in these lists, so that a seed means the same everywhere. */
export interface Cast {
  readonly accounts: number
  /** Whose each device is, and what it runs: nothing but `socket.io-client`, or the SDK. */
  readonly devices: readonly { readonly account: number; readonly kind: 'plain' | 'sdk' }[]
  /** `members` at the beginning. In a room with an agent people ask it, in the others they talk. */
  readonly rooms: readonly { readonly members: readonly number[]; readonly agent: boolean }[]
}

/** How somebody who is not in a room tries to get in. */
export type Way =
  | 'join'
  | 'cursor'
  | 'fetch'
  | 'send'
  | 'typing'
  | 'http'
  | 'edit'
  | 'delete'
  | 'react'
  | 'pin'

/** What may become of a message. */
export type ChangeKind = 'edit' | 'delete' | 'react' | 'unreact' | 'pin' | 'unpin'

/** What people do. */
export type Deed =
  | {
      readonly do: 'say'
      readonly device: number
      readonly room: number
      readonly messages: number
      readonly length: number
    }
  | { readonly do: 'ask'; readonly device: number; readonly room: number }
  | { readonly do: 'stop'; readonly device: number; readonly room: number }
  /** A message is changed that the device holds, by `pick` one of the newest; `own`: of its person's. */
  | {
      readonly do: 'change'
      readonly device: number
      readonly room: number
      readonly kind: ChangeKind
      readonly own: boolean
      readonly pick: number
      readonly emoji: string
    }
  /** Its person reads what the device holds. */
  | { readonly do: 'read'; readonly device: number; readonly room: number }
  | { readonly do: 'add'; readonly by: number; readonly account: number; readonly room: number }
  | { readonly do: 'remove'; readonly by: number; readonly account: number; readonly room: number }
  | { readonly do: 'trespass'; readonly device: number; readonly room: number; readonly way: Way }
  | { readonly do: 'step_out'; readonly device: number; readonly room: number }
  | { readonly do: 'step_in'; readonly device: number; readonly room: number }
  | { readonly do: 'reload'; readonly device: number }
  /** A new access token for the old one, whatever the network is like just then. */
  | { readonly do: 'renew'; readonly device: number }

/** What the nemesis does. */
export type Fault =
  /** SIGKILL; `start` follows. */
  | { readonly do: 'kill'; readonly node: number }
  | { readonly do: 'start'; readonly node: number }
  /** SIGSTOP, SIGCONT. */
  | { readonly do: 'freeze'; readonly node: number }
  | { readonly do: 'thaw'; readonly node: number }
  /** SIGTERM, and a new process in its place. */
  | { readonly do: 'drain'; readonly node: number }
  /** The same for one of the processes that a node is; whoever watches over it puts a new one in its place. */
  | { readonly do: 'kill_worker'; readonly node: number; readonly worker: number }
  | { readonly do: 'freeze_worker'; readonly node: number; readonly worker: number }
  | { readonly do: 'thaw_workers'; readonly node: number }
  /** PostgreSQL goes down at once, without a checkpoint, and recovers from its log. */
  | { readonly do: 'crash_database' }
  /** Redis is out of reach: connections are reset and new ones refused. */
  | { readonly do: 'drop_bus' }
  | { readonly do: 'restore_bus' }
  /** kill -9 of Redis, and a new one that knows nothing. */
  | { readonly do: 'kill_bus' }
  | { readonly do: 'start_bus' }
  /** Redis stands still, without a word. */
  | { readonly do: 'freeze_bus' }
  | { readonly do: 'thaw_bus' }
  /** The device's connections are reset. */
  | { readonly do: 'cut'; readonly device: number }
  /** They swallow everything, and neither side is told. */
  | { readonly do: 'half_open'; readonly device: number }
  | { readonly do: 'throttle'; readonly device: number; readonly bytesPerSecond: number }
  /** The line is as it should be; what was half open is reset. */
  | { readonly do: 'mend'; readonly device: number }
  /** The model breaks off in the middle of its next answers. */
  | { readonly do: 'break_model' }

export type Action = Deed | Fault

export interface Plan {
  readonly seed: number
  readonly steps: number
  readonly nodes: number
  readonly clients: number
  readonly rooms: number
  /** What this run can do beyond what every run can. */
  readonly can: {
    readonly crashDatabase: boolean
    readonly dropBus: boolean
    /** The Redis is ours to kill and to freeze. */
    readonly breakBus: boolean
    readonly breakModel: boolean
    /** Each node is several processes. */
    readonly breakWorkers: boolean
  }
  /** Bursts of messages in one step, on average. */
  readonly bursts: number
  /** Most changes of messages, and readings, in one step. */
  readonly changes: number
  /** Chance that a burst is a flood. */
  readonly floods: number
  /** Chance that a step brings a fault. */
  readonly faults: number
  /** Longest freeze of a node, in steps. */
  readonly longestFreeze: number
}

export interface Schedule {
  readonly cast: Cast
  /** Who is in each room when all has been done. */
  readonly steps: readonly (readonly Action[])[]
}

/** Nobody who was added a moment ago trespasses: when it takes effect is not the schedule's to say. */
const marginSteps = 40

const ways = ['join', 'cursor', 'fetch', 'send', 'typing', 'http', 'edit', 'delete', 'react', 'pin'] as const
/** Few, so that people meet at one. */
const emojis = ['👍', '🎉', '👩🏽‍🚀'] as const

/** Everything that will be done, from the seed alone: the same plan is the same schedule. */
export function scheduleOf(plan: Plan): Schedule {
  const random = new Seeded(plan.seed)
  const cast = castOf(plan, random.fork('cast'))
  const people = new People(plan, cast, random.fork('people'))
  const nemesis = new Nemesis(plan, cast, random.fork('nemesis'))
  const steps = Array.from({ length: plan.steps }, (_, step) => [...nemesis.step(step), ...people.step(step)])
  return { cast, steps }
}

function castOf(plan: Plan, random: Seeded): Cast {
  const accounts = Math.max(3, Math.ceil(plan.clients * 0.7))
  const devices = Array.from({ length: plan.clients }, (_, at) => ({
    account: at % accounts,
    // Of both kinds, also among the devices of one person.
    kind: (at + Math.floor(at / accounts)) % 2 === 0 ? ('plain' as const) : ('sdk' as const),
  }))
  const rooms = Array.from({ length: plan.rooms }, (_, at) => {
    const everybody = Array.from({ length: accounts }, (_unused, account) => account)
    const members = everybody.filter(() => random.chance(0.5))
    while (members.length < 2) {
      const one = random.pick(everybody.filter((account) => !members.includes(account)))
      if (one !== undefined) members.push(one)
    }
    // Somebody stays outside.
    if (members.length === accounts) members.splice(random.between(0, accounts - 1), 1)
    return { members, agent: at % 4 === 1 }
  })
  return { accounts, devices, rooms }
}

class People {
  readonly #plan: Plan
  readonly #cast: Cast
  readonly #random: Seeded
  readonly #members: Set<number>[]
  /** Whoever was, is, or is about to be in the room, and since which step they are not. */
  readonly #goneSince: Map<number, number>[]
  readonly #lastAsked = new Map<number, number>()
  readonly #out = new Map<string, number>()

  constructor(plan: Plan, cast: Cast, random: Seeded) {
    this.#plan = plan
    this.#cast = cast
    this.#random = random
    this.#members = cast.rooms.map(({ members }) => new Set(members))
    this.#goneSince = cast.rooms.map(() => new Map())
  }

  step(step: number): Deed[] {
    const random = this.#random
    const deeds: Deed[] = []
    for (const [key, until] of this.#out) {
      if (until > step) continue
      this.#out.delete(key)
      const [device = 0, room = 0] = key.split(' ').map(Number)
      if (this.#isIn(device, room)) deeds.push({ do: 'step_in', device, room })
    }
    for (let burst = random.between(0, 2 * this.#plan.bursts); burst > 0; burst--) {
      const room = random.between(0, this.#cast.rooms.length - 1)
      const device = this.#deviceIn(room)
      if (device === undefined) continue
      if (this.#cast.rooms[room]?.agent === true) {
        // An agent answers one after the other, so questions that come too often only wait.
        if (step - (this.#lastAsked.get(room) ?? -99) < 20) continue
        this.#lastAsked.set(room, step)
        deeds.push({ do: 'ask', device, room })
      } else {
        // Now and then so much at once that a slow line falls behind.
        const flood = random.chance(this.#plan.floods)
        const long = flood || random.chance(0.05)
        const length = long ? random.between(2_000, 12_000) : random.between(10, 300)
        deeds.push({ do: 'say', device, room, messages: flood ? 120 : random.between(1, 6), length })
      }
    }
    for (let changes = random.between(0, this.#plan.changes); changes > 0; changes--) this.#change(deeds)
    if (random.chance(0.04)) this.#stop(deeds)
    if (random.chance(0.06)) this.#add(deeds)
    if (random.chance(0.06)) this.#remove(deeds, step)
    if (random.chance(0.3)) this.#trespass(deeds, step)
    if (random.chance(0.06)) this.#stepOut(deeds, step)
    if (random.chance(0.06)) {
      deeds.push({ do: 'reload', device: random.between(0, this.#cast.devices.length - 1) })
    }
    if (random.chance(0.1)) {
      deeds.push({ do: 'renew', device: random.between(0, this.#cast.devices.length - 1) })
    }
    return deeds
  }

  #isIn(device: number, room: number): boolean {
    return this.#members[room]?.has(this.#cast.devices[device]?.account ?? -1) ?? false
  }

  #deviceIn(room: number): number | undefined {
    return this.#random.pick([...this.#cast.devices.keys()].filter((device) => this.#isIn(device, room)))
  }

  #change(deeds: Deed[]): void {
    const random = this.#random
    const room = random.between(0, this.#cast.rooms.length - 1)
    const device = this.#deviceIn(room)
    const kind = random.weighted({ edit: 4, delete: 1.5, react: 5, unreact: 2, pin: 1.5, unpin: 1, read: 4 })
    const emoji = random.pick(emojis)
    if (device === undefined || kind === undefined || emoji === undefined) return
    if (kind === 'read') {
      deeds.push({ do: 'read', device, room })
      return
    }
    // What is not theirs is refused, mostly.
    const own = (kind === 'edit' || kind === 'delete') && random.chance(0.8)
    deeds.push({ do: 'change', device, room, kind, own, pick: random.between(0, 11), emoji })
  }

  #stop(deeds: Deed[]): void {
    const room = this.#random.pick([...this.#cast.rooms.keys()].filter((at) => this.#cast.rooms[at]?.agent))
    const device = room === undefined ? undefined : this.#deviceIn(room)
    if (room !== undefined && device !== undefined) deeds.push({ do: 'stop', device, room })
  }

  #add(deeds: Deed[]): void {
    const room = this.#random.between(0, this.#cast.rooms.length - 1)
    const members = this.#members[room]
    const by = this.#deviceIn(room)
    const account = this.#random.pick(
      Array.from({ length: this.#cast.accounts }, (_, one) => one).filter((one) => !members?.has(one)),
    )
    // The last one stays outside, so that there is somebody who must see nothing.
    if (members === undefined || by === undefined || account === undefined) return
    if (members.size >= this.#cast.accounts - 1) return
    members.add(account)
    deeds.push({ do: 'add', by, account, room })
  }

  #remove(deeds: Deed[], step: number): void {
    const room = this.#random.between(0, this.#cast.rooms.length - 1)
    const members = this.#members[room]
    const owner = ownerOf(this.#cast, room)
    if (members === undefined || members.size <= 2) return
    // The owner stays, or nobody would be sure to have the right.
    const account = this.#random.pick([...members].filter((one) => one !== owner))
    // Some are taken out, and some go.
    const who = this.#random.chance(0.7) ? owner : account
    const by = this.#random.pick(
      [...this.#cast.devices.keys()].filter((device) => this.#cast.devices[device]?.account === who),
    )
    if (account === undefined || by === undefined) return
    members.delete(account)
    this.#goneSince[room]?.set(account, step)
    deeds.push({ do: 'remove', by, account, room })
  }

  #trespass(deeds: Deed[], step: number): void {
    const room = this.#random.between(0, this.#cast.rooms.length - 1)
    const outside = [...this.#cast.devices.keys()].filter((device) => {
      const account = this.#cast.devices[device]?.account ?? -1
      const gone = this.#goneSince[room]?.get(account)
      return !this.#isIn(device, room) && (gone === undefined || step - gone > marginSteps)
    })
    const device = this.#random.pick(outside)
    const way = this.#random.pick(ways)
    if (device !== undefined && way !== undefined) deeds.push({ do: 'trespass', device, room, way })
  }

  #stepOut(deeds: Deed[], step: number): void {
    const room = this.#random.between(0, this.#cast.rooms.length - 1)
    const device = this.#deviceIn(room)
    const key = `${device} ${room}`
    if (device === undefined || this.#out.has(key)) return
    this.#out.set(key, step + this.#random.between(2, 15))
    deeds.push({ do: 'step_out', device, room })
  }
}

/** Who made the room: never taken out of it. */
export function ownerOf(cast: Cast, room: number): number {
  const owner = cast.rooms[room]?.members[0]
  if (owner === undefined) throw new Error(`there is no room ${room}`)
  return owner
}

class Nemesis {
  readonly #plan: Plan
  readonly #cast: Cast
  readonly #random: Seeded
  /** Until which step each one is left alone after what was done to it. */
  readonly #nodes: number[]
  readonly #lines: number[]
  readonly #due = new Map<number, Fault[]>()
  #databaseUntil = 0
  #busUntil = 0

  constructor(plan: Plan, cast: Cast, random: Seeded) {
    this.#plan = plan
    this.#cast = cast
    this.#random = random
    this.#nodes = Array.from({ length: plan.nodes }, () => 0)
    this.#lines = cast.devices.map(() => 0)
  }

  step(step: number): Fault[] {
    const faults = [...(this.#due.get(step) ?? [])]
    this.#due.delete(step)
    // The beginning belongs to the people, so that there is something to lose.
    if (step < 8 || !this.#random.chance(this.#plan.faults)) return faults
    const { can } = this.#plan
    const kind = this.#random.weighted({
      kill: 3,
      freeze: 2,
      drain: 2,
      cut: 5,
      half_open: 5,
      throttle: 3,
      outage: 0.4,
      ...(can.crashDatabase && { crash_database: 1.5 }),
      ...(can.dropBus && { drop_bus: 2 }),
      ...(can.breakBus && { kill_bus: 1.5, freeze_bus: 1.5 }),
      ...(can.breakModel && { break_model: 0.5 }),
      ...(can.breakWorkers && { kill_worker: 4, freeze_worker: 2 }),
    })
    if (kind === 'kill' || kind === 'freeze' || kind === 'drain') this.#node(kind, step, faults)
    else if (kind === 'kill_worker' || kind === 'freeze_worker') this.#worker(kind, step, faults)
    else if (kind === 'outage') this.#outage(step, faults)
    else if (kind === 'cut' || kind === 'half_open' || kind === 'throttle') this.#line(kind, step, faults)
    else if (kind === 'crash_database' && this.#databaseUntil <= step) {
      this.#databaseUntil = step + 50
      faults.push({ do: 'crash_database' })
    } else if (kind === 'drop_bus' || kind === 'kill_bus' || kind === 'freeze_bus') {
      if (this.#busUntil > step) return faults
      const steps = this.#random.between(5, 25)
      this.#busUntil = step + steps + 20
      faults.push({ do: kind })
      this.#later(step + steps, { do: busMends[kind] })
    } else if (kind === 'break_model') faults.push({ do: 'break_model' })
    return faults
  }

  #node(kind: 'kill' | 'freeze' | 'drain', step: number, faults: Fault[]): void {
    const calm = [...this.#nodes.keys()].filter((node) => (this.#nodes[node] ?? 0) <= step)
    const node = this.#random.pick(calm)
    // One stays as it is; everything at once is an outage, and that is rarer.
    if (node === undefined || (calm.length === 1 && this.#nodes.length > 1)) return
    this.#disturb(kind, node, step, faults)
  }

  #worker(kind: 'kill_worker' | 'freeze_worker', step: number, faults: Fault[]): void {
    const calm = [...this.#nodes.keys()].filter((node) => (this.#nodes[node] ?? 0) <= step)
    const node = this.#random.pick(calm)
    if (node === undefined) return
    const steps = kind === 'freeze_worker' ? this.#random.between(3, this.#plan.longestFreeze) : 0
    this.#nodes[node] = step + steps + 10
    faults.push({ do: kind, node, worker: this.#random.between(0, 7) })
    if (kind === 'freeze_worker') this.#later(step + steps, { do: 'thaw_workers', node })
  }

  #disturb(kind: 'kill' | 'freeze' | 'drain', node: number, step: number, faults: Fault[]): void {
    const steps =
      kind === 'freeze'
        ? this.#random.between(3, this.#plan.longestFreeze)
        : kind === 'kill'
          ? this.#random.between(1, 12)
          : 0
    this.#nodes[node] = step + steps + 25
    faults.push({ do: kind, node })
    if (kind === 'freeze') this.#later(step + steps, { do: 'thaw', node })
    if (kind === 'kill') this.#later(step + steps, { do: 'start', node })
  }

  #outage(step: number, faults: Fault[]): void {
    if (this.#nodes.some((until) => until > step)) return
    for (const node of this.#nodes.keys()) this.#disturb('kill', node, step, faults)
  }

  #line(kind: 'cut' | 'half_open' | 'throttle', step: number, faults: Fault[]): void {
    const device = this.#random.pick(
      [...this.#lines.keys()].filter((at) => (this.#lines[at] ?? 0) <= step && at in this.#cast.devices),
    )
    if (device === undefined) return
    const steps = kind === 'cut' ? 1 : this.#random.between(5, 40)
    this.#lines[device] = step + steps + 5
    if (kind === 'throttle') {
      faults.push({ do: kind, device, bytesPerSecond: this.#random.between(2, 32) * 1_024 })
    } else faults.push({ do: kind, device })
    if (kind !== 'cut') this.#later(step + steps, { do: 'mend', device })
  }

  #later(step: number, fault: Fault): void {
    const due = this.#due.get(step)
    if (due === undefined) this.#due.set(step, [fault])
    else due.push(fault)
  }
}

const busMends = { drop_bus: 'restore_bus', kill_bus: 'start_bus', freeze_bus: 'thaw_bus' } as const

/** A fault, and not what ends one. */
export function isFault(action: Action): action is Fault {
  return [
    'kill',
    'freeze',
    'drain',
    'kill_worker',
    'freeze_worker',
    'crash_database',
    'drop_bus',
    'kill_bus',
    'freeze_bus',
    'cut',
    'half_open',
    'throttle',
    'break_model',
  ].includes(action.do)
}
