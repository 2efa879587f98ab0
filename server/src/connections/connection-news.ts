import type { Connection } from '@atom/contract/connections.ts'
import type { Log } from '#foundation/log.ts'
import type { ConnectionRow } from './connection-store.ts'
import { viewOf } from './connection-view.ts'

/** A connection is new, or other than it was; `revoked` says that it is gone. */
export interface ConnectionChange {
  readonly workspaceId: string
  readonly ownerId: string
  readonly connection: Connection
}

/** Who hears of changes. Apart from `Connections`, because arriving and refreshing change connections too. */
export class ConnectionNews {
  readonly #listeners = new Set<(change: ConnectionChange) => void>()
  readonly #log: Log

  constructor(dependencies: { log: Log }) {
    this.#log = dependencies.log
  }

  subscribe(heard: (change: ConnectionChange) => void): Disposable {
    this.#listeners.add(heard)
    return { [Symbol.dispose]: () => void this.#listeners.delete(heard) }
  }

  tell(change: ConnectionChange): void {
    for (const heard of this.#listeners) {
      try {
        heard(change)
      } catch (error) {
        this.#log.error({ err: error }, 'a listener to connections failed')
      }
    }
  }

  /** The same, of a row. */
  tellOf(row: ConnectionRow): void {
    this.tell({ workspaceId: row.workspaceId, ownerId: row.ownerId, connection: viewOf(row) })
  }
}
