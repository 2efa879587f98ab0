import type { ConnectionEvent, ConnectionEventKind } from '@atom/contract/connections.ts'
import type { Clock } from '#foundation/clock.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { ConnectionEventRow } from './connection-event-store.ts'
import type { ConnectionStore } from './connection-store.ts'

/** Something that has happened to a connection, as whoever did it tells. */
export interface ConnectionHappening {
  readonly connectionId: string
  readonly workspaceId: string
  readonly kind: ConnectionEventKind
  /** Plain words. */
  readonly detail: string
  readonly generation?: number | undefined
  readonly durationMs?: number | undefined
  /** Which of several credentials; undefined: the whole connection, or all that it has. */
  readonly slot?: string | undefined
}

/** What has happened to connections, each for its owner to read. */
export class ConnectionHistory {
  readonly #store: ConnectionStore
  readonly #clock: Clock
  readonly #log: Log
  /** By connection, so that one event is written after the other. */
  readonly #writing = new Map<string, Promise<void>>()

  constructor(dependencies: { store: ConnectionStore; clock: Clock; log: Log }) {
    this.#store = dependencies.store
    this.#clock = dependencies.clock
    this.#log = dependencies.log
  }

  /** Never throws and holds nobody up: what happened has happened, whether or not it can be written down. */
  note(happening: ConnectionHappening): void {
    const { connectionId, workspaceId, kind, detail, generation, durationMs, slot } = happening
    const entry = {
      ...{ connectionId, workspaceId, kind, detail },
      id: newId(),
      at: this.#clock.now(),
      generation: generation ?? null,
      slot: slot ?? null,
      durationMs: durationMs === undefined ? null : Math.round(durationMs),
    }
    const before = this.#writing.get(connectionId) ?? Promise.resolve()
    const writing = before
      .then(() => this.#store.writeEvent(entry))
      .catch((error: unknown) => this.#log.warn({ connectionId, kind, err: error }, 'an event is not kept'))
      .finally(() => {
        if (this.#writing.get(connectionId) === writing) this.#writing.delete(connectionId)
      })
    this.#writing.set(connectionId, writing)
  }

  /** Newest first. @param before id of the event that the page before ended with */
  async page(
    connectionId: string,
    { before, limit = 50 }: { before?: string | undefined; limit?: number | undefined },
  ): Promise<{ items: ConnectionEvent[]; next: string | null }> {
    const rows = await this.#store.events(connectionId, { before, limit: limit + 1 })
    const items = rows.slice(0, limit).map(eventOf)
    return { items, next: rows.length > limit ? (items.at(-1)?.id ?? null) : null }
  }

  /** Waits for what is being written. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#writing.size > 0) await Promise.allSettled(this.#writing.values())
  }
}

function eventOf(row: ConnectionEventRow): ConnectionEvent {
  return {
    id: row.id,
    at: row.at.toISOString(),
    kind: row.kind,
    detail: row.detail,
    ...(row.generation !== null && { generation: row.generation }),
    ...(row.durationMs !== null && { durationMs: row.durationMs }),
    ...(row.slot !== null && { slot: row.slot }),
    times: row.times,
    lastAt: row.lastAt.toISOString(),
  }
}
