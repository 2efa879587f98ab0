import { randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { type RoomEvent, roomRoutes } from '@atom/contract/rooms.ts'
import sql from 'sql-template-tag'
import type { Database } from '#foundation/database/pool.ts'
import { Timeline } from '#rooms/timeline.ts'
import { testLog } from '../support/postgres.ts'
import { Bus } from './bus.ts'
import { check, longestGap, streamFigures, strikes, type Violation } from './checker.ts'
import { Cluster } from './cluster.ts'
import type { Attempt, Change, Device } from './device.ts'
import { FaultyLine } from './faulty-line.ts'
import { digestOfText, eventDigest, History, textDigest } from './history.ts'
import { type ChangedMessages, named } from './message-states.ts'
import { trespass } from './outsider.ts'
import { type ChaosRoom, type Person, populate } from './person.ts'
import { PlainDevice } from './plain-device.ts'
import {
  type Action,
  type Fault,
  isFault,
  ownerOf,
  type Plan,
  type Schedule,
  scheduleOf,
} from './schedule.ts'
import { SdkDevice } from './sdk-device.ts'
import { Seeded } from './seeded.ts'
import { Talker } from './talker.ts'

export interface ChaosOptions {
  readonly seed: number
  readonly nodes: number
  /** How many processes each node is, below one that watches over them; 0: a single one. */
  readonly workers: number
  readonly clients: number
  readonly rooms: number
  readonly steps: number
  /** How long one step takes, at least. */
  readonly stepMs: number
  /** Chance that a step brings a fault. */
  readonly faults: number
  /** Bursts of messages in one step, on average. */
  readonly bursts: number
  /** Most changes of messages, and readings, in one step. */
  readonly changes: number
  readonly floods: number
  readonly longestFreeze: number
  readonly database: 'own' | 'suite'
  /** The model breaks off now and then, so that the built-in agent, with all that it has to load, answers instead. */
  readonly breakModel: boolean
  /**
   * A Redis for the servers to share: `own`, which can be killed and frozen, or the address of one on loopback. They reach it
   * over a line that can be dropped.
   */
  readonly redis: string | undefined
  /** How long everybody may take to be whole again when the nemesis rests. */
  readonly quietWithinMs: number
  /** Write the history down even where nothing is wrong with it. */
  readonly keep: boolean
  /** Told a line of progress now and then. */
  readonly say?: (line: string) => void
  /** For `AbortSignal`s of an impatient person: the nemesis rests at once, and the check follows. */
  readonly hurry?: AbortSignal
}

export interface Figures {
  readonly publishes: number
  /** Edits, deletions, reactions and pins that were acknowledged. */
  readonly changes: number
  readonly readings: number
  readonly acks: number
  /** Events that took their place on a device. */
  readonly deliveries: number
  readonly faults: number
  readonly reconnects: number
  readonly trespasses: number
  readonly answersFollowed: number
  readonly answersWhole: number
  readonly longestGapMs: number
  /** By kind of fault: how many were due, and how many really struck. */
  readonly nemesis: ReadonlyMap<Fault['do'], { readonly due: number; readonly struck: number }>
  readonly seconds: number
}

export interface Outcome {
  readonly violations: readonly Violation[]
  readonly figures: Figures
  /** Where the whole history is, where it was written down. */
  readonly file: string | undefined
}

/** One run: the schedule of the seed against real servers, then quiet, then the verdict. */
export async function runChaos(options: ChaosOptions): Promise<Outcome> {
  const history = new History()
  const plan: Plan = {
    ...options,
    can: {
      crashDatabase: options.database === 'own',
      dropBus: options.redis !== undefined,
      breakBus: options.redis === 'own',
      breakModel: options.breakModel,
      breakWorkers: options.workers > 0,
    },
  }
  const schedule = scheduleOf(plan)
  {
    await using talker = await Talker.start()
    await using bus = options.redis === undefined ? undefined : await Bus.open(options.redis)
    await using cluster = await Cluster.open({
      nodes: options.nodes,
      workers: options.workers,
      database: options.database,
      environment: {
        ATOM_MODEL_BASE_URL: talker.baseUrl,
        ATOM_MODEL_NAME: 'talker',
        ...(bus !== undefined && { REDIS_URL: bus.url }),
      },
      died: (node, words) => history.add({ is: 'died', node, words }),
    })
    await using stage = await Stage.open({ options, schedule, history, cluster, talker, bus })
    await stage.play()
    await stage.rest()
    await stage.reckon()
  }
  const violations = check(history.lines)
  const file = violations.length === 0 && !options.keep ? undefined : await writtenDown(history, options)
  return { violations, figures: figuresOf(history), file }
}

interface StageParts {
  readonly options: ChaosOptions
  readonly schedule: Schedule
  readonly history: History
  readonly cluster: Cluster
  readonly talker: Talker
  readonly bus: Bus | undefined
}

/** How long the schedule waits for a server where none is there. */
const startsWithinMs = 30_000
/** How long marks and what pages show may take to come to rest when all is quiet. */
const settlesWithinMs = 20_000

/** People with their devices, and what happens to them. */
class Stage implements AsyncDisposable {
  readonly #parts: StageParts
  readonly #people: readonly Person[]
  readonly #rooms: readonly ChaosRoom[]
  readonly #devices: readonly Device[]
  readonly #release: AsyncDisposableStack
  /** Deeds under way that no later one waits for. */
  readonly #underWay = new Set<Promise<void>>()
  readonly #texts = new Seeded('texts')
  /** Comings and goings of a room happen one after the other, in the order of the schedule. */
  readonly #changes = new Map<ChaosRoom, Promise<void>>()
  #said = 0
  #changed = 0
  #waitedInVain = false

  private constructor(
    parts: StageParts,
    people: readonly Person[],
    rooms: readonly ChaosRoom[],
    devices: readonly Device[],
    release: AsyncDisposableStack,
  ) {
    this.#parts = parts
    this.#people = people
    this.#rooms = rooms
    this.#devices = devices
    this.#release = release
  }

  static async open(parts: StageParts): Promise<Stage> {
    await using born = new AsyncDisposableStack()
    const { schedule, history, cluster, options } = parts
    const { people, rooms } = await populate(cluster, schedule.cast)
    for (const [at, { members }] of schedule.cast.rooms.entries()) {
      for (const member of members)
        history.add({ is: 'member', account: `A${member}`, room: `R${at}`, change: 'added' })
    }
    const devices: Device[] = []
    for (const [at, { account, kind }] of schedule.cast.devices.entries()) {
      const person = people[account]
      if (person === undefined) throw new Error('a device needs somebody')
      const random = new Seeded(options.seed).fork(`device ${at}`)
      const line = born.use(await FaultyLine.open(() => random.pick(cluster.ports())))
      const own = { name: `D${at}`, person, line, history, known: rooms }
      devices.push(born.use(kind === 'plain' ? new PlainDevice({ ...own, random }) : new SdkDevice(own)))
    }
    parts.talker.broke = () => history.add({ is: 'struck', fault: 'break_model' })
    const stage = new Stage(parts, people, rooms, devices, born.move())
    for (const [at, { members }] of schedule.cast.rooms.entries()) {
      const room = stage.#room(at)
      for (const device of stage.#devicesOf(members)) device.follow(room)
    }
    return stage
  }

  /** Step by step through the schedule. */
  async play(): Promise<void> {
    const { options, schedule, history, cluster } = this.#parts
    let told = performance.now()
    for (const [step, actions] of schedule.steps.entries()) {
      if (options.hurry?.aborted) break
      for (const action of actions) {
        history.add({ is: 'action', step, action })
        this.#act(action)
      }
      cluster.lookForDead()
      if (performance.now() - told > 5_000) {
        told = performance.now()
        options.say?.(this.#progress(step))
      }
      await delay(options.stepMs)
      await this.#somebodyServes()
    }
  }

  /**
   * On a slow machine a server takes longer to start than until it is killed again, and then there is nobody left to lose
   * anything: the schedule waits for the first one, once each time.
   */
  async #somebodyServes(): Promise<void> {
    const { cluster, options } = this.#parts
    const deadline = performance.now() + (this.#waitedInVain ? 0 : startsWithinMs)
    while (cluster.waitsForFirst && performance.now() < deadline && options.hurry?.aborted !== true)
      await delay(100)
    this.#waitedInVain = cluster.waitsForFirst
  }

  /** The nemesis rests, and everybody gets the time to be whole again; who is not then has a reason that is a defect. */
  async rest(): Promise<void> {
    const { cluster, talker, bus, history, options } = this.#parts
    talker.breaking = 0
    await bus?.calm()
    for (const device of this.#devices) device.line.mend()
    await cluster.calm()
    for (const device of this.#devices) device.networkIsBack()
    await Promise.all(this.#underWay)
    const deadline = performance.now() + options.quietWithinMs
    let missing = 'everything'
    while (performance.now() < deadline) {
      cluster.lookForDead()
      const still = await this.#unfinished()
      if (still === undefined) {
        await this.#settleDown(deadline)
        history.add({ is: 'quiet' })
        return
      }
      if (still !== missing) options.say?.(`quiet: waiting for ${still}`)
      missing = still
      await delay(200)
    }
    // The check says the same with its evidence.
    options.say?.(`quiet: still waiting for ${missing}; time is up`)
    history.add({ is: 'quiet' })
  }

  /** Everybody reads what they have, and what pages show comes to rest. */
  async #settleDown(deadline: number): Promise<void> {
    const { database } = this.#parts.cluster
    const members = await this.#members()
    const open = this.#devices.flatMap((device) =>
      [...device.rooms]
        .filter((room) => members.has(`${room.id} ${device.person.id}`))
        .map((room) => ({ device, room, seq: device.cursor(room) })),
    )
    for (const { device, room } of open) {
      const read = async (): Promise<void> => {
        while (performance.now() < deadline) {
          // What the SDK has not told is seen by the marks.
          if ((await this.#read(device, room)) !== false || device instanceof SdkDevice) return
          await delay(300)
        }
      }
      await read()
    }
    const settled = async (): Promise<boolean> => {
      const rows = await database.query<{ place: string; read_seq: number }>(sql`
        select room_id || ' ' || member_id as place, read_seq from room_members where kind = 'account'`)
      const marks = new Map(rows.map(({ place, read_seq }) => [place, read_seq]))
      return open.every(({ device, room, seq }) => {
        if ((marks.get(`${room.id} ${device.person.id}`) ?? 0) < seq) return false
        if (!(device instanceof SdkDevice)) return true
        const { from, messages } = device.shows(room, this.#nameOf)
        const held = device.messages(room).changed(this.#nameOf)
        return isDeepStrictEqual(
          messages,
          Object.fromEntries(Object.entries(held).filter(([at]) => Number(at) >= from)),
        )
      })
    }
    const until = Math.min(deadline, performance.now() + settlesWithinMs)
    while (performance.now() < until && !(await settled())) await delay(200)
  }

  /** Writes down what the database holds, and who must have all of it. */
  async reckon(): Promise<void> {
    const { cluster, history } = this.#parts
    const members = await this.#members()
    for (const device of this.#devices) {
      for (const room of device.rooms) {
        if (!members.has(`${room.id} ${device.person.id}`)) continue
        history.add({
          is: 'following',
          device: device.name,
          account: device.person.name,
          room: room.name,
          from: 1,
        })
        const of = { account: device.person.name, room: room.name }
        const messages = device.messages(room).changed(this.#nameOf)
        history.add({ is: 'state', ...of, device: device.name, from: 1, messages })
        if (!(device instanceof SdkDevice)) continue
        history.add({
          is: 'state',
          ...of,
          device: `${device.name}'s page`,
          ...device.shows(room, this.#nameOf),
        })
      }
    }
    await using timeline = await Timeline.open({ database: cluster.database, log: testLog })
    const names = new Map(this.#people.map(({ id, name }) => [id, name]))
    for (const room of this.#rooms)
      await writeTimeline(room, { timeline, names, history, database: cluster.database })
    for (const room of this.#rooms)
      history.add({ is: 'truth', room: room.name, messages: await this.#truth(room) })
    const roomNames = new Map(this.#rooms.map(({ id, name }) => [id, name]))
    const marks = await cluster.database.query<{
      room: string
      member: string
      seq: number
      joined: number
    }>(sql`
      select room_id as room, member_id as member, read_seq as seq, joined_seq as joined from room_members
      where kind = 'account' and left_at is null`)
    for (const { room, member, seq, joined } of marks) {
      const name = roomNames.get(room)
      if (name === undefined) continue
      history.add({ is: 'mark', account: names.get(member) ?? member, room: name, seq, joined })
    }
    const turns = await cluster.database.query<{ message_id: string; attempt: number; status: string }>(
      sql`select message_id, attempt, status from turns`,
    )
    for (const { message_id, attempt, status } of turns)
      history.add({ is: 'turn', messageId: message_id, attempt, status })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release.disposeAsync()
  }

  #act(action: Action): void {
    const { cluster, talker, bus } = this.#parts
    switch (action.do) {
      case 'say':
        for (let message = 0; message < action.messages; message++) {
          this.#device(action.device).say(this.#room(action.room), this.#text(action.length))
        }
        return
      case 'ask':
        this.#ask(this.#device(action.device), this.#room(action.room))
        return
      case 'stop':
        this.#device(action.device).stop(this.#room(action.room))
        return
      case 'change':
        this.#begin(this.#changeMessage(this.#device(action.device), this.#room(action.room), action))
        return
      case 'read':
        this.#read(this.#device(action.device), this.#room(action.room))
        return
      case 'add':
        this.#change(action.room, (room) => this.#add(action.by, action.account, room))
        return
      case 'remove':
        this.#change(action.room, (room) => this.#remove(action.by, action.account, room))
        return
      case 'trespass':
        this.#begin(this.#trespass(this.#device(action.device), this.#room(action.room), action.way))
        return
      case 'step_out':
        this.#device(action.device).unfollow(this.#room(action.room))
        return
      case 'step_in':
        this.#device(action.device).follow(this.#room(action.room))
        return
      case 'reload':
        this.#device(action.device).reload()
        return
      case 'renew':
        this.#device(action.device).renew()
        return
      case 'kill':
        this.#strike(action.do, cluster.kill(action.node))
        return
      case 'start':
        this.#begin(cluster.start(action.node))
        return
      case 'freeze':
        this.#strike(action.do, cluster.freeze(action.node))
        return
      case 'thaw':
        this.#begin(cluster.thaw(action.node))
        return
      case 'kill_worker':
        this.#strike(action.do, cluster.killWorker(action.node, action.worker))
        return
      case 'freeze_worker':
        this.#strike(action.do, cluster.freezeWorker(action.node, action.worker))
        return
      case 'thaw_workers':
        this.#begin(cluster.thawWorkers(action.node))
        return
      case 'drain':
        this.#strike(action.do, cluster.drain(action.node))
        return
      case 'crash_database':
        this.#strike(action.do, cluster.crashDatabase())
        return
      case 'drop_bus':
        this.#strike(action.do, bus?.drop())
        return
      case 'restore_bus':
        bus?.restore()
        return
      case 'kill_bus':
        this.#strike(action.do, bus?.kill())
        return
      case 'start_bus':
        this.#begin(bus?.start())
        return
      case 'freeze_bus':
        this.#strike(action.do, bus?.freeze())
        return
      case 'thaw_bus':
        this.#begin(bus?.thaw())
        return
      case 'cut':
        this.#strike(action.do, this.#device(action.device).line.cut() > 0)
        return
      case 'half_open':
        this.#strike(action.do, this.#device(action.device).line.halfOpen() > 0)
        return
      case 'throttle':
        this.#strike(action.do, this.#device(action.device).line.throttle(action.bytesPerSecond) > 0)
        return
      case 'mend':
        this.#device(action.device).line.mend()
        return
      case 'break_model':
        talker.breaking++
        return
    }
  }

  /** By name: in company an agent answers nobody else. */
  #ask(device: Device, room: ChaosRoom): void {
    const agent = room.agentId === undefined ? undefined : [room.agentId]
    device.say(room, `Tell me something, number ${++this.#said}.`, agent)
  }

  /** All different, so that each can be told from every other. */
  #text(length: number): string {
    const number = ++this.#said
    const filler = Array.from({ length: Math.ceil(length / 8) }, () =>
      Math.floor(this.#texts.next() * 2 ** 40).toString(36),
    )
    return `${number}: ${filler.join(' ')}${number % 7 === 0 ? ' 🌊 日本語' : ''}`
      .slice(0, length + 8)
      .trimEnd()
      .toWellFormed()
  }

  /**
   * Asks until there is an answer, as a good client does. The SDK names each of its edits anew, so of one whose answer was lost
   * nobody knows whether asking again would be a second one.
   */
  async #changeMessage(
    device: Device,
    room: ChaosRoom,
    { kind, own, pick, emoji }: Extract<Action, { do: 'change' }>,
  ): Promise<void> {
    const { history, options } = this.#parts
    const newest = device.messages(room).newest(12, own ? device.person.id : undefined)
    const seq = newest[pick % newest.length]
    if (seq === undefined) return
    const key = `C${++this.#changed}`
    const change: Change = { kind, seq, clientId: randomUUID(), text: `${key}: ${this.#text(20)}`, emoji }
    const of = { device: device.name, account: device.person.name, room: room.name, key }
    const { text } = change
    history.add({
      is: 'change',
      ...of,
      kind,
      target: seq,
      ...(kind === 'edit' && { text: textDigest(text) }),
      ...((kind === 'react' || kind === 'unreact') && { emoji }),
    })
    const deadline = performance.now() + options.quietWithinMs
    for (let tries = 1; performance.now() < deadline; tries++) {
      const attempt: Attempt = await device.change(room, change)
      if (attempt.how === 'done') {
        history.add({ is: 'change_done', ...of, ...(attempt.seq !== undefined && { seq: attempt.seq }) })
        return
      }
      if (attempt.how === 'refused') {
        history.add({ is: 'change_refused', ...of, code: attempt.code, tries })
        return
      }
      if (kind === 'edit' && device instanceof SdkDevice) return
      await delay(attempt.afterMs ?? 300)
    }
    history.add({
      is: 'deed_failed',
      deed: `${kind} of ${seq} in ${room.name} by ${device.name}`,
      answer: 'none',
    })
  }

  /** Its person has read what the device holds; whether the server has said that it knows. Undefined: it holds nothing. */
  #read(device: Device, room: ChaosRoom): Promise<boolean> | undefined {
    const seq = device.cursor(room)
    if (seq === 0) return undefined
    const line = {
      is: 'read',
      device: device.name,
      account: device.person.name,
      room: room.name,
      seq,
    } as const
    this.#parts.history.add({ ...line, done: false })
    const reading = device.read(room, seq).then((done) => {
      if (done) this.#parts.history.add({ ...line, done })
      return done
    })
    this.#begin(reading)
    return reading
  }

  #begin(work: Promise<unknown> | undefined): void {
    if (work === undefined) return
    const tracked: Promise<void> = work.then(() => {
      this.#underWay.delete(tracked)
    })
    this.#underWay.add(tracked)
  }

  /** Does what breaks something, and notes whether it has. */
  #strike(fault: Fault['do'], work: Promise<boolean> | boolean | undefined): void {
    const { history } = this.#parts
    this.#begin(
      Promise.resolve(work).then((struck) => {
        if (struck === true) history.add({ is: 'struck', fault })
      }),
    )
  }

  #change(at: number, work: (room: ChaosRoom) => Promise<void>): void {
    const room = this.#room(at)
    const change = (this.#changes.get(room) ?? Promise.resolve()).then(() => work(room))
    this.#changes.set(room, change)
    this.#begin(change)
  }

  async #add(by: number, account: number, room: ChaosRoom): Promise<void> {
    const { history } = this.#parts
    const person = this.#person(account)
    history.add({ is: 'member', account: person.name, room: room.name, change: 'adding' })
    const path = roomRoutes.addMember.path.replace('{id}', room.id)
    const done = await this.#insist([this.#device(by), this.#ownersDevice(room)], 'POST', path, {
      kind: 'account',
      id: person.id,
    })
    if (!done) return
    history.add({ is: 'member', account: person.name, room: room.name, change: 'added' })
    for (const device of this.#devicesOf([account])) device.follow(room)
  }

  /** Their devices have the room open until they are told: what the server sends them then is what is looked at. */
  async #remove(by: number, account: number, room: ChaosRoom): Promise<void> {
    const { history } = this.#parts
    const person = this.#person(account)
    history.add({ is: 'member', account: person.name, room: room.name, change: 'removing' })
    const { method, path } = roomRoutes.removeMember
    const there = path.replace('{id}', room.id).replace('{memberId}', person.id)
    const device = this.#device(by)
    // Who goes by themselves and lost the answer is told that they are no member, or, where the lost question was still being
    // answered, that they are not in it; of anybody else, that there is none.
    const gone = device.person === person ? ['not_a_member', 'not_found'] : ['not_found']
    const done = await this.#insist([device, this.#ownersDevice(room)], method, there, undefined, gone)
    if (!done) return
    history.add({ is: 'member', account: person.name, room: room.name, change: 'removed' })
    for (const each of this.#devicesOf([account])) each.unfollow(room)
  }

  /**
   * Asks until there is an answer: what it asks for may be done twice. An answer that was lost on its way may take effect after
   * a later question, as when a server that stood still goes on; so who asks may be in the room no more, and the next one asks.
   * False: it was not done, which is written down.
   *
   * @param done the code of a refusal that says that it is done already
   */
  async #insist(
    askers: readonly Device[],
    method: string,
    path: string,
    body?: object,
    done: readonly (string | undefined)[] = [],
  ): Promise<boolean> {
    const deadline = performance.now() + this.#parts.options.quietWithinMs
    let said = 'nobody answered'
    let [by, ...others] = askers
    while (by !== undefined && performance.now() < deadline) {
      const answer = await by.person.call(by.line.url, method, path, body)
      if (answer !== undefined) {
        const { code } = answer.body
        if (answer.status < 300 || done.includes(code)) return true
        said = `${by.name}: ${answer.status} ${JSON.stringify(answer.body)}`
        if (code === 'not_a_member') [by, ...others] = others
        else if (![401, 429].includes(answer.status) && answer.status < 500) break
      }
      await delay(300)
    }
    this.#parts.history.add({ is: 'deed_failed', deed: `${method} ${path}`, answer: said })
    return false
  }

  async #trespass(device: Device, room: ChaosRoom, way: Parameters<typeof trespass>[2]): Promise<void> {
    const { history } = this.#parts
    const since = history.now
    const done = await trespass(device, room, way)
    if (done === undefined) return
    const own = { device: `${device.name}x`, account: device.person.name, room: room.name }
    history.add({ is: 'trespass', ...own, way, since, ...(done.code !== undefined && { code: done.code }) })
    for (const event of done.events) {
      const committedAt = Date.parse(event.at) - history.began
      const digests = { digest: eventDigest(event), ...digestOfText(event) }
      history.add({ is: 'event', ...own, seq: event.seq, ...digests, committedAt })
    }
    for (const kind of done.signals) history.add({ is: 'signal', ...own, kind })
  }

  /** What is not as it will be, in a few words; undefined when nothing is left. */
  async #unfinished(): Promise<string | undefined> {
    const owing = this.#devices.filter(({ owed }) => owed > 0)
    if (owing.length > 0) {
      return `the messages of ${owing.map(({ name, owed }) => `${name} (${owed})`).join(', ')}`
    }
    try {
      const [open] = await this.#parts.cluster.database.query<{ turns: number }>(sql`
        select count(*)::int as turns from turns where status in ('queued', 'running', 'waiting_approval')`)
      if ((open?.turns ?? 0) > 0) return `${open?.turns} answers`
      const heads = await this.#parts.cluster.database.query<{ id: string; seq: number }>(
        sql`select id, seq from rooms`,
      )
      const head = new Map(heads.map(({ id, seq }) => [id, seq]))
      const members = await this.#members()
      const behind = this.#devices.flatMap((device) =>
        [...device.rooms]
          .filter((room) => members.has(`${room.id} ${device.person.id}`))
          .filter((room) => device.cursor(room) < (head.get(room.id) ?? 0))
          .map((room) => `${device.name} in ${room.name} (${device.cursor(room)} of ${head.get(room.id)})`),
      )
      return behind.length === 0 ? undefined : behind.join(', ')
    } catch (error) {
      return `the database (${error instanceof Error ? error.message : String(error)})`
    }
  }

  /** The messages of a room that are not as they were said, from their rows. */
  async #truth(room: ChaosRoom): Promise<ChangedMessages> {
    const rows = await this.#parts.cluster.database.query<{
      seq: number
      text: string
      deleted: boolean
      pinned: boolean
      reactions: string[] | null
      edited: boolean
    }>(sql`
      select e.seq, e.body ->> 'text' as text, e.body ->> 'deletedAt' is not null as deleted,
        e.body ->> 'editedAt' is not null as edited, p.seq is not null as pinned,
        (select array_agg(x.emoji || ' ' || x.member_id) from room_reactions x
          where x.room_id = e.room_id and x.seq = e.seq) as reactions
      from room_events e
      left join room_pins p on p.room_id = e.room_id and p.seq = e.seq
      where e.room_id = ${room.id} and e.type in ('message.created', 'message.final')`)
    return Object.fromEntries(
      rows
        .filter(({ edited, deleted, pinned, reactions }) => edited || deleted || pinned || reactions !== null)
        .map(({ seq, text, deleted, pinned, reactions }) => [
          seq,
          { text: textDigest(text), deleted, pinned, reactions: named(reactions ?? [], this.#nameOf) },
        ]),
    )
  }

  readonly #nameOf = (id: string): string => this.#people.find((person) => person.id === id)?.name ?? id

  /** Room and account of everybody who is in a room now. */
  async #members(): Promise<ReadonlySet<string>> {
    const rows = await this.#parts.cluster.database.query<{ place: string }>(sql`
      select room_id || ' ' || member_id as place from room_members where kind = 'account' and left_at is null`)
    return new Set(rows.map(({ place }) => place))
  }

  #progress(step: number): string {
    const { history, schedule } = this.#parts
    const owed = this.#devices.reduce((sum, device) => sum + device.owed, 0)
    const faults = history.lines.filter((line) => line.is === 'action' && isFault(line.action)).length
    return [
      `step ${step}/${schedule.steps.length}`,
      `${history.count('publish')} published`,
      `${history.count('ack')} acknowledged`,
      `${owed} owed`,
      `${history.count('event')} delivered`,
      `${faults} faults`,
      `${this.#parts.cluster.ports().length}/${this.#parts.cluster.nodes.length} nodes`,
    ].join(' · ')
  }

  #room(at: number): ChaosRoom {
    const room = this.#rooms[at]
    if (room === undefined) throw new Error(`there is no room ${at}`)
    return room
  }

  #person(at: number): Person {
    const person = this.#people[at]
    if (person === undefined) throw new Error(`there is no account ${at}`)
    return person
  }

  #ownersDevice(room: ChaosRoom): Device {
    const owner = ownerOf(this.#parts.schedule.cast, this.#rooms.indexOf(room))
    const [device] = this.#devicesOf([owner])
    if (device === undefined) throw new Error(`the owner of ${room.name} has no device`)
    return device
  }

  #device(at: number): Device {
    const device = this.#devices[at]
    if (device === undefined) throw new Error(`there is no device ${at}`)
    return device
  }

  #devicesOf(accounts: readonly number[]): Device[] {
    return this.#devices.filter((_, at) =>
      accounts.includes(this.#parts.schedule.cast.devices[at]?.account ?? -1),
    )
  }
}

/** Rows as they lie in the database beside events as the product reads them: neither stands in for the other. */
async function writeTimeline(
  room: ChaosRoom,
  {
    timeline,
    names,
    history,
    database,
  }: {
    readonly timeline: Timeline
    readonly names: ReadonlyMap<string, string>
    readonly history: History
    readonly database: Database
  },
): Promise<void> {
  const rows = await database.query<{
    seq: number
    id: string
    actor_id: string
    client_id: string
    text: string | null
  }>(sql`
    select seq, id, actor_id, client_id, body ->> 'text' as text
    from room_events where room_id = ${room.id} order by seq`)
  const events = new Map<number, RoomEvent>()
  for (let after = 0, more = true; more; ) {
    const page = await timeline.since(room.id, after)
    for (const event of page.events) events.set(event.seq, event)
    after = page.events.at(-1)?.seq ?? after
    more = page.more && page.events.length > 0
  }
  for (const { seq, id, actor_id, client_id, text } of rows) {
    const event = events.get(seq)
    if (event === undefined) throw new Error(`${room.name} has a row ${seq} that no reader is shown`)
    history.add({
      is: 'stored',
      room: room.name,
      seq,
      id,
      type: event.type,
      actor: names.get(actor_id) ?? actor_id,
      clientId: client_id,
      digest: eventDigest(event),
      committedAt: Date.parse(event.at) - history.began,
      ...((event.type === 'member.joined' || event.type === 'member.left') && {
        member: names.get(event.member.id) ?? event.member.id,
      }),
      ...(text !== null && { text: textDigest(text) }),
      ...('targetSeq' in event && { target: event.targetSeq }),
      ...('emoji' in event && { emoji: event.emoji }),
    })
  }
  const [row] = await database.query<{ seq: number }>(sql`select seq from rooms where id = ${room.id}`)
  history.add({ is: 'head', room: room.name, head: row?.seq ?? 0 })
}

function figuresOf(history: History): Figures {
  const { lines } = history
  const streams = streamFigures(lines)
  const welcomed = lines.flatMap((line) =>
    line.is === 'socket' && line.state === 'connected' ? [line.device] : [],
  )
  const settled = lines.flatMap((line) => (line.is === 'ack' || line.is === 'settled' ? [line.clientId] : []))
  return {
    publishes: history.count('publish'),
    changes: history.count('change_done'),
    readings: lines.filter((line) => line.is === 'read' && line.done).length,
    acks: new Set(settled).size,
    deliveries: history.count('event'),
    faults: lines.filter((line) => line.is === 'action' && isFault(line.action)).length,
    reconnects: welcomed.length - new Set(welcomed).size,
    trespasses: history.count('trespass'),
    answersFollowed: streams.followed,
    answersWhole: streams.whole,
    longestGapMs: Math.round(longestGap(lines)),
    nemesis: strikes(lines),
    seconds: Math.round((lines.at(-1)?.at ?? 0) / 1_000),
  }
}

async function writtenDown(history: History, options: ChaosOptions): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atom-chaos-history-'))
  const file = join(folder, `seed-${options.seed}.jsonl`)
  const { say: _say, hurry: _hurry, ...plan } = options
  history.write(file, plan)
  return file
}
