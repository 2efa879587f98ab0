import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unaddressed } from './transcript.ts'

test('the name that an agent is called by in company is no part of what is wanted of it', () => {
  assert.equal(unaddressed('@Atom show my open issues', 'Atom'), 'show my open issues')
  assert.equal(unaddressed('@atom, show @Grace the issues', 'Atom'), 'show @Grace the issues')
  assert.equal(unaddressed('@Atom — hello', 'Atom'), 'hello')
  assert.equal(unaddressed('@Atomic show my issues', 'Atom'), '@Atomic show my issues')
  assert.equal(unaddressed('ask @Atom', 'Atom'), 'ask @Atom')
  assert.equal(unaddressed('@Atom', 'Atom'), '@Atom')
})
