import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Draft } from '@atom/client'
import type { Actor, RoomEvent } from '@atom/contract/rooms.ts'
import { firstAfter, rowsPutBefore } from './row-places.ts'
import { type Row, rowOfSeq, type Timeline, withPresent, withUnreadLine } from './timeline.ts'
import { TimelineReader } from './timeline-reader.ts'

const people: readonly Actor[] = ['Ada', 'Grace', 'Alan'].map((name) => ({ kind: 'account', id: name, name }))
const agents: readonly Actor[] = ['Atom', 'Bolt'].map((name) => ({ kind: 'agent', id: name, name }))

/** Numbers that look random and are the same for the same seed. */
function dice(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** A turn as it goes on, event by event; several go on at once. */
function* turn(id: string, actor: Actor, roll: (below: number) => number): Generator<object> {
  const about = { actor, turnId: id }
  yield { ...about, type: 'turn.started', messageId: `${id}-answer`, triggerSeq: 1, model: 'rules' }
  for (let n = roll(4); n > 0; n -= 1) {
    const callId = `${id}-${n}`
    if (roll(2) === 0) {
      const approval = {
        id: `${callId}-approval`,
        callId,
        title: `May I ${n}?`,
        provider: 'github',
        account: 'Ada',
      }
      yield { ...about, type: 'approval.requested', approval }
      if (roll(4) === 0) return yield { ...about, type: 'turn.ended', status: 'cancelled' }
      const decision = roll(2) === 0 ? 'approved' : 'denied'
      yield { ...about, actor: people[0], type: 'approval.decided', approvalId: approval.id, decision }
    }
    yield { ...about, type: 'tool.started', callId, tool: 't', title: `Step ${n}` }
    if (roll(5) === 0) continue
    const outcome = { status: 'done', summary: `Did ${n}`, durationMs: 5 }
    yield { ...about, type: 'tool.ended', callId, outcome }
  }
  if (roll(3) > 0) yield { ...about, type: 'message.final', id: `${id}-answer`, text: 'So it is', sha256: '' }
  return yield { ...about, type: 'turn.ended', status: roll(3) > 0 ? 'succeeded' : 'failed' }
}

/** A room in which everything happens that may, over several days. */
function history(length: number, roll: (below: number) => number): RoomEvent[] {
  const events: object[] = []
  const turns: Generator<object>[] = []
  let begun = 0
  let at = Date.UTC(2026, 10, 1)
  while (events.length < length) {
    const seq = events.length + 1
    at += [1_000, 1_000, 40_000, 4 * 60_000, 9 * 3_600_000][roll(roll(8) === 0 ? 5 : 4)] ?? 0
    const fact = { seq, at: new Date(at).toISOString(), actor: people[roll(3)] }
    const happens = roll(20)
    if (happens < 8) {
      const said = { type: 'message.created', id: `m${seq}`, clientId: `m${seq}`, text: `Word ${seq}` }
      events.push({ ...fact, ...said, ...(roll(5) === 0 && { replyTo: 1 }) })
    } else if (happens < 16) {
      if (turns.length === 0 || roll(5) === 0) {
        const agent = agents[roll(2)]
        begun += 1
        if (agent !== undefined) turns.push(turn(`t${begun}`, agent, roll))
      }
      const place = roll(turns.length)
      const next = turns[place]?.next()
      if (next?.value) events.push({ ...fact, ...next.value })
      if (next?.done === true) turns.splice(place, 1)
    } else if (happens === 16) {
      events.push({ ...fact, type: 'member.joined', member: people[roll(3)] })
    } else if (happens === 17) {
      events.push({ ...fact, type: 'message.pinned', targetSeq: 1 })
    } else if (happens === 18) {
      events.push({ ...fact, type: 'reaction.added', targetSeq: 1, emoji: '👍' })
    } else {
      events.push({ ...fact, type: 'connection.changed' })
    }
  }
  return events as unknown as RoomEvent[]
}

function amendedAt(events: readonly RoomEvent[], place: number): readonly RoomEvent[] {
  const event = events[place]
  if (event?.type !== 'message.created' && event?.type !== 'message.final') return events
  return events.with(place, { ...event, text: `${event.text}!`, reactions: [{ emoji: '👍', by: ['Ada'] }] })
}

const told = ({ rows, openCalls, lastPersonAt, active }: Timeline) => ({
  rows,
  openCalls,
  lastPersonAt,
  active,
})

test('[UI150] however a timeline came, page by page, event by event and amended, its rows are those of reading it whole', () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const roll = dice(seed)
    const whole = history(60 + roll(80), roll)
    let from = roll(whole.length)
    let to = from + 1 + roll(5)
    const now = [...whole]
    const reader = new TimelineReader(1 + roll(6))
    while (from > 0 || to < whole.length) {
      switch (roll(4)) {
        case 0:
          from = Math.max(0, from - 1 - roll(12))
          break
        case 1:
          to = Math.min(whole.length, to + 1 + roll(3))
          break
        case 2:
          from = Math.max(0, from - 1 - roll(6))
          to = Math.min(whole.length, to + roll(6))
          break
        default: {
          const place = from + roll(to - from)
          const changed = amendedAt(now, place)[place]
          if (changed !== undefined) now[place] = changed
        }
      }
      const events = now.slice(from, to)
      assert.deepEqual(
        told(reader.read(events)),
        told(new TimelineReader(Number.POSITIVE_INFINITY).read(events)),
        `seed ${seed}, events ${from + 1} to ${to}`,
      )
    }
    // A room that was restored has other events at the same places.
    const restored = history(whole.length, dice(seed + 1_000)).slice(0, to)
    assert.deepEqual(told(reader.read(restored)), told(new TimelineReader().read(restored)), `seed ${seed}`)
  }
})

/** The events, and how many of them were looked at since it was asked last. */
function watched(events: readonly RoomEvent[]): { events: RoomEvent[]; looked: () => number } {
  let seen = new Set<number>()
  return {
    events: events.map(
      (event) =>
        new Proxy(event, {
          get(target, name) {
            seen.add(target.seq)
            return Reflect.get(target, name)
          },
        }),
    ),
    looked() {
      const { size } = seen
      seen = new Set()
      return size
    },
  }
}

test('[UI151] in a room of 10,000 a page, an arrival or a change costs itself and its surroundings, and a growing answer looks at no event', () => {
  const size = 10_000
  const { events: all, looked } = watched(history(size + 200, dice(7)))
  const reader = new TimelineReader()
  const read = (events: readonly RoomEvent[]) => {
    looked()
    const timeline = reader.read(events)
    return { timeline, looked: looked() }
  }
  let shown = all.slice(100, size)
  assert.equal(read(shown).looked, shown.length, 'what is new is looked at')
  assert.equal(read(shown).looked, 0)

  const page = read(all.slice(0, size)).looked
  assert.ok(page <= 100 + 250, `${page} for a page of 100`)
  shown = all.slice(0, size)
  for (const arrived of all.slice(size, size + 100)) {
    shown = [...shown, arrived]
    const { looked } = read(shown)
    assert.ok(looked <= 250, `${looked} for one that came`)
  }
  const middle = shown.findIndex(({ seq, type }) => seq > size / 2 && type === 'message.created')
  const changed = read(amendedAt(shown, middle))
  assert.ok(changed.looked <= 150, `${changed.looked} for one that was changed`)

  // What stands beside the events, the answer that grows, looks at none; and at few rows.
  const rowsSeen = new Set<string>()
  const rows = changed.timeline.rows.map(
    (row) =>
      new Proxy(row, {
        get(target: Row, name) {
          rowsSeen.add(target.key)
          return Reflect.get(target, name)
        },
      }),
  )
  const draft: Draft = { turnId: 'new', messageId: 'new', actor: people[0] as Actor, text: 'So', attempt: 1 }
  const present = withPresent({ ...changed.timeline, rows }, { drafts: [draft], outgoing: [], me: 'Ada' })
  const { line } = withUnreadLine(present, size, 'Ada')
  assert.ok(line !== undefined)
  rowOfSeq(present, size / 2)
  firstAfter(present, size / 3)
  assert.ok(rowsSeen.size <= 100, `${rowsSeen.size} rows for a piece of an answer`)
  rowsSeen.clear()
  assert.equal(rowsPutBefore(rows.slice(50), rows), 50)
  assert.ok(rowsSeen.size <= 30, `${rowsSeen.size} rows to find out how many were put before`)
  assert.equal(looked(), 0)
})
