import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RoomSignal } from '@atom/contract/socket.ts'
import { merge, packed } from './signals.ts'

const actor = { kind: 'agent' as const, id: '0198c0de-0000-7000-8000-000000000001', name: 'Atom' }

function delta(messageId: string, offset: number, text: string, attempt = 1): RoomSignal {
  return { roomId: 'room', kind: 'delta', actor, turnId: 'turn', messageId, attempt, offset, text }
}

test('[RM12] pieces of an answer that follow on each other travel as one; others stay apart', () => {
  const waiting: RoomSignal[] = []
  merge(waiting, delta('a', 0, 'Here '))
  merge(waiting, delta('b', 0, 'Other'))
  merge(waiting, delta('a', 5, 'are '))
  merge(waiting, { roomId: 'room', kind: 'typing', actor })
  merge(waiting, delta('a', 9, 'two'))
  merge(waiting, delta('a', 20, 'after a gap'))
  merge(waiting, delta('a', 0, 'Anew', 2))
  assert.deepEqual(
    waiting.map((signal) =>
      signal.kind === 'delta' ? [signal.messageId, signal.attempt, signal.offset, signal.text] : signal.kind,
    ),
    [
      ['a', 1, 0, 'Here are two'],
      ['b', 1, 0, 'Other'],
      'typing',
      ['a', 1, 20, 'after a gap'],
      ['a', 2, 0, 'Anew'],
    ],
  )
})

test('[RM13] no notification reaches the 8,000 bytes that PostgreSQL refuses, and no character is lost on the way', () => {
  const mostBytes = 7_700
  const text = `${'\u0001'.repeat(3_000)}${'€'.repeat(3_000)}${'😀'.repeat(3_001)}`
  const payloads = packed([delta('a', 7, text), { roomId: 'room', kind: 'typing', actor }], mostBytes)
  let held = ''
  let typing = 0
  for (const payload of payloads) {
    assert.ok(Buffer.byteLength(payload) <= mostBytes)
    for (const signal of JSON.parse(payload) as RoomSignal[]) {
      if (signal.kind === 'delta') {
        assert.equal(signal.offset, 7 + held.length)
        held += signal.text
      } else typing++
    }
  }
  assert.equal(held, text)
  assert.equal(typing, 1)
  assert.deepEqual(packed([], mostBytes), [])
})
