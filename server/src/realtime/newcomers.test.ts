import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '#foundation/ids.ts'
import { Newcomers } from './newcomers.ts'
import { Pages } from './pages.ts'

test('[RT97] who comes in at the same moment is asked about in one question, and each gets their own answer', async () => {
  const asked: number[] = []
  const nobody = () => Promise.reject(new Error('nothing had to be read'))
  const newcomers = new Newcomers({
    rooms: {
      standingsOfMany: async (callers) => {
        asked.push(callers.length)
        return callers.map(({ roomIds }) => new Map(roomIds.map((id) => [id, standing(id)])))
      },
    },
    pages: new Pages({ timeline: { since: nobody, newest: nobody }, most: 4 }),
  })
  const rooms = Array.from({ length: 50 }, () => newId())
  const found = await Promise.all(rooms.map((id) => newcomers.standings(somebody(), [id])))
  assert.deepEqual(asked, [50])
  assert.deepEqual(
    found.map((answer) => [...answer.keys()]),
    rooms.map((id) => [id]),
  )
})

function standing(epoch: string) {
  return { kind: 'group' as const, epoch, head: 0, floor: 1, activeAt: new Date(0), role: 'member' as const }
}

function somebody() {
  const [id, workspaceId, sessionId] = [newId(), newId(), newId()]
  return { kind: 'account' as const, id, workspaceId, role: 'member' as const, sessionId, name: 'Ada' }
}
