import { createHash } from 'node:crypto'
import { changes } from './change-checker.ts'
import type {
  DraftLine,
  EventLine,
  FinalLine,
  FollowLine,
  FrameLine,
  HistoryLine,
  LeftLine,
  MemberLine,
  PublishLine,
  SignalLine,
  StoredLine,
} from './history.ts'
import { type Fault, isFault } from './schedule.ts'

export type Rule =
  /** Places of a room are 1, 2, 3, … up to its head. */
  | 'timeline_has_a_hole'
  /** What was acknowledged is there. */
  | 'acknowledged_and_lost'
  /** One message, one place. */
  | 'stored_twice'
  /** All acknowledgements of a message name the place that it has. */
  | 'acknowledged_elsewhere'
  | 'stored_otherwise_than_said'
  | 'stored_and_never_said'
  /** When all is quiet again nobody waits for an answer. */
  | 'never_acknowledged'
  | 'refused_for_good'
  /** Messages of a device that promises it stand in the order in which they were said. */
  | 'own_order_broken'
  /** Whoever has the event of a place has the same one. */
  | 'devices_disagree'
  | 'out_of_order'
  /** Everybody who is in a room has all of it when all is quiet again. */
  | 'incomplete'
  /** Within one following of a room the server neither repeats nor leaves out. */
  | 'repeated_on_the_wire'
  | 'hole_on_the_wire'
  /** Nothing was restored, so nobody has anything to forget. */
  | 'told_to_forget'
  | 'seen_by_an_outsider'
  | 'outsider_let_in'
  | 'stream_not_exact'
  | 'checksum_wrong'
  | 'node_died'
  /** A room takes somebody in or out, within its time, when it is asked to. */
  | 'deed_failed'
  /** An edit, deletion, reaction or pin that was acknowledged has its place in the log, */
  | 'change_lost'
  /** and one place: what changes nothing has none; */
  | 'changed_in_vain'
  | 'change_never_asked'
  /** refused ones leave nothing. */
  | 'refused_and_stored'
  /** When all is quiet the log, the rows and every device say the same of each message. */
  | 'state_differs'
  | 'read_mark_lost'
  | 'read_mark_invented'
  /** What was to break something broke nothing, again and again: the run proves less than it says. */
  | 'nemesis_idle'

/** A promise that was not kept, with the smallest part of the history that shows it. */
export interface Violation {
  readonly rule: Rule
  /** What happened, in one sentence. */
  readonly sentence: string
  readonly room?: string
  readonly evidence: readonly HistoryLine[]
}

/**
 * What the server's clock and the test's may differ by, and how long a removal from a room may take to be in force
 * everywhere, in ms: the promise is a second.
 */
const removalGraceMs = 1_500

/** Reads a history and says what in it should not be. Pure: the same history, the same verdict. */
export function check(lines: readonly HistoryLine[]): Violation[] {
  const history = sorted(lines)
  return [
    ...timelines(history),
    ...publishes(history),
    ...orders(history),
    ...deliveries(history),
    ...wires(history),
    ...memberships(history),
    ...streams(history),
    ...deeds(history),
    ...changes(history),
    ...idleness(lines),
    ...lines.flatMap((line): Violation[] =>
      line.is === 'died'
        ? [
            {
              rule: 'node_died',
              sentence: `Node ${line.node} ended although nobody had ended it.`,
              evidence: [line],
            },
          ]
        : [],
    ),
  ]
}

function deeds({ deed_failed }: Kinds): Violation[] {
  return deed_failed.map((line) => ({
    rule: 'deed_failed',
    sentence: `${line.deed} was not done: ${line.answer}.`,
    evidence: [line],
  }))
}

/** A fault may come to nothing, as when a process is just starting; not always. */
const mostIdle = 4
/** So many questions in vain are no accident. */
const mostUnanswered = 12

function idleness(lines: readonly HistoryLine[]): Violation[] {
  const asked = lines.filter((line) => line.is === 'action' && line.action.do === 'ask')
  const unanswered: Violation[] =
    asked.length < mostUnanswered || lines.some(({ is }) => is === 'draft')
      ? []
      : [
          {
            rule: 'nemesis_idle',
            sentence: `Agents were asked ${asked.length} times, and nobody saw an answer being written.`,
            evidence: asked.slice(0, 1),
          },
        ]
  const idle = [...strikes(lines)].flatMap(([fault, { due, struck }]): Violation[] =>
    struck > 0 || due < mostIdle
      ? []
      : [
          {
            rule: 'nemesis_idle',
            sentence: `${fault} was due ${due} times and never struck.`,
            evidence: lines.filter((line) => line.is === 'action' && line.action.do === fault).slice(0, 1),
          },
        ],
  )
  return [...unanswered, ...idle]
}

/** By kind of fault: how many were due, and how many really struck. */
export function strikes(
  lines: readonly HistoryLine[],
): Map<Fault['do'], { readonly due: number; readonly struck: number }> {
  const counts = new Map<Fault['do'], { due: number; struck: number }>()
  const of = (fault: Fault['do']) => {
    const count = counts.get(fault) ?? { due: 0, struck: 0 }
    counts.set(fault, count)
    return count
  }
  for (const line of lines) {
    if (line.is === 'action' && isFault(line.action)) of(line.action.do).due++
    if (line.is === 'struck') of(line.fault).struck++
  }
  return counts
}

/** Lines by kind. */
export type Kinds = { readonly [K in HistoryLine['is']]: readonly Extract<HistoryLine, { is: K }>[] }

/** Lines by kind, each in the order of the history. */
function sorted(lines: readonly HistoryLine[]): Kinds {
  const kinds: { [K in HistoryLine['is']]: Extract<HistoryLine, { is: K }>[] } = {
    member: [],
    publish: [],
    ack: [],
    settled: [],
    refused: [],
    event: [],
    follow: [],
    frame: [],
    reset: [],
    trespass: [],
    signal: [],
    draft: [],
    final: [],
    action: [],
    socket: [],
    died: [],
    quiet: [],
    following: [],
    stored: [],
    head: [],
    turn: [],
    left: [],
    deed_failed: [],
    struck: [],
    change: [],
    change_done: [],
    change_refused: [],
    read: [],
    mark: [],
    state: [],
    truth: [],
  }
  for (const line of lines) (kinds[line.is] as HistoryLine[]).push(line)
  return kinds
}

function grouped<T>(things: readonly T[], keyOf: (thing: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const thing of things) {
    const key = keyOf(thing)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [thing])
    else group.push(thing)
  }
  return groups
}

function timelines({ stored, head }: Kinds): Violation[] {
  const byRoom = grouped(stored, ({ room }) => room)
  return head.flatMap((line): Violation[] => {
    const events = (byRoom.get(line.room) ?? []).toSorted((a, b) => a.seq - b.seq)
    for (let place = 1; place <= Math.max(line.head, events.length); place++) {
      const event = events[place - 1]
      if (event?.seq === place && place <= line.head) continue
      const before = events[place - 2]
      const evidence = [before, event, line].filter((one) => one !== undefined)
      const sentence =
        event === undefined || event.seq > place
          ? `${line.room} has no event ${place}, although its head is ${line.head}.`
          : event.seq < place
            ? `${line.room} has event ${event.seq} twice.`
            : `${line.room} has an event ${place} beyond its head ${line.head}.`
      return [{ rule: 'timeline_has_a_hole', sentence, room: line.room, evidence }]
    }
    return []
  })
}

function messageKey(line: { readonly room: string; readonly clientId: string }, account: string): string {
  return `${line.room} ${account} ${line.clientId}`
}

/** Each publish has one place; acknowledged ones above all. */
function publishes({ publish, ack, settled, refused, stored, quiet, trespass, member }: Kinds): Violation[] {
  const stays = new Stays({ member, stored })
  const said = stored.filter(({ type }) => type === 'message.created')
  const places = grouped(said, (event) => messageKey(event, event.actor))
  const acks = grouped(ack, (line) => messageKey(line, line.account))
  const letGo = new Map(settled.map((line) => [messageKey(line, line.account), line]))
  const refusals = grouped(refused, (line) => messageKey(line, line.account))
  const rewritten = new Set(
    stored.flatMap(({ type, room, target }) =>
      type === 'message.edited' || type === 'message.deleted' ? [`${room} ${target}`] : [],
    ),
  )
  const published = new Map(publish.map((line) => [messageKey(line, line.account), line]))
  const violations: Violation[] = []
  for (const [key, line] of published) {
    const { room, clientId, device } = line
    const found = places.get(key) ?? []
    const answers = acks.get(key) ?? []
    const refusal = refusals.get(key)?.[0]
    const first = answers[0]
    const place = found[0]
    const settlement = letGo.get(key)
    const evidence = [line, ...answers, settlement, refusal, ...found].filter((one) => one !== undefined)
    const tell = (rule: Rule, sentence: string) => violations.push({ rule, sentence, room, evidence })
    if (found.length > 1) {
      tell('stored_twice', `${clientId} of ${device} stands at ${found.map(({ seq }) => seq).join(' and ')}.`)
    }
    if (place === undefined && refusal === undefined && (first ?? settlement) !== undefined) {
      const as = first === undefined ? 'let go of by its outbox' : `acknowledged as ${first.seq}`
      tell('acknowledged_and_lost', `${clientId} of ${device} was ${as} and is not there.`)
    }
    if (place !== undefined) {
      const wrong = answers.find((answer) => answer.seq !== place.seq || answer.id !== place.id)
      if (wrong !== undefined) {
        tell(
          'acknowledged_elsewhere',
          `${clientId} of ${device} was acknowledged as ${wrong.seq} and stands at ${place.seq}.`,
        )
      }
      if (place.text !== line.text && !rewritten.has(`${place.room} ${place.seq}`)) {
        tell(
          'stored_otherwise_than_said',
          `${clientId} of ${device} is stored as another text than was said.`,
        )
      }
    }
    // Whoever speaks while they are being added or removed may be refused.
    const outside = refusal?.code === 'not_a_member' && !stays.certain(line, line.at, refusal.at)
    if (refusal !== undefined && !outside) {
      tell('refused_for_good', `${clientId} of ${device} was refused for good: ${refusal.code}.`)
    } else if (refusal === undefined && quiet.length > 0 && (first ?? settlement) === undefined) {
      tell('never_acknowledged', `${clientId} of ${device} has no acknowledgement although all is quiet.`)
    }
  }
  const strangers = new Set(trespass.map(({ account, room }) => `${account} ${room}`))
  for (const event of said) {
    if (published.has(messageKey(event, event.actor))) continue
    const trespassed = strangers.has(`${event.actor} ${event.room}`)
    // Let in again by a question of long ago, of which only the log knows: then they may speak.
    if (trespassed && stays.log({ account: event.actor, room: event.room }) !== undefined) continue
    violations.push({
      rule: trespassed ? 'outsider_let_in' : 'stored_and_never_said',
      sentence: `Event ${event.seq} of ${event.room} is a message that ${trespassed ? 'an outsider slipped in' : 'nobody said'}.`,
      room: event.room,
      evidence: [event],
    })
  }
  return violations
}

/** The messages of one device in one room, where it promises their order. */
function orders({ publish, stored }: Kinds): Violation[] {
  const places = new Map(stored.map((event) => [messageKey(event, event.actor), event]))
  const owners = grouped(
    publish.filter(({ ordered }) => ordered),
    ({ device, room }) => `${device} ${room}`,
  )
  return [...owners.values()].flatMap((lines): Violation[] => {
    let before: { readonly line: PublishLine; readonly event: StoredLine } | undefined
    for (const line of lines.toSorted((a, b) => a.order - b.order)) {
      const event = places.get(messageKey(line, line.account))
      if (event === undefined) continue
      if (before !== undefined && event.seq < before.event.seq) {
        return [
          {
            rule: 'own_order_broken',
            sentence: `${line.device} said ${before.line.clientId} before ${line.clientId}; they stand at ${before.event.seq} and ${event.seq}.`,
            room: line.room,
            evidence: [before.line, before.event, line, event],
          },
        ]
      }
      before = { line, event }
    }
    return []
  })
}

/** What devices hold is one timeline, in order, and whole for those who were there at the end. */
function deliveries({ event, stored, following, reset }: Kinds): Violation[] {
  const truth = new Map(stored.map((line) => [`${line.room} ${line.seq}`, line]))
  const seen = new Map<string, EventLine>()
  const violations: Violation[] = []
  for (const line of event) {
    const key = `${line.room} ${line.seq}`
    const other: EventLine | StoredLine | undefined = seen.get(key) ?? truth.get(key)
    if (other === undefined && stored.length > 0) {
      violations.push({
        rule: 'devices_disagree',
        sentence: `${line.device} holds an event ${line.seq} of ${line.room} that the database does not have.`,
        room: line.room,
        evidence: [line],
      })
    } else if (other !== undefined && other.digest !== line.digest) {
      violations.push({
        rule: 'devices_disagree',
        sentence: `${line.device} holds another event ${line.seq} of ${line.room} than ${other.is === 'event' ? other.device : 'the database'}.`,
        room: line.room,
        evidence: [other, line],
      })
    }
    if (!seen.has(key)) seen.set(key, line)
  }
  const held = grouped(event, ({ device, room }) => `${device} ${room}`)
  for (const lines of held.values()) {
    const broken = lines.findIndex((line, at) => at > 0 && line.seq <= (lines[at - 1]?.seq ?? 0))
    const line = lines[broken]
    const before = lines[broken - 1]
    if (line === undefined || before === undefined) continue
    violations.push({
      rule: 'out_of_order',
      sentence: `${line.device} was handed event ${line.seq} of ${line.room} after event ${before.seq}.`,
      room: line.room,
      evidence: [before, line],
    })
  }
  const newest = new Map<string, number>()
  for (const { room, seq } of stored) newest.set(room, Math.max(newest.get(room) ?? 0, seq))
  for (const line of following) {
    const has = new Set((held.get(`${line.device} ${line.room}`) ?? []).map(({ seq }) => seq))
    const head = newest.get(line.room) ?? 0
    const missing: number[] = []
    for (let seq = line.from; seq <= head; seq++) if (!has.has(seq)) missing.push(seq)
    const [first] = missing
    if (first === undefined) continue
    const event = truth.get(`${line.room} ${first}`)
    violations.push({
      rule: 'incomplete',
      sentence: `${line.device} lacks ${spans(missing)} of ${line.room}, whose head is ${head}.`,
      room: line.room,
      evidence: [line, ...(event ? [event] : [])],
    })
  }
  for (const line of reset) {
    violations.push({
      rule: 'told_to_forget',
      sentence: `${line.device} was told to forget ${line.room}, although nothing was restored.`,
      room: line.room,
      evidence: [line],
    })
  }
  return violations
}

/** 3, 5–9, … */
function spans(numbers: readonly number[]): string {
  const parts: string[] = []
  for (let at = 0; at < numbers.length; ) {
    let end = at
    while (numbers[end + 1] === (numbers[end] ?? 0) + 1) end++
    parts.push(end === at ? String(numbers[at]) : `${numbers[at]}–${numbers[end]}`)
    at = end + 1
  }
  return parts.length > 6 ? `${parts.slice(0, 6).join(', ')}, …` : parts.join(', ')
}

/** Frame by frame, as they came: the server's own promise, before any device has mended anything. */
function wires({ follow, frame }: Kinds): Violation[] {
  const frames = grouped(frame, followKey)
  return follow.flatMap((begin): Violation[] => {
    let last = begin.after
    let before: FrameLine | undefined
    for (const line of frames.get(followKey(begin)) ?? []) {
      for (const seq of line.seqs) {
        if (seq === last + 1) {
          last = seq
          continue
        }
        const repeated = seq <= last
        return [
          {
            rule: repeated ? 'repeated_on_the_wire' : 'hole_on_the_wire',
            sentence: `${line.device} was sent event ${seq} of ${line.room} right after ${last}, on one socket.`,
            room: line.room,
            evidence: [begin, ...(before ? [before] : []), line],
          },
        ]
      }
      before = line
    }
    return []
  })
}

function followKey(line: {
  readonly device: string
  readonly room: string
  readonly follow: number
}): string {
  return `${line.device} ${line.room} ${line.follow}`
}

/** One time in a room, as the room's own log tells it. */
interface Stay {
  /** Place of the coming, and a time at which it was not yet committed or just then; 0: there from the beginning. */
  readonly from: { readonly seq: number; readonly at: number }
  /** Place of the going; undefined: still there. */
  readonly to: { readonly seq: number; readonly at: number } | undefined
}

/**
 * When somebody was in a room. The room's log says it by places, exactly; what was asked and answered says it by times. A
 * question whose answer was lost may take effect late, so of the two only the log knows.
 */
class Stays {
  readonly #lines: ReadonlyMap<string, readonly MemberLine[]>
  readonly #log = new Map<string, readonly Stay[]>()

  constructor({ member, stored }: Pick<Kinds, 'member' | 'stored'>) {
    this.#lines = grouped(member, ({ account, room }) => `${account} ${room}`)
    const moves = grouped(
      stored.filter((line) => line.member !== undefined),
      ({ member: account, room }) => `${account} ${room}`,
    )
    for (const [key, lines] of moves) this.#log.set(key, staysOf(lines))
  }

  of(line: { readonly account: string; readonly room: string }): readonly MemberLine[] {
    return this.#lines.get(`${line.account} ${line.room}`) ?? []
  }

  /** Undefined where the log says nothing of them: they were there from the beginning, or never. */
  log(line: { readonly account: string; readonly room: string }): readonly Stay[] | undefined {
    return this.#log.get(`${line.account} ${line.room}`)
  }

  /** May have been in the room at some time from `from` to `to`. */
  possible(line: { readonly account: string; readonly room: string }, from: number, to: number): boolean {
    const log = this.log(line)
    if (log !== undefined) {
      return log.some(
        (stay) => stay.from.at <= to + clocksMs && from <= this.#over(line, stay) + removalGraceMs,
      )
    }
    let since: number | undefined
    for (const { change, at } of this.of(line)) {
      if (change === 'adding' || change === 'added') since ??= at
      if (change !== 'removed' || since === undefined) continue
      if (since <= to && from <= at + removalGraceMs) return true
      since = undefined
    }
    return since !== undefined && since <= to
  }

  /** Was in the room all the time from `from` to `to`, and had been told so. */
  certain(line: { readonly account: string; readonly room: string }, from: number, to: number): boolean {
    const log = this.log(line)
    if (log?.some((stay) => stay.from.at <= from && (stay.to === undefined || to < stay.to.at)) === false) {
      return false
    }
    let since: number | undefined
    for (const { change, at } of this.of(line)) {
      if (change === 'added' && at <= from) since ??= at
      if (change === 'removing' && at <= to) since = undefined
    }
    return since !== undefined
  }

  /** When the end of a stay was surely committed: when somebody was told so, or long after it was begun. */
  #over(line: { readonly account: string; readonly room: string }, { to }: Stay): number {
    if (to === undefined) return Number.POSITIVE_INFINITY
    const told = this.of(line).find(({ change, at }) => change === 'removed' && at >= to.at - clocksMs)?.at
    return Math.min(told ?? Number.POSITIVE_INFINITY, to.at + trespassMs)
  }
}

function staysOf(moves: readonly StoredLine[]): Stay[] {
  const stays: Stay[] = []
  let from: Stay['from'] | undefined
  for (const [index, { type, seq, committedAt: at = 0 }] of moves
    .toSorted((a, b) => a.seq - b.seq)
    .entries()) {
    if (type === 'member.joined') from ??= { seq, at }
    else if (type === 'member.left') {
      if (index === 0) from ??= { seq: 0, at: 0 }
      if (from !== undefined) stays.push({ from, to: { seq, at } })
      from = undefined
    }
  }
  if (from !== undefined) stays.push({ from, to: undefined })
  return stays
}

/** What the clock that stamps events and the one of this history may differ by, in ms: rounding, on one machine. */
const clocksMs = 250
/** How long a question may have been on its way, in ms. */
const trespassMs = 60_000

function memberships({ member, stored, event, signal, trespass, left, follow }: Kinds): Violation[] {
  const stays = new Stays({ member, stored })
  const violations: Violation[] = []
  for (const line of event) {
    const log = stays.log(line)
    // By places: all up to the going, whenever it comes; what lies after it only when they are in again.
    const theirs =
      log === undefined
        ? stays.possible(line, 0, line.at)
        : log.some(
            ({ from, to }) => (to === undefined || line.seq <= to.seq) && from.at <= line.at + clocksMs,
          )
    if (theirs) continue
    violations.push({
      rule: 'seen_by_an_outsider',
      sentence: `${line.device} of ${line.account} got event ${line.seq} of ${line.room} without being in it.`,
      room: line.room,
      evidence: [...goings(stored, line), ...stays.of(line), line],
    })
  }
  for (const line of afterRemoval(member, event)) {
    if (stays.log(line) !== undefined) continue
    violations.push({
      rule: 'seen_by_an_outsider',
      sentence: `${line.device} of ${line.account} got event ${line.seq} of ${line.room}, committed after they had been removed.`,
      room: line.room,
      evidence: [...stays.of(line), line],
    })
  }
  for (const line of signal) {
    const farewell = farewellBefore(line, left, follow)
    if (farewell === undefined && stays.possible(line, 0, line.at)) continue
    violations.push({
      rule: 'seen_by_an_outsider',
      sentence: `${line.device} of ${line.account} heard a signal (${line.kind}) of ${line.room} ${farewell === undefined ? 'without being in it' : 'after it was told that it is out'}.`,
      room: line.room,
      evidence: [...(farewell === undefined ? stays.of(line) : [farewell]), line],
    })
  }
  for (const line of trespass) {
    if (line.code !== undefined) continue
    if (stays.possible(line, line.since ?? line.at - trespassMs, line.at)) continue
    violations.push({
      rule: 'outsider_let_in',
      sentence: `${line.device} of ${line.account} was let into ${line.room} (${line.way}) without being in it.`,
      room: line.room,
      evidence: [...stays.of(line), line],
    })
  }
  return [...violations, ...strangersWords(stays, stored), ...promisedMemberships(stays, member)]
}

/** The device's word that it is out, unless it has followed the room since. */
function farewellBefore(
  { device, room, at }: SignalLine,
  left: readonly LeftLine[],
  follow: readonly FollowLine[],
): LeftLine | undefined {
  const own = (line: LeftLine | FollowLine) => line.device === device && line.room === room && line.at <= at
  const farewell = left.findLast(own)
  if (farewell === undefined) return undefined
  return follow.some((line) => own(line) && line.at >= farewell.at) ? undefined : farewell
}

/** Messages whose place lies where their author was not in the room. */
function strangersWords(stays: Stays, stored: readonly StoredLine[]): Violation[] {
  return stored.flatMap((line): Violation[] => {
    if (line.type !== 'message.created') return []
    const log = stays.log({ account: line.actor, room: line.room })
    if (log === undefined) return []
    if (log.some(({ from, to }) => from.seq < line.seq && (to === undefined || line.seq < to.seq))) return []
    return [
      {
        rule: 'outsider_let_in',
        sentence: `Event ${line.seq} of ${line.room} is a message of ${line.actor}, who was not in the room at that place.`,
        room: line.room,
        evidence: [...goings(stored, { account: line.actor, room: line.room }), line],
      },
    ]
  })
}

/** Who was said to be in, or out, was. */
function promisedMemberships(stays: Stays, member: readonly MemberLine[]): Violation[] {
  const asked = new Map<string, MemberLine>()
  return member.flatMap((line): Violation[] => {
    const key = `${line.account} ${line.room}`
    const log = stays.log(line)
    const before = asked.get(key)
    asked.set(key, line)
    if (log === undefined || before === undefined) return []
    if (line.change !== 'added' && line.change !== 'removed') return []
    const kept =
      line.change === 'added'
        ? log.some(
            ({ from, to }) =>
              from.at <= line.at + clocksMs && (to === undefined || to.at >= before.at - clocksMs),
          )
        : !log.some(({ from, to }) => from.at < before.at && (to === undefined || to.at > line.at + clocksMs))
    if (kept) return []
    return [
      {
        rule: 'acknowledged_and_lost',
        sentence: `${line.account} was said to be ${line.change} (${line.room}); the log knows nothing of it.`,
        room: line.room,
        evidence: [before, line],
      },
    ]
  })
}

/** When somebody came and went, by the log; the last few. */
function goings(
  stored: readonly StoredLine[],
  { account, room }: { readonly account: string; readonly room: string },
): StoredLine[] {
  return stored.filter((line) => line.member === account && line.room === room).slice(-3)
}

/**
 * Events that a device got after its person had been removed, and that were committed after that too. By the times of
 * commit, because a slow line brings late what was sent in time.
 */
function afterRemoval(member: readonly MemberLine[], event: readonly EventLine[]): EventLine[] {
  if (!member.some(({ change }) => change === 'removed')) return []
  const found: EventLine[] = []
  const events = grouped(event, ({ account, room }) => `${account} ${room}`)
  for (const [key, lines] of grouped(member, ({ account, room }) => `${account} ${room}`)) {
    for (const [at, line] of lines.entries()) {
      if (line.change !== 'removed') continue
      const again =
        lines.slice(at + 1).find(({ change }) => change === 'adding')?.at ?? Number.POSITIVE_INFINITY
      found.push(
        ...(events.get(key) ?? []).filter(
          (one) => one.at > line.at && one.at < again && one.committedAt > line.at + removalGraceMs,
        ),
      )
    }
  }
  return found
}

/** What was streamed is the beginning of what was committed, to the byte; and the checksum is the text's. */
function streams({ draft, final, turn }: Kinds): Violation[] {
  const violations: Violation[] = []
  const finals = new Map<string, FinalLine>()
  for (const line of final) {
    const sha256 = createHash('sha256').update(line.text).digest('hex')
    if (sha256 !== line.sha256) {
      violations.push({
        rule: 'checksum_wrong',
        sentence: `The checksum of the answer ${line.messageId} in ${line.room} is not that of the text that ${line.device} got.`,
        room: line.room,
        evidence: [line],
      })
    }
    // Whoever read it after it was deleted has nothing of what it said.
    if ((finals.get(line.messageId)?.text ?? '') === '') finals.set(line.messageId, line)
  }
  const turns = new Map(turn.map((line) => [line.messageId, line]))
  for (const line of draft) {
    const answer = finals.get(line.messageId)
    if (answer === undefined || answer.text === '') continue
    // What was streamed of an attempt that was given up is void. Who stops an answer keeps what they have read of it.
    const ended = turns.get(line.messageId)
    const valid =
      ended === undefined ||
      (ended.attempt === line.attempt && ['succeeded', 'cancelled'].includes(ended.status))
    if (!line.contradicted && (!valid || answer.text.startsWith(line.text))) continue
    violations.push({
      rule: 'stream_not_exact',
      sentence: line.contradicted
        ? `Two pieces of the answer ${line.messageId} in ${line.room} that overlap said different things to ${line.device}.`
        : `${line.device} had put together another beginning of the answer ${line.messageId} in ${line.room} than was committed.`,
      room: line.room,
      evidence: [line, answer],
    })
  }
  return violations
}

/** Figures of the streams: how many answers devices followed, and how many of those to the last byte. */
export function streamFigures(lines: readonly HistoryLine[]): { followed: number; whole: number } {
  const { draft, final, turn } = sorted(lines)
  const texts = new Map<string, string>()
  for (const { messageId, text } of final) if (text !== '') texts.set(messageId, text)
  const turns = new Map(turn.map((line) => [line.messageId, line]))
  const last = draft.filter((line: DraftLine) => {
    const ended = turns.get(line.messageId)
    return ended?.attempt === line.attempt && ended.status === 'succeeded'
  })
  return {
    followed: last.length,
    whole: last.filter((line) => texts.get(line.messageId) === line.text).length,
  }
}

/**
 * The longest way of an event from its commit to a device that had the room open, in ms: what its person was without, in the
 * worst moment of the run.
 */
export function longestGap(lines: readonly HistoryLine[]): number {
  const open = new Map<string, number>()
  const holders = new Map<string, string>()
  /** Who is out of a room, or about to be: until they are asked back in nobody owes them anything of it. */
  const out = new Set<string>()
  let longest = 0
  for (const line of lines) {
    if (line.is === 'member') {
      const holder = `${line.account} ${line.room}`
      if (line.change === 'adding') out.delete(holder)
      if (line.change !== 'removing') continue
      out.add(holder)
      for (const [key, of] of holders) if (of === holder) open.delete(key)
    }
    if (line.is !== 'event') continue
    const { device, account, room, at, committedAt } = line
    const holder = `${account} ${room}`
    // What still arrives between the question and their going does not open the room for the time after it.
    if (out.has(holder)) continue
    const key = `${device} ${room}`
    holders.set(key, holder)
    const since = open.get(key)
    if (since === undefined) open.set(key, at)
    else if (committedAt >= since) longest = Math.max(longest, at - committedAt)
  }
  return longest
}
