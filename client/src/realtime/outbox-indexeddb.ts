import { type DBSchema, type IDBPDatabase, openDB } from 'idb'
import type { OutboxStorage, OwedMessage } from './outbox-storage.ts'

interface Schema extends DBSchema {
  owed: {
    key: number
    value: OwedMessage
    indexes: { clientId: string; account: string }
  }
}

type Unordered = Omit<OwedMessage, 'order'> & { order?: number }

/**
 * Owed messages in IndexedDB: they survive a closed tab and a crashed browser, and all tabs of the origin share them.
 * `durability: strict` waits for the disk, because the person is told that the message is kept.
 */
export function indexedDbStorage(name: string): OutboxStorage {
  let opening: Promise<IDBPDatabase<Schema>> | undefined

  const database = (): Promise<IDBPDatabase<Schema>> => {
    opening ??= openDB<Schema>(name, 1, {
      upgrade(fresh) {
        const store = fresh.createObjectStore('owed', { keyPath: 'order', autoIncrement: true })
        store.createIndex('clientId', 'clientId', { unique: true })
        store.createIndex('account', 'accountId')
      },
      // A newer version of the page wants to change the schema: step aside, and open again when asked again.
      blocking: (_from, _to, event) => {
        const target = event.target as IDBDatabase
        target.close()
        opening = undefined
      },
      terminated: () => {
        opening = undefined
      },
    }).catch((thrown: unknown) => {
      opening = undefined
      throw thrown
    })
    return opening
  }

  return {
    add: async (message) => {
      const transaction = (await database()).transaction('owed', 'readwrite', { durability: 'strict' })
      const unordered: Unordered = message
      const [order] = await Promise.all([
        // The store gives the key and writes it into the value: only the type of idb does not know.
        transaction.store.add(unordered as OwedMessage),
        transaction.done,
      ])
      return { ...message, order }
    },
    update: async (message) => {
      const transaction = (await database()).transaction('owed', 'readwrite', { durability: 'strict' })
      const held = await transaction.store.index('clientId').get(message.clientId)
      if (held !== undefined) await transaction.store.put({ ...message, order: held.order })
      await transaction.done
    },
    remove: async (clientId) => {
      // A removal that a crash undoes is harmless: the message is sent again, and the server knows it.
      const transaction = (await database()).transaction('owed', 'readwrite', { durability: 'relaxed' })
      const order = await transaction.store.index('clientId').getKey(clientId)
      if (order !== undefined) await transaction.store.delete(order)
      await transaction.done
    },
    list: async (accountId) => await (await database()).getAllFromIndex('owed', 'account', accountId),
    close: () => {
      void opening?.then((open) => open.close())
      opening = undefined
    },
  }
}
