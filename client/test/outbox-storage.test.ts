import 'fake-indexeddb/auto'
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { suite, test } from 'node:test'
import { indexedDbStorage } from '../src/realtime/outbox-indexeddb.ts'
import { memoryStorage, type OutboxStorage } from '../src/realtime/outbox-storage.ts'

const siblings: Record<string, () => OutboxStorage> = {
  memory: memoryStorage,
  IndexedDB: () => indexedDbStorage(randomUUID()),
}

function message(text: string, accountId = 'me') {
  return { clientId: randomUUID(), accountId, roomId: 'room', text, at: new Date(0).toISOString() }
}

for (const [name, open] of Object.entries(siblings)) {
  suite(`an outbox storage in ${name}`, () => {
    test('[CL4] lists what was added, in the order of adding, also where adding was not awaited', async () => {
      const storage = open()
      await Promise.all(Array.from({ length: 50 }, (_, index) => storage.add(message(`${index}`))))
      const listed = await storage.list('me')
      assert.deepEqual(
        listed.map(({ text }) => text),
        Array.from({ length: 50 }, (_, index) => `${index}`),
      )
      assert.deepEqual(
        listed.map(({ order }) => order),
        listed.map(({ order }) => order).toSorted((a, b) => a - b),
      )
      storage.close()
    })

    test('[CL4] shows an account nothing of another’s', async () => {
      const storage = open()
      await storage.add(message('mine'))
      await storage.add(message('yours', 'you'))
      assert.deepEqual(
        (await storage.list('you')).map(({ text }) => text),
        ['yours'],
      )
      storage.close()
    })

    test('[CL4] keeps place and order of what is updated, and never brings back what is gone', async () => {
      const storage = open()
      const first = await storage.add(message('first'))
      const second = await storage.add(message('second'))
      await storage.update({ ...first, error: { code: 'not_a_member', detail: 'no' } })
      assert.deepEqual(await storage.list('me'), [
        { ...first, error: { code: 'not_a_member', detail: 'no' } },
        second,
      ])
      await storage.remove(first.clientId)
      await storage.remove(first.clientId)
      await storage.update(first)
      assert.deepEqual(await storage.list('me'), [second])
      storage.close()
    })
  })
}

test('[CL4] what IndexedDB holds survives the tab that wrote it, and is shared with the next one', async () => {
  const name = randomUUID()
  const closed = indexedDbStorage(name)
  const written = await closed.add(message('before the tab was closed'))
  closed.close()
  const next = indexedDbStorage(name)
  assert.deepEqual(await next.list('me'), [written])
  const beside = indexedDbStorage(name)
  await beside.remove(written.clientId)
  assert.deepEqual(await next.list('me'), [])
  next.close()
  beside.close()
})
