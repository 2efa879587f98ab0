import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { check, longestGap, type Rule, streamFigures } from './checker.ts'
import type { HistoryLine } from './history.ts'

const answer = 'Rooms remember every word. 🌊'

/**
 * A run in which nothing went wrong: A1 (D1) and A2 (D2) are in R1, A3 (D3) is not and tries; A2 is removed in the end. D1
 * says three things, and an agent answers as event 4. After the removal comes event 5.
 */
function goodHistory(): HistoryLine[] {
  const lines: HistoryLine[] = []
  let at = 0
  const add = (line: object) => {
    at += 10
    lines.push({ at, ...line } as HistoryLine)
  }
  const of = (number: number) => ({ device: `D${number}`, account: `A${number}`, room: 'R1' })
  add({ is: 'member', account: 'A1', room: 'R1', change: 'added' })
  add({ is: 'member', account: 'A2', room: 'R1', change: 'adding' })
  add({ is: 'member', account: 'A2', room: 'R1', change: 'added' })
  add({ is: 'follow', ...of(1), follow: 1, after: 0 })
  add({ is: 'follow', ...of(2), follow: 1, after: 0 })
  const event = (device: number, seq: number, committedAt: number) =>
    add({ is: 'event', ...of(device), seq, digest: `event ${seq}`, committedAt })
  for (const order of [1, 2, 3]) {
    const message = { ...of(1), clientId: `message-${order}` }
    add({ is: 'publish', ...message, text: `text ${order}`, order, ordered: true })
    const committedAt = at + 1
    add({ is: 'ack', ...message, seq: order, id: `id ${order}` })
    add({ is: 'settled', ...message })
    for (const device of [1, 2]) {
      add({ is: 'frame', ...of(device), follow: 1, seqs: [order] })
      event(device, order, committedAt)
    }
  }
  add({ is: 'trespass', ...of(3), way: 'join', code: 'not_a_member' })
  add({ is: 'signal', ...of(2), kind: 'typing' })
  const sha256 = createHash('sha256').update(answer).digest('hex')
  for (const device of [1, 2]) {
    add({
      is: 'draft',
      ...of(device),
      messageId: 'M',
      attempt: 2,
      text: answer.slice(0, 20),
      contradicted: false,
    })
    add({ is: 'draft', ...of(device), messageId: 'M', attempt: 1, text: 'Given up.', contradicted: false })
    add({ is: 'frame', ...of(device), follow: 1, seqs: [4] })
    event(device, 4, at)
    add({ is: 'final', ...of(device), messageId: 'M', text: answer, sha256 })
  }
  add({ is: 'member', account: 'A2', room: 'R1', change: 'removing' })
  add({ is: 'member', account: 'A2', room: 'R1', change: 'removed' })
  at += 10_000
  event(1, 5, at)
  add({ is: 'quiet' })
  add({ is: 'following', ...of(1), from: 1 })
  for (const seq of [1, 2, 3, 4, 5]) {
    add({
      is: 'stored',
      room: 'R1',
      seq,
      id: `id ${seq}`,
      digest: `event ${seq}`,
      ...(seq <= 3
        ? { type: 'message.created', actor: 'A1', clientId: `message-${seq}`, text: `text ${seq}` }
        : { type: seq === 4 ? 'message.final' : 'turn.ended', actor: 'agent', clientId: `agent-${seq}` }),
    })
  }
  add({ is: 'head', room: 'R1', head: 5 })
  add({ is: 'turn', messageId: 'M', attempt: 2, status: 'succeeded' })
  return lines
}

type Kind<K extends HistoryLine['is']> = Extract<HistoryLine, { is: K }>

function where<K extends HistoryLine['is']>(
  lines: readonly HistoryLine[],
  is: K,
  matches: (line: Kind<K>) => boolean = () => true,
): Kind<K> {
  const found = lines.find((line): line is Kind<K> => line.is === is && matches(line as Kind<K>))
  if (found === undefined) throw new Error(`there is no such line: ${is}`)
  return found
}

/** The same history with one line changed, left out (undefined) or followed by others. */
function changed<K extends HistoryLine['is']>(
  is: K,
  matches: (line: Kind<K>) => boolean,
  change: (line: Kind<K>) => readonly HistoryLine[],
): HistoryLine[] {
  const lines = goodHistory()
  const line = where(lines, is, matches)
  lines.splice(lines.indexOf(line), 1, ...change(line))
  return lines
}

const cases: readonly (readonly [what: string, rules: readonly Rule[], lines: () => HistoryLine[]])[] = [
  [
    'a hole in a timeline',
    ['timeline_has_a_hole', 'devices_disagree'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 5,
        () => [],
      ),
  ],
  [
    'an event beyond the head',
    ['timeline_has_a_hole'],
    () =>
      changed(
        'head',
        () => true,
        (line) => [{ ...line, head: 4 }],
      ),
  ],
  [
    'one place given twice',
    ['timeline_has_a_hole'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 4,
        (line) => [line, { ...line, id: 'another' }],
      ),
  ],
  [
    'an acknowledged message that is not there',
    ['acknowledged_and_lost', 'stored_and_never_said'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 2,
        (line) => [{ ...line, clientId: 'another-one' }],
      ),
  ],
  [
    'a message that only its outbox took for delivered',
    ['acknowledged_and_lost', 'stored_and_never_said'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 2,
        (line) => [{ ...line, clientId: 'another-one' }],
      ).filter((line) => line.is !== 'ack' || line.seq !== 2),
  ],
  [
    'a message stored twice',
    ['stored_twice'],
    () =>
      changed(
        'head',
        () => true,
        (line) => [
          { ...line, head: 6 },
          { ...where(goodHistory(), 'stored', ({ seq }) => seq === 3), seq: 6, digest: 'event 6' },
          {
            ...where(goodHistory(), 'event', ({ seq, device }) => seq === 5 && device === 'D1'),
            seq: 6,
            digest: 'event 6',
          },
        ],
      ),
  ],
  [
    'an acknowledgement that names another place',
    ['acknowledged_elsewhere'],
    () =>
      changed(
        'ack',
        ({ seq }) => seq === 2,
        (line) => [{ ...line, seq: 3 }],
      ),
  ],
  [
    'two acknowledgements that disagree',
    ['acknowledged_elsewhere'],
    () =>
      changed(
        'ack',
        ({ seq }) => seq === 2,
        (line) => [line, { ...line, id: 'another' }],
      ),
  ],
  [
    'another text than was said',
    ['stored_otherwise_than_said'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 1,
        (line) => [{ ...line, text: 'text 0' }],
      ),
  ],
  [
    'a message that nobody said',
    ['stored_and_never_said'],
    () =>
      changed(
        'publish',
        ({ order }) => order === 3,
        () => [],
      ),
  ],
  [
    'a message whose sender still waits when all is quiet',
    ['never_acknowledged'],
    () =>
      goodHistory().filter(
        (line) => !((line.is === 'ack' || line.is === 'settled') && line.clientId === 'message-2'),
      ),
  ],
  [
    'a member’s message refused for good',
    ['refused_for_good'],
    () =>
      changed(
        'ack',
        ({ seq }) => seq === 2,
        ({ seq: _seq, id: _id, ...line }) => [{ ...line, is: 'refused', code: 'not_a_member' }],
      ),
  ],
  [
    'the messages of one device in another order than they were said',
    ['own_order_broken'],
    () =>
      changed(
        'publish',
        ({ order }) => order === 1,
        (line) => [{ ...line, order: 9 }],
      ),
  ],
  [
    'two devices with different events in one place',
    ['devices_disagree'],
    () =>
      changed(
        'event',
        ({ seq, device }) => seq === 2 && device === 'D2',
        (line) => [{ ...line, digest: 'something else' }],
      ),
  ],
  [
    'an event that no database knows',
    ['devices_disagree'],
    () =>
      changed(
        'event',
        ({ seq, device }) => seq === 5 && device === 'D1',
        (line) => [line, { ...line, seq: 6, digest: 'event 6' }],
      ),
  ],
  [
    'an event shown twice',
    ['out_of_order'],
    () =>
      changed(
        'event',
        ({ seq, device }) => seq === 2 && device === 'D1',
        (line) => [line, line],
      ),
  ],
  [
    'an older event shown after a newer one',
    ['out_of_order'],
    () => {
      const lines = goodHistory()
      const first = where(lines, 'event', ({ seq, device }) => seq === 1 && device === 'D2')
      const second = where(lines, 'event', ({ seq, device }) => seq === 2 && device === 'D2')
      lines.splice(lines.indexOf(first), 1)
      lines.splice(lines.indexOf(second) + 1, 0, first)
      return lines
    },
  ],
  [
    'a device that lacks an event when all is quiet',
    ['incomplete'],
    () =>
      changed(
        'event',
        ({ seq, device }) => seq === 3 && device === 'D1',
        () => [],
      ),
  ],
  [
    'a device that lacks the newest event when all is quiet',
    ['incomplete'],
    () =>
      changed(
        'event',
        ({ seq, device }) => seq === 5 && device === 'D1',
        () => [],
      ),
  ],
  [
    'an event sent twice on one socket',
    ['repeated_on_the_wire'],
    () =>
      changed(
        'frame',
        ({ device, seqs }) => device === 'D2' && seqs[0] === 2,
        (line) => [line, line],
      ),
  ],
  [
    'an event left out on one socket, even where the device mends it',
    ['hole_on_the_wire'],
    () =>
      changed(
        'frame',
        ({ device, seqs }) => device === 'D2' && seqs[0] === 2,
        () => [],
      ),
  ],
  [
    'a device told to forget a timeline that is the same',
    ['told_to_forget'],
    () =>
      changed(
        'follow',
        ({ device }) => device === 'D1',
        (line) => {
          const { follow: _follow, after: _after, ...own } = line
          return [line, { ...own, is: 'reset' }]
        },
      ),
  ],
  [
    'an event seen by somebody who never was in the room',
    ['seen_by_an_outsider'],
    () =>
      changed(
        'event',
        ({ seq, device }) => seq === 2 && device === 'D2',
        (line) => [line, { ...line, device: 'D3', account: 'A3' }],
      ),
  ],
  [
    'an event seen by somebody before they were added',
    ['seen_by_an_outsider'],
    () => [
      { ...where(goodHistory(), 'event', ({ seq, device }) => seq === 1 && device === 'D2'), at: 5 },
      ...changed(
        'event',
        ({ seq, device }) => seq === 1 && device === 'D2',
        () => [],
      ),
    ],
  ],
  [
    'an event seen by somebody after they were removed',
    ['seen_by_an_outsider'],
    () =>
      changed(
        'event',
        ({ seq, device }) => seq === 5 && device === 'D1',
        (line) => [line, { ...line, device: 'D2', account: 'A2' }],
      ),
  ],
  [
    'a signal heard by an outsider',
    ['seen_by_an_outsider'],
    () =>
      changed(
        'signal',
        () => true,
        (line) => [{ ...line, device: 'D3', account: 'A3' }],
      ),
  ],
  [
    'an outsider who was let in',
    ['outsider_let_in'],
    () =>
      changed(
        'trespass',
        () => true,
        ({ code: _code, ...line }) => [line],
      ),
  ],
  [
    'an outsider whose message is in the room',
    ['outsider_let_in'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 5,
        (line) => [{ ...line, type: 'message.created', actor: 'A3', clientId: 'let me in' }],
      ),
  ],
  [
    'an answer that was streamed as something else than it became',
    ['stream_not_exact'],
    () =>
      changed(
        'draft',
        ({ attempt }) => attempt === 2,
        (line) => [{ ...line, text: 'Rooms remember every  word' }],
      ),
  ],
  [
    'an answer that was streamed beyond its end',
    ['stream_not_exact'],
    () =>
      changed(
        'draft',
        ({ attempt }) => attempt === 2,
        (line) => [{ ...line, text: `${answer}!` }],
      ),
  ],
  [
    'pieces of an answer that overlap and differ',
    ['stream_not_exact'],
    () =>
      changed(
        'draft',
        ({ attempt }) => attempt === 2,
        (line) => [{ ...line, contradicted: true }],
      ),
  ],
  [
    'an answer with another checksum than its text has',
    ['checksum_wrong'],
    () =>
      changed(
        'final',
        ({ device }) => device === 'D2',
        (line) => [{ ...line, text: answer.trim().slice(1) }],
      ),
  ],
  [
    'a server that ended by itself',
    ['node_died'],
    () => [...goodHistory(), { at: 99_999, is: 'died', node: 1, words: 'out of memory' }],
  ],
]

test('[RT90] a history in which everything went well has no violation', () => {
  assert.deepEqual(check(goodHistory()), [])
  assert.deepEqual(streamFigures(goodHistory()), { followed: 2, whole: 0 })
  assert.ok(longestGap(goodHistory()) < 100)
})

test('[RT120] the longest gap is of those who are in the room: what was said while they were out, and comes when they are back, counts for nothing', () => {
  const lines = goodHistory()
  const of = { device: 'D2', account: 'A2', room: 'R1' }
  const member = (at: number, change: 'removing' | 'removed' | 'adding' | 'added'): HistoryLine => ({
    ...{ at, is: 'member', change, account: 'A2', room: 'R1' },
  })
  const event = (at: number, seq: number, committedAt: number): HistoryLine => ({
    ...{ ...of, at, is: 'event', seq, digest: `event ${seq}`, committedAt },
  })
  lines.push(
    member(60_000, 'adding'),
    member(60_010, 'added'),
    // In order: what is here is, from here on, theirs to have at once.
    event(60_020, 6, 60_005),
    member(61_000, 'removing'),
    event(61_010, 7, 61_005),
    member(61_020, 'removed'),
    member(120_000, 'adding'),
    event(120_020, 8, 62_000),
    event(120_020, 9, 120_010),
    member(120_030, 'added'),
  )
  assert.ok(longestGap(lines) < 100, `${longestGap(lines)} ms`)
  lines.push(event(128_000, 10, 121_000))
  assert.equal(longestGap(lines), 7_000)
})

for (const [what, rules, lines] of cases) {
  test(`[RT90] the checker catches ${what}`, () => {
    const violations = check(lines())
    assert.deepEqual([...new Set(violations.map(({ rule }) => rule))].sort(), [...rules].sort())
    for (const { sentence, evidence } of violations) {
      assert.ok(sentence.endsWith('.'))
      assert.ok(evidence.length > 0 && evidence.length <= 8, 'the smallest part of the history')
    }
  })
}

test('[RT90] what came late over a slow line, sent before a removal, is no violation', () => {
  const lines = changed(
    'event',
    ({ seq, device }) => seq === 4 && device === 'D2',
    () => [],
  )
  const late = where(goodHistory(), 'event', ({ seq, device }) => seq === 4 && device === 'D2')
  const quiet = lines.findIndex(({ is }) => is === 'quiet')
  lines.splice(quiet, 0, { ...late, at: 9_000 })
  assert.deepEqual(check(lines), [])
})

test('[RT90] a message refused while its author was being removed is no violation', () => {
  const lines = goodHistory()
  const removed = lines.findIndex((line) => line.is === 'member' && line.change === 'removed')
  const at = lines[removed]?.at ?? 0
  const own = { device: 'D2', account: 'A2', room: 'R1', clientId: 'too-late' }
  lines.splice(
    removed,
    0,
    { at: at - 15, is: 'publish', ...own, text: 'text', order: 1, ordered: true },
    { at, is: 'refused', ...own, code: 'not_a_member' },
  )
  assert.deepEqual(check(lines), [])
})

/**
 * A1 (D1) lets A2 (D2) in (event 1), takes them out (event 3) and lets them in again (event 5). Both have everything in the
 * end; D2 was told of 4 only when it was back.
 */
function comingAndGoing(): HistoryLine[] {
  const lines: HistoryLine[] = []
  let at = 0
  const add = (line: object) => {
    at += 1_000
    lines.push({ at, ...line } as HistoryLine)
  }
  const of = (number: number) => ({ device: `D${number}`, account: `A${number}`, room: 'R1' })
  const stored: object[] = []
  const committed = (seq: number, rest: object) =>
    stored.push({
      is: 'stored',
      room: 'R1',
      seq,
      id: `id ${seq}`,
      digest: `event ${seq}`,
      committedAt: at,
      ...rest,
    })
  const comes = (seq: number, type: string) =>
    committed(seq, { type, actor: 'A1', clientId: `move-${seq}`, member: 'A2' })
  const got = (device: number, seq: number) =>
    add({ is: 'event', ...of(device), seq, digest: `event ${seq}`, committedAt: at })
  const says = (seq: number) => {
    const message = { ...of(1), clientId: `message-${seq}` }
    add({ is: 'publish', ...message, text: `text ${seq}`, order: seq, ordered: true })
    committed(seq, { type: 'message.created', actor: 'A1', clientId: message.clientId, text: `text ${seq}` })
    add({ is: 'ack', ...message, seq, id: `id ${seq}` })
    got(1, seq)
  }
  const moves = (seq: number, type: string, change: readonly [string, string]) => {
    add({ is: 'member', account: 'A2', room: 'R1', change: change[0] })
    comes(seq, type)
    got(1, seq)
    add({ is: 'member', account: 'A2', room: 'R1', change: change[1] })
  }
  add({ is: 'member', account: 'A1', room: 'R1', change: 'added' })
  moves(1, 'member.joined', ['adding', 'added'])
  add({ is: 'follow', ...of(2), follow: 1, after: 0 })
  got(2, 1)
  says(2)
  got(2, 2)
  moves(3, 'member.left', ['removing', 'removed'])
  got(2, 3)
  add({ is: 'left', ...of(2) })
  says(4)
  at += 5_000
  add({ is: 'trespass', ...of(2), way: 'join', code: 'not_a_member', since: at })
  moves(5, 'member.joined', ['adding', 'added'])
  add({ is: 'follow', ...of(2), follow: 2, after: 3 })
  got(2, 4)
  got(2, 5)
  add({ is: 'signal', ...of(2), kind: 'typing' })
  add({ is: 'quiet' })
  for (const device of [1, 2]) add({ is: 'following', ...of(device), from: 1 })
  for (const line of stored) add(line)
  add({ is: 'head', room: 'R1', head: 5 })
  return lines
}

const wrongMoves: readonly (readonly [what: string, rules: readonly Rule[], lines: () => HistoryLine[]])[] = [
  [
    'an event from behind a removal, however soon after it',
    ['seen_by_an_outsider'],
    () => moved(comingAndGoing(), 'event', ({ device, seq }) => device === 'D2' && seq === 4, 'left'),
  ],
  [
    'a signal heard by somebody who was told that they are out',
    ['seen_by_an_outsider'],
    () => moved(comingAndGoing(), 'signal', () => true, 'trespass'),
  ],
  [
    'somebody let in between two memberships',
    ['outsider_let_in'],
    () =>
      comingAndGoing().map((line) => {
        if (line.is !== 'trespass') return line
        const { code: _code, ...letIn } = line
        return letIn
      }),
  ],
  [
    'a message that took its place while its author was out',
    ['outsider_let_in'],
    () =>
      comingAndGoing().map((line) => {
        if (
          (line.is === 'stored' && line.seq === 4) ||
          ('clientId' in line && line.clientId === 'message-4')
        ) {
          return { ...line, ...(line.is === 'stored' ? { actor: 'A2' } : { account: 'A2', device: 'D2' }) }
        }
        return line
      }) as HistoryLine[],
  ],
  [
    'a removal that was acknowledged and never happened',
    ['acknowledged_and_lost'],
    () =>
      comingAndGoing().flatMap((line) =>
        line.is === 'stored' && line.seq === 3
          ? { ...line, type: 'turn.ended' as const, member: 'A9' }
          : line,
      ),
  ],
  [
    'a membership that nobody could change',
    ['deed_failed'],
    () => [
      ...comingAndGoing(),
      { at: 99_999, is: 'deed_failed', deed: 'POST /members', answer: 'nobody answered' },
    ],
  ],
  [
    'agents that are asked and never answer',
    ['nemesis_idle'],
    () => [
      ...comingAndGoing(),
      ...Array.from(
        { length: 12 },
        (_, step): HistoryLine => ({
          at: 99_999,
          is: 'action',
          step,
          action: { do: 'ask', device: 0, room: 0 },
        }),
      ),
    ],
  ],
  [
    'a nemesis that breaks nothing',
    ['nemesis_idle'],
    () => [
      ...comingAndGoing(),
      ...[1, 2, 3, 4].map(
        (step): HistoryLine => ({ at: 99_999, is: 'action', step, action: { do: 'freeze', node: 0 } }),
      ),
    ],
  ],
]

/** The line now stands right behind the first one of another kind, at its time. */
function moved<K extends HistoryLine['is']>(
  lines: HistoryLine[],
  is: K,
  matches: (line: Kind<K>) => boolean,
  behind: HistoryLine['is'],
): HistoryLine[] {
  const line = where(lines, is, matches)
  lines.splice(lines.indexOf(line), 1)
  const before = where(lines, behind)
  lines.splice(lines.indexOf(before) + 1, 0, { ...line, at: before.at })
  return lines
}

test('[RT110] who went and came back, and was told meanwhile only of what lies before their going, is no violation', () => {
  assert.deepEqual(check(comingAndGoing()), [])
})

for (const [what, rules, lines] of wrongMoves) {
  test(`[RT110] the checker catches ${what}`, () => {
    const violations = check(lines())
    assert.deepEqual([...new Set(violations.map(({ rule }) => rule))].sort(), [...rules].sort())
    for (const { sentence, evidence } of violations) assert.ok(sentence.endsWith('.') && evidence.length > 0)
  })
}
