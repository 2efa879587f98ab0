import type { Kinds, Violation } from './checker.ts'
import type { ChangeLine, EventLine, StoredLine } from './history.ts'
import { type ChangedMessages, type MessageState, nothing } from './message-states.ts'
import type { ChangeKind } from './schedule.ts'

/** What a change is in the log. */
const types: Readonly<Record<ChangeKind, StoredLine['type']>> = {
  edit: 'message.edited',
  delete: 'message.deleted',
  react: 'reaction.added',
  unreact: 'reaction.removed',
  pin: 'message.pinned',
  unpin: 'message.unpinned',
}
const kinds = new Map(Object.entries(types).map(([kind, type]) => [type, kind as ChangeKind]))

/** What became of messages: each change has one place, and everybody agrees on what they are. */
export function changes(history: Kinds): Violation[] {
  const log = logOf(history.stored)
  return [
    ...acknowledged(history),
    ...uninvited(history),
    ...repeated(log),
    ...refusals(history),
    ...texts(history),
    ...states(history, log),
    ...marks(history),
  ]
}

interface Log {
  /** By room and target: changes in order. */
  readonly byMessage: ReadonlyMap<string, readonly StoredLine[]>
}

function logOf(stored: readonly StoredLine[]): Log {
  const byMessage = new Map<string, StoredLine[]>()
  for (const line of stored.toSorted((a, b) => a.seq - b.seq)) {
    if (line.target === undefined || !kinds.has(line.type)) continue
    const key = `${line.room} ${line.target}`
    const others = byMessage.get(key)
    if (others === undefined) byMessage.set(key, [line])
    else others.push(line)
  }
  return { byMessage }
}

/** Whether this line of the log may be what was asked for. */
function answers(line: StoredLine, asked: ChangeLine): boolean {
  if (line.room !== asked.room || line.target !== asked.target || line.type !== types[asked.kind])
    return false
  // Deleted and pinned is a message for everybody, whoever was first; taking a pin off as well.
  const everybodys = asked.kind === 'delete' || asked.kind === 'pin' || asked.kind === 'unpin'
  if (!everybodys && line.actor !== asked.account) return false
  if (asked.kind === 'react' || asked.kind === 'unreact') return line.emoji === asked.emoji
  // Of a message that is deleted nothing stays that was said, in its edits neither.
  return asked.kind !== 'edit' || line.text === asked.text || line.text === nothing
}

/** What was acknowledged is in the log. Where it was so already there is nothing to write: then an earlier one made it so. */
function acknowledged({ change, change_done, stored }: Kinds): Violation[] {
  const byKey = new Map(change.map((line) => [line.key, line]))
  return change_done.flatMap((done): Violation[] => {
    const asked = byKey.get(done.key)
    if (asked === undefined) return []
    const found = stored.filter((line) => answers(line, asked))
    // Who takes off what is not there is told that it is off.
    if (asked.kind === 'unreact' || asked.kind === 'unpin') return []
    const there = done.seq === undefined ? found.length > 0 : found.some(({ seq }) => seq === done.seq)
    if (there) return []
    return [
      {
        rule: 'change_lost',
        sentence: `${asked.key} of ${asked.device} (${asked.kind} of ${asked.target} in ${asked.room}) was acknowledged and is not in the log.`,
        room: asked.room,
        evidence: [asked, done, ...found],
      },
    ]
  })
}

/** Nothing is in the log that nobody asked for, or that was refused the first time. */
function uninvited({ change, change_refused, stored }: Kinds): Violation[] {
  const refused = new Set(change_refused.filter(({ tries }) => tries === 1).map(({ key }) => key))
  const byMessage = Map.groupBy(change, ({ room, target, kind }) => `${room} ${target} ${kind}`)
  return stored.flatMap((line): Violation[] => {
    const kind = kinds.get(line.type)
    if (kind === undefined) return []
    const asked = (byMessage.get(`${line.room} ${line.target} ${kind}`) ?? []).filter(
      (one) => one.account === line.actor && answers(line, one),
    )
    if (asked.some(({ key }) => !refused.has(key))) return []
    const [first] = asked
    return [
      {
        rule: first === undefined ? 'change_never_asked' : 'refused_and_stored',
        sentence: `Event ${line.seq} of ${line.room} is a change of ${line.target} (${line.type}) that ${first === undefined ? `${line.actor} never asked for` : `was refused to ${line.actor}`}.`,
        room: line.room,
        evidence: [...asked, line],
      },
    ]
  })
}

/** A change that changes nothing has no place: the same edit twice, a reaction to what has it, anything after the deletion. */
function repeated({ byMessage }: Log): Violation[] {
  return [...byMessage.values()].flatMap((lines): Violation[] => {
    const on = new Map<string, StoredLine>()
    const edits = new Map<string, StoredLine>()
    let deletion: StoredLine | undefined
    for (const line of lines) {
      const tell = (before: StoredLine | undefined, why: string): Violation[] => [
        {
          rule: 'changed_in_vain',
          sentence: `Event ${line.seq} of ${line.room} (${line.type} of ${line.target}) ${why}.`,
          room: line.room,
          evidence: [...(before === undefined ? [] : [before]), line],
        },
      ]
      if (deletion !== undefined) return tell(deletion, 'comes after the message was deleted')
      if (line.type === 'message.deleted') deletion = line
      else if (line.type === 'message.edited') {
        const text = line.text ?? nothing
        const before = edits.get(text)
        if (before !== undefined && text !== nothing) return tell(before, 'is the same edit once more')
        edits.set(text, line)
      } else {
        const key = line.emoji === undefined ? 'pin' : `${line.emoji} ${line.actor}`
        const before = on.get(key)
        const isOn = line.type === 'reaction.added' || line.type === 'message.pinned'
        if (isOn === (before !== undefined)) return tell(before, 'changes nothing')
        if (isOn) on.set(key, line)
        else on.delete(key)
      }
    }
    return []
  })
}

/** Codes that say why a change was not to be had, where the message was somebody else's, gone, or the room full of them. */
const fair = new Set(['forbidden', 'not_found', 'not_a_member', 'too_many_reactions', 'too_many_pins'])

function refusals({ change, change_refused, stored }: Kinds): Violation[] {
  const byKey = new Map(change.map((line) => [line.key, line]))
  const messages = new Map(stored.map((line) => [`${line.room} ${line.seq}`, line]))
  const deleted = new Set(
    stored.flatMap(({ type, room, target }) => (type === 'message.deleted' ? [`${room} ${target}`] : [])),
  )
  return change_refused.flatMap((line): Violation[] => {
    const asked = byKey.get(line.key)
    if (asked === undefined) return []
    const key = `${asked.room} ${asked.target}`
    const isMine = messages.get(key)?.actor === asked.account
    const wrong =
      !fair.has(line.code) ||
      (line.code === 'forbidden' && (isMine || (asked.kind !== 'edit' && asked.kind !== 'delete'))) ||
      (line.code === 'not_found' && !deleted.has(key))
    if (!wrong) return []
    return [
      {
        rule: 'refused_for_good',
        sentence: `${asked.key} of ${asked.device} (${asked.kind} of ${asked.target} in ${asked.room}) was refused: ${line.code}.`,
        room: asked.room,
        evidence: [asked, line],
      },
    ]
  })
}

/** Whoever read a message, at whatever time, read a text that somebody gave it. */
function texts({ event, publish, change, stored }: Kinds): Violation[] {
  const given = new Map<string, Set<string>>()
  const give = (key: string, text: string | undefined) => {
    if (text === undefined) return
    const texts = given.get(key) ?? new Set()
    given.set(key, texts)
    texts.add(text)
  }
  const said = new Map(
    publish.map(({ room, account, clientId, text }) => [`${room} ${account} ${clientId}`, text]),
  )
  /** What an answer said nobody knows once it was deleted. */
  const unknown = new Set<string>()
  const edits = Map.groupBy(
    change.filter(({ kind }) => kind === 'edit'),
    ({ room, target }) => `${room} ${target}`,
  )
  for (const line of stored) {
    const key = `${line.room} ${line.seq}`
    give(key, line.text)
    give(key, said.get(`${line.room} ${line.actor} ${line.clientId}`))
    if (line.type === 'message.created') for (const { text } of edits.get(key) ?? []) give(key, text)
    if (line.type === 'message.edited') {
      for (const { text } of edits.get(`${line.room} ${line.target}`) ?? []) give(key, text)
    }
    if (line.type === 'message.final' && line.text === nothing) unknown.add(key)
  }
  return event.flatMap((line: EventLine): Violation[] => {
    const key = `${line.room} ${line.seq}`
    const known = given.get(key)
    if (line.text === undefined || known === undefined || known.has(line.text) || unknown.has(key)) return []
    return [
      {
        rule: 'devices_disagree',
        sentence: `${line.device} read in event ${line.seq} of ${line.room} what nobody has written there.`,
        room: line.room,
        evidence: [...stored.filter(({ room, seq }) => room === line.room && seq === line.seq), line],
      },
    ]
  })
}

/** The log, the rows, and what devices made of it say the same of each message. */
function states({ state, truth, following }: Kinds, log: Log): Violation[] {
  const violations: Violation[] = []
  const truths = new Map(truth.map((line) => [line.room, line]))
  for (const line of truth) {
    const wrong = firstDifference(foldedOf(log, line.room), line.messages, 1)
    if (wrong === undefined) continue
    violations.push({
      rule: 'state_differs',
      sentence: `The database has another message ${wrong} of ${line.room} than its log makes of it: ${worded(line.messages[wrong])}.`,
      room: line.room,
      evidence: log.byMessage.get(`${line.room} ${wrong}`)?.slice(-6) ?? [],
    })
  }
  const whole = new Set(following.map(({ account, room }) => `${account} ${room}`))
  for (const line of state) {
    const real = truths.get(line.room)
    if (real === undefined || !whole.has(`${line.account} ${line.room}`)) continue
    const wrong = firstDifference(line.messages, real.messages, line.from)
    if (wrong === undefined) continue
    violations.push({
      rule: 'state_differs',
      sentence: `${line.device} has another message ${wrong} of ${line.room} than the database: ${worded(line.messages[wrong])} instead of ${worded(real.messages[wrong])}.`,
      room: line.room,
      evidence: log.byMessage.get(`${line.room} ${wrong}`)?.slice(-6) ?? [],
    })
  }
  return violations
}

function foldedOf({ byMessage }: Log, room: string): ChangedMessages {
  const folded: Record<string, MessageState> = {}
  for (const [key, lines] of byMessage) {
    const [ofRoom, target = ''] = key.split(' ')
    if (ofRoom !== room) continue
    const reactions = new Set<string>()
    let text: string | undefined
    let pinned = false
    let deleted = false
    for (const { type, actor, emoji, text: now } of lines) {
      if (type === 'message.edited') text = now
      else if (type === 'message.deleted') deleted = true
      else if (type === 'reaction.added') reactions.add(`${emoji} ${actor}`)
      else if (type === 'reaction.removed') reactions.delete(`${emoji} ${actor}`)
      else pinned = type === 'message.pinned'
    }
    if (deleted) folded[target] = { text: nothing, deleted, reactions: [], pinned: false }
    else if (text !== undefined || reactions.size > 0 || pinned) {
      folded[target] = { text: text ?? '', deleted, reactions: [...reactions].sort(), pinned }
    }
  }
  return folded
}

/** The first message from there on of which they say different things. An empty text says nothing of the text. */
function firstDifference(one: ChangedMessages, other: ChangedMessages, from: number): string | undefined {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])]
    .filter((seq) => Number(seq) >= from)
    .sort((a, b) => Number(a) - Number(b))
    .find((seq) => {
      const [mine, theirs] = [one[seq], other[seq]]
      if (mine === undefined || theirs === undefined) return true
      return (
        (mine.text !== '' && mine.text !== theirs.text) ||
        mine.deleted !== theirs.deleted ||
        mine.pinned !== theirs.pinned ||
        mine.reactions.join() !== theirs.reactions.join()
      )
    })
}

function worded(message: MessageState | undefined): string {
  if (message === undefined) return 'as it was said'
  const { text, deleted, pinned, reactions } = message
  return [
    deleted ? 'deleted' : `text ${text}`,
    ...(pinned ? ['pinned'] : []),
    ...(reactions.length > 0 ? [reactions.join(', ')] : []),
  ].join(' · ')
}

/** Nobody has read less than they said when all is quiet, nor what they never said that they had read. */
function marks({ mark, read, following }: Kinds): Violation[] {
  const byHolder = Map.groupBy(read, ({ account, room }) => `${account} ${room}`)
  const whole = new Set(following.map(({ account, room }) => `${account} ${room}`))
  return mark.flatMap((line): Violation[] => {
    const holder = `${line.account} ${line.room}`
    const said = byHolder.get(holder) ?? []
    const furthest = said.toSorted((a, b) => b.seq - a.seq)[0]
    const evidence = [...(furthest === undefined ? [] : [furthest]), line]
    const furthestSeq = furthest?.seq ?? 0
    if (whole.has(holder) && line.seq < furthestSeq) {
      const sentence = `${line.account} has read ${line.room} up to ${furthestSeq}, and the database says ${line.seq}.`
      return [{ rule: 'read_mark_lost', sentence, room: line.room, evidence }]
    }
    if (line.seq > Math.max(furthestSeq, line.joined)) {
      const sentence = `The database says that ${line.account} has read ${line.room} up to ${line.seq}; they never said so.`
      return [{ rule: 'read_mark_invented', sentence, room: line.room, evidence }]
    }
    return []
  })
}
