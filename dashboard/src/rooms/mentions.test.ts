import assert from 'node:assert/strict'
import { test } from 'node:test'
import { matching, mentionQuery, mentionsIn, splitMentions } from './mentions.ts'

const ada = { id: 'a', name: 'Ada' }
const adaL = { id: 'al', name: 'Ada Lovelace' }
const atom = { id: 't', name: 'Atom' }

test('of two names that begin alike the longer one is meant, and a name inside a word names nobody', () => {
  assert.deepEqual(mentionsIn('@Ada Lovelace and @atom, ask @Ada', [ada, adaL, atom]), ['al', 't', 'a'])
  assert.deepEqual(mentionsIn('mail ada@Ada or @Adam', [ada]), [])
  assert.deepEqual(mentionsIn('nobody here', [ada]), [])
})

test('the pieces of a text are the text', () => {
  const text = 'Hi @Atom: tell (@Ada) @@Ada'
  const parts = splitMentions(text, [ada, atom])
  assert.equal(parts.map((part) => part.text).join(''), text)
  assert.deepEqual(
    parts.flatMap(({ id }) => id ?? []),
    ['t', 'a', 'a'],
  )
})

test('what follows an @ before the caret is completed, an address is not', () => {
  assert.deepEqual(mentionQuery('hey @ad', 7), { from: 4, words: 'ad' })
  assert.equal(mentionQuery('me@ad', 5), undefined)
  assert.equal(mentionQuery('hey @ad\nmore', 12), undefined)
  assert.deepEqual(
    matching([ada, adaL, atom], 'love').map(({ id }) => id),
    ['al'],
  )
})
