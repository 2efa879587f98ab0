import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Actor, RoomEvent } from '@atom/contract/rooms.ts'
import { asItHappened, callState, type Row, withPresent } from './timeline.ts'
import { TimelineReader } from './timeline-reader.ts'

const ada: Actor = { kind: 'account', id: 'ada', name: 'Ada' }
const bob: Actor = { kind: 'account', id: 'bob', name: 'Bob' }
const atom: Actor = { kind: 'agent', id: 'atom', name: 'Atom' }

type Loose = { type: RoomEvent['type'] } & Record<string, unknown>

/** Events with their places and times: one a second, from noon on. */
function events(...list: Loose[]): RoomEvent[] {
  return list.map((event, at) => ({
    seq: at + 1,
    at: new Date(Date.UTC(2026, 10, 23, 12, 0, at)).toISOString(),
    actor: atom,
    ...event,
  })) as unknown as RoomEvent[]
}

const said = (actor: Actor, text: string): Loose => ({
  type: 'message.created',
  actor,
  id: text,
  clientId: text,
  text,
})
const began = (turnId: string): Loose => ({
  type: 'turn.started',
  turnId,
  messageId: `${turnId}-answer`,
  triggerSeq: 1,
  onBehalfOf: 'ada',
  model: 'rules',
})
const ended = (turnId: string, status = 'succeeded'): Loose => ({ type: 'turn.ended', turnId, status })
const ran = (turnId: string, callId: string): Loose => ({
  type: 'tool.started',
  turnId,
  callId,
  tool: 't',
  title: callId,
})
const came = (turnId: string, callId: string): Loose => ({
  type: 'tool.ended',
  turnId,
  callId,
  outcome: { status: 'done', summary: 'ok', durationMs: 5 },
})
const answered = (turnId: string): Loose => ({
  type: 'message.final',
  turnId,
  id: `${turnId}-answer`,
  text: 'answer',
  sha256: '',
})
const asked = (turnId: string, callId: string): Loose => ({
  type: 'approval.requested',
  turnId,
  approval: {
    id: `${callId}-approval`,
    callId,
    title: callId,
    provider: 'github',
    account: 'Ada',
    decider: 'ada',
    fields: [],
  },
})
const decided = (turnId: string, callId: string, decision: string): Loose => ({
  type: 'approval.decided',
  actor: ada,
  turnId,
  approvalId: `${callId}-approval`,
  decision,
})

const readTimeline = (list: readonly RoomEvent[]) => new TimelineReader().read(list)
const kinds = (rows: readonly Row[]) => rows.map((row) => row.kind).join(' ')
const turnRow = (rows: readonly Row[], at: number) => {
  const row = rows.filter(({ kind }) => kind === 'turn')[at]
  assert(row?.kind === 'turn')
  return row
}

test('what an agent does in one go stands in one row', () => {
  const { rows } = readTimeline(
    events(said(ada, 'go'), began('t'), ran('t', 'c'), came('t', 'c'), answered('t'), ended('t')),
  )
  assert.equal(kinds(rows), 'day message turn')
  assert.deepEqual(
    turnRow(rows, 0).parts.map(({ kind }) => kind),
    ['call', 'answer'],
  )
})

test('when somebody speaks in between, the agent goes on below and the room keeps its order', () => {
  const { rows } = readTimeline(
    events(
      said(ada, 'go'),
      began('t'),
      ran('t', 'c'),
      said(bob, 'hm'),
      came('t', 'c'),
      answered('t'),
      ended('t'),
    ),
  )
  assert.equal(kinds(rows), 'day message turn message turn')
  const call = turnRow(rows, 0).parts[0]
  assert(call?.kind === 'call')
  assert.equal(call.outcome?.status, 'done', 'a later end changes the card where it stands')
})

test('[UI5] an asked, approved and finished call is one card', () => {
  const { rows, openCalls } = readTimeline(
    events(
      began('t'),
      asked('t', 'c'),
      decided('t', 'c', 'approved'),
      ran('t', 'c'),
      came('t', 'c'),
      ended('t'),
    ),
  )
  assert.equal(turnRow(rows, 0).parts.length, 1)
  assert.equal(openCalls.length, 0)
})

test('[UI170] what an agent said stands where it was said: before and between its calls, while it is written and when it is whole', () => {
  const call = (name: string, so: number) => ({ ...ran('t', name), said: so })
  const whole = 'I look.\n\nOne more.\n\nTwo are open.'
  const list = [said(ada, 'go'), began('t'), call('first', 7), came('t', 'first'), call('second', 18)]
  const shown = (rows: readonly Row[]) =>
    asItHappened(turnRow(rows, 0).parts).map((part) =>
      part.kind === 'call' ? part.title : 'text' in part && part.text,
    )
  const draft = { turnId: 't', messageId: 't-answer', actor: atom, text: whole.slice(0, 18), attempt: 1 }
  const written = withPresent(readTimeline(events(...list)), { drafts: [draft], outgoing: [], me: 'ada' })
  assert.deepEqual(shown(written), ['I look.', 'first', 'One more.', 'second', ''])
  const final = { ...answered('t'), text: whole }
  const { rows } = readTimeline(events(...list, came('t', 'second'), final, ended('t')))
  assert.deepEqual(shown(rows), ['I look.', 'first', 'One more.', 'second', 'Two are open.'])
  const erased = readTimeline(events(...list, { ...final, text: '', deletedAt: '2026-11-23T12:00:09Z' })).rows
  assert.deepEqual(shown(erased), ['first', 'second', ''])
})

test('an undecided request is open until it is decided or its turn is over', () => {
  assert.equal(readTimeline(events(began('t'), asked('t', 'c'))).openCalls.length, 1)
  assert.equal(
    readTimeline(events(began('t'), asked('t', 'c'), decided('t', 'c', 'denied'))).openCalls.length,
    0,
  )
  assert.equal(readTimeline(events(began('t'), asked('t', 'c'), ended('t', 'cancelled'))).openCalls.length, 0)
})

test('[UI5] a call that was begun and whose turn ended without an outcome is unknown, never done', () => {
  const { rows } = readTimeline(events(began('t'), ran('t', 'c'), ended('t', 'needs_attention')))
  const row = turnRow(rows, 0)
  const [call] = row.parts
  assert(call?.kind === 'call')
  assert.equal(callState(call, row.turn), 'unknown')
})

test('a denied call is denied, also after its turn has ended', () => {
  const { rows } = readTimeline(events(began('t'), asked('t', 'c'), decided('t', 'c', 'denied'), ended('t')))
  const row = turnRow(rows, 0)
  const [call] = row.parts
  assert(call?.kind === 'call')
  assert.equal(callState(call, row.turn), 'denied')
})

test('[UI13] events of unknown types are passed over', () => {
  const unknown = { type: 'webhook.received', body: {} } as unknown as Loose
  assert.equal(
    kinds(readTimeline(events(said(ada, 'a'), unknown, said(ada, 'b'))).rows),
    'day message message',
  )
})

test('a turn whose beginning is not loaded still shows its answer', () => {
  const { rows } = readTimeline(events(answered('t'), ended('t')))
  assert.equal(kinds(rows), 'day turn')
})

test('[UI3] an answer being written keeps its row when it is final', () => {
  const before = readTimeline(events(began('t'), said(bob, 'meanwhile')))
  const draft = { turnId: 't', messageId: 't-answer', actor: atom, text: 'ans', attempt: 1 }
  const written = withPresent(before, { drafts: [draft], outgoing: [], me: 'ada' })
  const after = readTimeline(events(began('t'), said(bob, 'meanwhile'), answered('t'))).rows
  assert.equal(written.at(-1)?.key, after.at(-1)?.key)
})

test('[UI3] a message keeps its row when it is committed', () => {
  const outgoing = [
    { clientId: 'hello', text: 'hello', state: 'pending', at: '2026-11-23T12:00:00Z' },
  ] as const
  const sending = withPresent(readTimeline([]), { drafts: [], outgoing, me: 'ada' })
  const committed = readTimeline(events(said(ada, 'hello'))).rows
  assert.equal(sending.at(-1)?.key, committed.at(-1)?.key)
})

test('an agent thinks only while nothing of its turn can be seen', () => {
  const thinking = (...list: Loose[]) => {
    const last = withPresent(readTimeline(events(...list)), { drafts: [], outgoing: [], me: 'ada' }).at(-1)
    return last?.kind === 'turn' && last.thinking
  }
  assert.equal(thinking(began('t')), true)
  assert.equal(thinking(began('t'), ran('t', 'c')), false)
  assert.equal(thinking(began('t'), ran('t', 'c'), came('t', 'c')), true)
  assert.equal(thinking(began('t'), asked('t', 'c')), false)
  assert.equal(thinking(began('t'), answered('t'), ended('t')), false)
})

test('the newest turn that has not ended can be stopped', () => {
  assert.equal(readTimeline(events(began('a'), ended('a'))).active, undefined)
  assert.equal(readTimeline(events(began('a'), ended('a'), began('b'))).active?.turnId, 'b')
  assert.equal(readTimeline(events(began('a'), began('b'), ended('b'))).active?.turnId, 'a')
})

test('messages of one person in one breath stand under one name', () => {
  const { rows } = readTimeline(events(said(ada, 'a'), said(ada, 'b'), said(bob, 'c')))
  assert.deepEqual(
    rows.filter((row) => row.kind === 'message').map((row) => row.lead),
    [true, false, true],
  )
})
