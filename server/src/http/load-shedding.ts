import { connect } from 'node:net'
import { performance } from 'node:perf_hooks'
import type { Priority } from '@atom/contract/route.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { DoorWait } from './door-wait.ts'

export interface LoadSheddingOptions {
  readonly log: Log
  /** How busy the event loop may be, 0 to 1; above it what comes is turned away. */
  readonly target?: number
  readonly everyMs?: number
  /** A process whose newcomers wait no longer than this is busy, and not overloaded. */
  readonly waitMs?: number
  /** Part of the time since it was asked last that the event loop was busy, 0 to 1. */
  readonly utilisation?: () => number
  /** How long a newcomer waits now, ms; undefined where nobody can say. */
  readonly knock?: () => Promise<number | undefined>
  /** How many newcomers have come in since the start; without them what is known of the door is known late. */
  readonly accepted?: () => number
  /** ms, of a clock that never goes back; `performance.now()` where absent. */
  readonly now?: () => number
  /** Who has been let in and waits for something that this process shares out. */
  readonly queue?: () => Queue
}

/** Where requests stand that have been let in. */
export interface Queue {
  readonly waiting: number
  /** How long the first of them has been waiting. */
  readonly longestMs: number
}

/** What is turned away last stands first. */
const order = ['entry', 'people', 'agents', 'bulk'] as const
type Sheddable = (typeof order)[number]
const classes = order.length

/** Fewer than this in a tick are always let in: a process that is busy with something else answers on, if slowly. */
const alwaysAdmitted = 4
/** Ticks in a row that a process must be overloaded before it turns anybody away. */
const patience = 2
/** Requests a second below which it is not they that keep the process busy. */
const fewestPerSecond = 100
/**
 * So many at least stand and wait where there is overload. Clients that each wait for their answer before they ask again are
 * never more than they are, however slow the machine is that day.
 */
const fewestWaiting = 80
/** A queue that does not grow is that of clients who wait for their answers, until they wait for so long. */
const longWaitMs = 1_000
const growsBy = 1.05
/** Of a queue that grows it is waited for no longer: who comes last in it waits for several times as long as the first. */
const growingWaitMs = 100
/** As long as this a queue may be while others are turned away: short of it what is shared out would stand idle. */
const queueMs = 100
/**
 * As long as this newcomers are to wait at the door of a full loop: were it nobody, the loop would often have nothing to do, and
 * who knocks could not tell by how much.
 */
const doorMs = 100
/** What is let in changes by these, per second that the wait has grown by, and per second that it is too long by, a second. */
const byGrowth = 3
const byLength = 4
/** Ticks in a row in which everybody is let in, after which it is over. */
const calmTicks = 5
/** Of what comes when it begins: what waits already is to be done as well. */
const firstShare = 0.3
const mostParties = 1_000
const forgetAfterTicks = 20
/** A knock that is not answered by then was long enough. */
const knockTimeoutMs = 2_000
const retryFromMs = 1_000
const retryToMs = 4_000

/** One who competes for what can be served: a workspace, or where nobody knows better an address. */
interface Party {
  /** Requests per tick, smoothed. */
  rate: number
  arrived: number
  share: number
  credit: number
  quietTicks: number
}

const nobodyWaits: Queue = { waiting: 0, longestMs: 0 }

/** What came of one class. */
class ClassOfRequests {
  rate = 0
  arrived = 0
  share = 1
  credit = 0
  readonly parties = new Map<string, Party>()
}

/**
 * Turns away what cannot be served in time, so that the rest is. Every tenth of a second the part that is let in follows what
 * there is room for: in the event loop, by how busy it was and how long a newcomer waits, and in the queue of those who were let in
 * and wait for what this process shares out. That part is handed out by priority, and within a priority in equal parts among
 * workspaces: who asks for less than their part gets all of it, and nobody gets more while another goes without.
 *
 * A busy loop alone is no overload: a build, a first compilation, a hundred clients that wait for their answers keep it busy as well.
 * So nobody is turned away before many stand and wait: at the own door, where a knock tells, because no request has been seen yet
 * of what waits in the kernel; or in the queue, and become more. See docs/decisions/0161 and 0174.
 */
export class LoadShedding implements Disposable {
  readonly #log: Log
  readonly #target: number
  readonly #everyMs: number
  readonly #waitMs: number
  readonly #utilisation: () => number
  readonly #door: DoorWait
  readonly #queue: () => Queue
  readonly #timer: NodeJS.Timeout
  readonly #classes: Readonly<Record<Sheddable, ClassOfRequests>> = {
    entry: new ClassOfRequests(),
    people: new ClassOfRequests(),
    agents: new ClassOfRequests(),
    bulk: new ClassOfRequests(),
  }
  readonly shed: Record<Priority, number> = { probe: 0, entry: 0, people: 0, agents: 0, bulk: 0 }
  #busy = 0
  #busyBefore = 0
  /** The part that is let in: as much as the event loop and the queue both have room for. */
  #share = 1
  #byLoop = 1
  #byQueue = 1
  #perSecond = 0
  #fullTicks = 0
  #calmTicks = 0
  /** Let in since the last tick. */
  #entered = 0
  /** How many got through the queue per tick, smoothed. */
  #through = 0
  #waiting = 0
  #overloaded = false
  /** How long a newcomer would wait, as it was looked at last. */
  #doorMs = 0
  #since = 0
  #shedBefore = 0

  constructor(options: LoadSheddingOptions) {
    this.#log = options.log
    this.#target = options.target ?? 0.98
    this.#everyMs = options.everyMs ?? 100
    this.#waitMs = options.waitMs ?? 200
    this.#utilisation = options.utilisation ?? loopUtilisation()
    this.#door = new DoorWait({
      knock: options.knock ?? (async () => undefined),
      accepted: options.accepted,
      now: options.now,
    })
    this.#queue = options.queue ?? (() => nobodyWaits)
    this.#timer = setInterval(() => this.tick(), this.#everyMs)
    this.#timer.unref()
  }

  /** Of the event loop in the last tick. */
  get utilisation(): number {
    return this.#busy
  }

  /** The part of what comes that is let in. */
  get admitting(): number {
    return this.#share
  }

  /** How long a newcomer waited when last somebody knocked. */
  get waitMs(): number {
    return this.#door.heardMs
  }

  get shedding(): boolean {
    return this.#share < 1
  }

  /**
   * Whether a request is let in; counts it.
   *
   * @param party with whom it shares its part; asked for only while not everybody is let in
   */
  admits(priority: Priority, party: () => string): boolean {
    if (priority === 'probe') return true
    const of = this.#classes[priority]
    of.arrived++
    if (this.#share >= 1 || this.#passes(of, party)) {
      this.#entered++
      return true
    }
    this.shed[priority]++
    return false
  }

  /** What somebody who is turned away is told: not all the same time, or they all come back in the same moment. */
  refusal(): AtomError {
    // Where it was made is known, and finding that out for each is what turning away would cost most.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    const retryAfterMs = Math.round(retryFromMs + Math.random() * (retryToMs - retryFromMs))
    const error = new AtomError('busy', 'The server is overloaded. Nothing was done.', { retryAfterMs })
    Error.stackTraceLimit = stackTraceLimit
    return error
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  /** Once every `everyMs`, by its own timer; a test has its own time. */
  tick(): void {
    this.#busyBefore = this.#busy
    this.#busy = this.#utilisation()
    let rate = 0
    for (const name of order) {
      const of = this.#classes[name]
      of.rate = (of.rate + of.arrived) / 2
      of.arrived = 0
      rate += of.rate
    }
    this.#perSecond = (rate * 1_000) / this.#everyMs
    const queue = this.#queue()
    const left = Math.max(0, this.#entered - (queue.waiting - this.#waiting))
    this.#through = 0.7 * this.#through + 0.3 * left
    this.#entered = 0
    if (this.#overloaded) this.#steer(rate, queue)
    else this.#watch(rate, queue)
    this.#waiting = queue.waiting
    if (this.#share < 1) this.#handOut(rate)
    // Nobody counts them while everybody is let in.
    else for (const name of order) this.#classes[name].parties.clear()
  }

  /** Looks whether it is time to begin. */
  #watch(rate: number, queue: Queue): void {
    if (this.#perSecond < fewestPerSecond) {
      this.#fullTicks = 0
      this.#door.forget()
      return
    }
    const byLoop = this.#isLoopBehind()
    const byQueue = this.#isQueueTooLong(queue)
    if (!byLoop && !byQueue) return
    this.#overloaded = true
    this.#calmTicks = 0
    // Whoever stands there by now has to be served or told as well: the more, the less is let in besides.
    this.#byLoop = byLoop ? firstShare * Math.min(1, this.#waitMs / this.#door.heardMs) : 1
    this.#byQueue = byQueue ? this.#roomInQueue(rate, queue) : 1
    this.#share = Math.min(this.#byLoop, this.#byQueue)
    this.#since = performance.now()
    this.#shedBefore = this.#shedInAll()
    this.#log.warn(
      {
        utilisation: rounded(this.#busy),
        waitMs: this.#door.heardMs,
        queueMs: Math.round(queue.longestMs),
        perSecond: Math.round(this.#perSecond),
      },
      'overloaded: what cannot be served in time is turned away',
    )
  }

  /** The loop is full, and who comes waits at the door, behind many. */
  #isLoopBehind(): boolean {
    if (this.#busy <= this.#target) {
      this.#fullTicks = 0
      this.#door.forget()
      return false
    }
    this.#fullTicks++
    this.#door.listen()
    this.#doorMs = this.#door.look()
    const { heardMs } = this.#door
    if (this.#fullTicks < patience || heardMs < this.#waitMs) return false
    return (heardMs / 1_000) * this.#perSecond >= fewestWaiting
  }

  /** Many have come in and wait for long, and more and more do. */
  #isQueueTooLong({ waiting, longestMs }: Queue): boolean {
    if (waiting < fewestWaiting || longestMs < growingWaitMs) return false
    // Many who come at once are one step, and not yet growth.
    const grows = this.#waiting >= fewestWaiting / 2 && waiting > this.#waiting * growsBy
    return grows || longestMs >= longWaitMs
  }

  #steer(rate: number, queue: Queue): void {
    const least = Math.min(1, alwaysAdmitted / Math.max(rate, alwaysAdmitted))
    this.#byLoop = Math.min(1, Math.max(this.#roomInLoop(), least))
    this.#byQueue = this.#roomInQueue(rate, queue)
    this.#share = Math.max(Math.min(this.#byLoop, this.#byQueue), least)
    this.#calmTicks = this.#share < 1 ? 0 : this.#calmTicks + 1
    // While many still wait inside, few may be heard of because the door is not looked at.
    const goesOn = this.#perSecond >= fewestPerSecond || queue.waiting >= fewestWaiting
    if (this.#calmTicks < calmTicks && goesOn) return
    this.#overloaded = false
    this.#share = 1
    this.#fullTicks = 0
    this.#door.forget()
    const seconds = Math.round((performance.now() - this.#since) / 100) / 10
    this.#log.info({ seconds, turnedAway: this.#shedInAll() - this.#shedBefore }, 'everybody is served again')
  }

  #roomInLoop(): number {
    this.#door.listen()
    const before = this.#doorMs
    this.#doorMs = this.#door.look()
    // Of two ticks: one alone swings with every collection of garbage.
    const over = (this.#busy + this.#busyBefore) / 2 - this.#target
    // Up about as far as there is room.
    if (over <= 0) return this.#byLoop * (1 - 1.5 * over) + 0.005
    // What is full cannot tell how much too much it is; how long one waits for it can, and how that changes. Also a process that
    // others keep from running looks full: where nobody waits there is room for a little more.
    const grewBy = (this.#doorMs - before) / 1_000
    const tooLongBy = ((this.#doorMs - doorMs) / 1_000) * (this.#everyMs / 1_000)
    const change = 1 - byGrowth * grewBy - byLength * tooLongBy
    return this.#byLoop * Math.min(1.2, Math.max(0.7, change))
  }

  /** As much as gets through the queue, and half of what it is too short or too long by: all of it would be too much when that comes late. */
  #roomInQueue(rate: number, { waiting, longestMs }: Queue): number {
    if (waiting === 0 && this.#byQueue >= 1) return 1
    const right =
      longestMs > queueMs ? (waiting * queueMs) / longestMs : this.#through * (queueMs / this.#everyMs)
    const room = this.#through + (right - waiting) / 2
    return Math.min(1, Math.max(room, 0) / Math.max(rate, 1))
  }

  /** By priority, and within one by party. */
  #handOut(rate: number): void {
    let left = Math.max(this.#share * rate, alwaysAdmitted)
    for (let at = 0; at < classes; at++) {
      const of = this.#classes[order[at] as Sheddable]
      const given = Math.min(of.rate, left)
      left -= given
      of.share = of.rate > 0 ? given / of.rate : left > 0 ? 1 : 0
      shareOut(of.parties, given)
    }
  }

  #passes(of: ClassOfRequests, party: () => string): boolean {
    const name = party()
    let known = of.parties.get(name)
    if (known === undefined) {
      if (of.parties.size >= mostParties) return passes(of, of.share)
      // Until it is known how much they ask for they stand as everybody does.
      known = { rate: 0, arrived: 0, share: of.share, credit: Math.random(), quietTicks: 0 }
      of.parties.set(name, known)
    }
    known.arrived++
    return passes(known, known.share)
  }

  #shedInAll(): number {
    return order.reduce((sum, name) => sum + this.shed[name], 0)
  }
}

/** Lets through evenly, not by lot: of four at a share of a half, every second. */
function passes(one: { credit: number }, share: number): boolean {
  one.credit += share
  if (one.credit < 1) return false
  one.credit -= 1
  return true
}

/** Equal parts; what one does not need goes to the others (max-min fairness). */
function shareOut(parties: Map<string, Party>, given: number): void {
  for (const [name, party] of parties) {
    party.rate = (party.rate + party.arrived) / 2
    party.quietTicks = party.arrived === 0 ? party.quietTicks + 1 : 0
    party.arrived = 0
    if (party.quietTicks > forgetAfterTicks) parties.delete(name)
  }
  let left = given
  let others = parties.size
  for (const party of [...parties.values()].sort((one, other) => one.rate - other.rate)) {
    const part = Math.min(party.rate, left / others)
    party.share = party.rate > 0 ? part / party.rate : 1
    left -= part
    others--
  }
}

function loopUtilisation(): () => number {
  let before = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    return utilization
  }
}

/**
 * Knocks at a server of this process as a newcomer does: over the network, behind all who wait there.
 *
 * @returns how long the answer took, ms
 */
export async function knockAt(address: { readonly host: string; readonly port: number }): Promise<number> {
  const began = performance.now()
  await new Promise<void>((resolve) => {
    const socket = connect({ ...address, noDelay: true })
    const done = () => {
      socket.destroy()
      resolve()
    }
    socket.setTimeout(knockTimeoutMs, done)
    socket.once('connect', () =>
      socket.write('GET /live HTTP/1.1\r\nhost: atom\r\nconnection: close\r\n\r\n'),
    )
    socket.once('data', done)
    // Nobody there to knock at, or too many connections: other limits see to that.
    socket.once('error', done)
    // Closed without a word, as one connection too many is: otherwise nobody would ever say that the wait is over.
    socket.once('close', done)
  })
  return performance.now() - began
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
