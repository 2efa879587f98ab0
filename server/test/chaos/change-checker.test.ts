import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check, type Rule } from './checker.ts'
import type { HistoryLine } from './history.ts'
import { nothing } from './message-states.ts'

/**
 * A run in which nothing went wrong: A1 (D1) says something as event 1 and edits it (2); A2 (D2) reacts (3), pins it (4), and
 * says and deletes something (5, 6). What A2 asks of A1's message is refused. D2 read event 1 before the edit, D1 after it.
 */
function goodHistory(): HistoryLine[] {
  const lines: HistoryLine[] = []
  let at = 0
  const add = (line: object) => {
    at += 10
    lines.push({ at, ...line } as HistoryLine)
  }
  const of = (number: number) => ({ device: `D${number}`, account: `A${number}`, room: 'R1' })
  for (const account of ['A1', 'A2']) add({ is: 'member', account, room: 'R1', change: 'added' })
  const stored: object[] = []
  const store = (seq: number, type: string, actor: string, more: object) =>
    stored.push({
      is: 'stored',
      room: 'R1',
      seq,
      id: `id ${seq}`,
      clientId: `c ${seq}`,
      digest: `e ${seq}`,
      type,
      actor,
      ...more,
    })
  const says = (device: number, seq: number, text: string, now: string) => {
    const message = { ...of(device), clientId: `c ${seq}` }
    add({ is: 'publish', ...message, text, order: seq, ordered: true })
    add({ is: 'ack', ...message, seq, id: `id ${seq}` })
    store(seq, 'message.created', `A${device}`, { text: now })
  }
  const changes = (
    device: number,
    key: string,
    kind: string,
    target: number,
    more: object,
    place?: [number, string, object?],
  ) => {
    add({ is: 'change', ...of(device), key, kind, target, ...more })
    if (place === undefined) {
      add({ is: 'change_refused', ...of(device), key, code: 'forbidden', tries: 1 })
      return
    }
    const [seq, type, stands = more] = place
    add({ is: 'change_done', ...of(device), key, ...(kind === 'edit' && { seq }) })
    store(seq, type, `A${device}`, { target, ...stands })
  }
  says(1, 1, 'first', 'edited')
  changes(1, 'C1', 'edit', 1, { text: 'edited' }, [2, 'message.edited'])
  changes(2, 'C2', 'react', 1, { emoji: '👍' }, [3, 'reaction.added'])
  // Again, and it was there already.
  add({ is: 'change', ...of(2), key: 'C3', kind: 'react', target: 1, emoji: '👍' })
  add({ is: 'change_done', ...of(2), key: 'C3' })
  changes(2, 'C4', 'pin', 1, {}, [4, 'message.pinned'])
  says(2, 5, 'gone soon', nothing)
  changes(2, 'C5', 'delete', 5, {}, [6, 'message.deleted'])
  changes(2, 'C6', 'edit', 1, { text: 'not mine' })
  const event = (device: number, seq: number, text?: string) =>
    add({
      is: 'event',
      ...of(device),
      seq,
      digest: `e ${seq}`,
      committedAt: at,
      ...(text !== undefined && { text }),
    })
  event(1, 1, 'edited')
  event(2, 1, 'first')
  for (const device of [1, 2]) {
    event(device, 2, 'edited')
    event(device, 3)
    event(device, 4)
    event(device, 5, device === 1 ? nothing : 'gone soon')
    event(device, 6)
    add({ is: 'read', ...of(device), seq: 6, done: false })
    add({ is: 'read', ...of(device), seq: 6, done: true })
  }
  add({ is: 'quiet' })
  const messages = {
    1: { text: 'edited', deleted: false, reactions: ['👍 A2'], pinned: true },
    5: { text: nothing, deleted: true, reactions: [], pinned: false },
  }
  for (const device of [1, 2]) {
    add({ is: 'following', ...of(device), from: 1 })
    add({ is: 'state', ...of(device), from: 1, messages })
    add({ is: 'mark', account: `A${device}`, room: 'R1', seq: 6, joined: 0 })
  }
  // A page that holds the end alone.
  add({ is: 'state', ...of(1), device: 'D1’s page', from: 5, messages: { 5: messages[5] } })
  add({ is: 'truth', room: 'R1', messages })
  for (const line of stored) add(line)
  add({ is: 'head', room: 'R1', head: 6 })
  return lines
}

/** The same history, each line of one kind that matches changed, or left out. */
function changed<K extends HistoryLine['is']>(
  is: K,
  matches: (line: Extract<HistoryLine, { is: K }>) => boolean,
  change: (line: Extract<HistoryLine, { is: K }>) => HistoryLine | undefined,
): HistoryLine[] {
  let count = 0
  const lines = goodHistory().flatMap((line) => {
    if (line.is !== is || !matches(line as Extract<HistoryLine, { is: K }>)) return [line]
    count++
    const other = change(line as Extract<HistoryLine, { is: K }>)
    return other === undefined ? [] : [other]
  })
  assert.ok(count > 0, `there is no such line: ${is}`)
  return lines
}

const cases: readonly (readonly [what: string, rules: readonly Rule[], lines: () => HistoryLine[]])[] = [
  [
    'an acknowledged edit that is not in the log',
    ['change_lost', 'stored_otherwise_than_said'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 2,
        ({ target: _target, text: _text, ...line }) => ({ ...line, type: 'turn.ended' }),
      ),
  ],
  [
    'an edit that was acknowledged with another place',
    ['change_lost'],
    () =>
      changed(
        'change_done',
        ({ key }) => key === 'C1',
        (line) => ({ ...line, seq: 3 }),
      ),
  ],
  [
    'an acknowledged deletion that is not in the log',
    ['change_lost', 'state_differs', 'stored_otherwise_than_said'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 6,
        ({ target: _target, ...line }) => ({ ...line, type: 'turn.ended' }),
      ),
  ],
  [
    'an acknowledged pin that is not in the log',
    ['change_lost', 'state_differs'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 4,
        ({ target: _target, ...line }) => ({ ...line, type: 'turn.ended' }),
      ),
  ],
  [
    'a reaction that has two places',
    ['changed_in_vain', 'state_differs'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 4,
        (line) => ({ ...line, type: 'reaction.added', emoji: '👍' }),
      ).filter((line) => line.is !== 'change_done' || line.key !== 'C4'),
  ],
  [
    'a change of what was deleted',
    ['changed_in_vain'],
    () => [
      ...goodHistory().map((line) => (line.is === 'head' ? { ...line, head: 7 } : line)),
      ...goodHistory().flatMap((line): HistoryLine[] => {
        if (line.is === 'stored' && line.seq === 3)
          return [{ ...line, seq: 7, id: 'id 7', clientId: 'c 7', digest: 'e 7', target: 5 }]
        if (line.is === 'event' && line.seq === 6) return [{ ...line, seq: 7, digest: 'e 7' }]
        if (line.is === 'change' && line.key === 'C2') return [{ ...line, key: 'C7', target: 5 }]
        return []
      }),
    ],
  ],
  [
    'a reaction that nobody asked for',
    ['change_never_asked'],
    () => goodHistory().filter((line) => !('key' in line) || (line.key !== 'C2' && line.key !== 'C3')),
  ],
  [
    'an edit that was refused and stands in the log all the same',
    ['refused_and_stored', 'state_differs'],
    () =>
      changed(
        'stored',
        ({ seq }) => seq === 4,
        (line) => ({ ...line, type: 'message.edited', text: 'not mine' }),
      ).filter((line) => !('key' in line) || line.key !== 'C4'),
  ],
  [
    'somebody who is not let edit what is theirs',
    ['refused_for_good'],
    () =>
      changed(
        'change',
        ({ key }) => key === 'C6',
        (line) => ({ ...line, target: 5 }),
      ),
  ],
  [
    'a change that is refused as if the message were not there',
    ['refused_for_good'],
    () =>
      changed(
        'change_refused',
        () => true,
        (line) => ({ ...line, code: 'not_found' }),
      ),
  ],
  [
    'a text that nobody wrote',
    ['devices_disagree'],
    () =>
      changed(
        'event',
        ({ device, seq }) => device === 'D2' && seq === 1,
        (line) => ({ ...line, text: 'made up' }),
      ),
  ],
  [
    'a device that has missed an edit',
    ['state_differs'],
    () =>
      changed(
        'state',
        ({ device }) => device === 'D2',
        (line) => ({
          ...line,
          messages: { ...line.messages, 1: { ...line.messages[1], text: 'first' } as never },
        }),
      ),
  ],
  [
    'a device that has missed a deletion',
    ['state_differs'],
    () =>
      changed(
        'state',
        ({ from }) => from === 5,
        (line) => ({ ...line, messages: {} }),
      ),
  ],
  [
    'a row that is not what its log says',
    ['state_differs'],
    () =>
      changed(
        'truth',
        () => true,
        (line) => ({
          ...line,
          messages: { ...line.messages, 1: { ...line.messages[1], reactions: [] } as never },
        }),
      ),
  ],
  [
    'a read mark that was lost',
    ['read_mark_lost'],
    () =>
      changed(
        'mark',
        ({ account }) => account === 'A2',
        (line) => ({ ...line, seq: 4 }),
      ),
  ],
  [
    'a read mark that nobody set',
    ['read_mark_invented'],
    () => goodHistory().filter((line) => line.is !== 'read' || line.device !== 'D1'),
  ],
]

test('[RT172] a history in which messages were changed and everything is as it should be has no violation', () => {
  assert.deepEqual(check(goodHistory()), [])
})

test('[RT172] of what was asked more than once nobody knows which time was refused', () => {
  const lines = changed(
    'stored',
    ({ seq }) => seq === 4,
    (line) => ({ ...line, type: 'message.edited', text: 'not mine' }),
  ).flatMap((line): HistoryLine[] => {
    if (line.is === 'change_refused') return [{ ...line, tries: 2 }]
    if ('key' in line && line.key === 'C4') return []
    if (line.is !== 'state' && line.is !== 'truth') return [line]
    const message = line.messages[1]
    if (message === undefined) return [line]
    return [{ ...line, messages: { ...line.messages, 1: { ...message, text: 'not mine', pinned: false } } }]
  })
  assert.deepEqual(check(lines), [])
})

for (const [what, rules, lines] of cases) {
  test(`[RT172] the checker catches ${what}`, () => {
    const violations = check(lines())
    assert.deepEqual([...new Set(violations.map(({ rule }) => rule))].sort(), [...rules].sort())
    for (const { sentence } of violations) assert.ok(sentence.endsWith('.'))
  })
}
