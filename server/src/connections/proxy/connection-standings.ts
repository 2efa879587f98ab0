import { CacheCounts } from '#foundation/telemetry/cache-counts.ts'
import type { ConnectionState, ConnectionStore } from '../connection-store.ts'
import { JoinedLookup } from './joined-lookup.ts'

/** How long what was seen of a connection is believed, from the beginning of the look at it. */
export const believedMs = 500
const mostKnown = 10_000

interface Seen {
  readonly state: ConnectionState
  readonly until: number
}

/** One look at the database, and of which connections it was told meanwhile that they change. */
interface Look {
  readonly outdated: Set<string>
}

/**
 * How connections stand, looked up once for all requests of half a second. What changes in this process is forgotten the
 * moment it has changed; what changes in another is seen when the half second is over, with no message that could get lost.
 * Time is counted by the monotonic clock from before the question was sent, so a slow database makes nothing older.
 */
export class ConnectionStandings implements Disposable {
  readonly #store: Pick<ConnectionStore, 'standings' | 'subscribe'>
  readonly #lookup: JoinedLookup<ConnectionState>
  readonly #seen = new Map<string, Seen>()
  readonly cache = new CacheCounts(() => this.#seen.size)
  readonly #looks = new Set<Look>()
  readonly #listening: Disposable

  constructor(dependencies: { store: Pick<ConnectionStore, 'standings' | 'subscribe'> }) {
    this.#store = dependencies.store
    this.#lookup = new JoinedLookup((ids) => this.#ask(ids))
    this.#listening = this.#store.subscribe((id) => this.#forget(id))
  }

  /** What was seen of it a moment ago; undefined where somebody has to look. */
  known(id: string): ConnectionState | undefined {
    const seen = this.#seen.get(id)
    if (seen !== undefined && seen.until > performance.now()) {
      this.cache.hits++
      return seen.state
    }
    this.cache.misses++
    this.#seen.delete(id)
    return undefined
  }

  /** As it stands now. Undefined where there is none, which is asked anew each time. */
  look(id: string): Promise<ConnectionState | undefined> {
    return this.#lookup.at(id)
  }

  /** Its use was noted, so nobody has to note it again. */
  used(id: string, at: Date): void {
    const seen = this.#seen.get(id)
    if (seen !== undefined) this.#seen.set(id, { ...seen, state: { ...seen.state, lastUsedAt: at } })
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]()
    this.#seen.clear()
  }

  async #ask(ids: readonly string[]): Promise<ReadonlyMap<string, ConnectionState>> {
    const until = performance.now() + believedMs
    const look = { outdated: new Set<string>() }
    this.#looks.add(look)
    try {
      const found = await this.#store.standings(ids)
      // A change may have overtaken this answer: then it is good for those who asked before, and not to be kept.
      for (const [id, state] of found) if (!look.outdated.has(id)) this.#keep(id, { state, until })
      return found
    } finally {
      this.#looks.delete(look)
    }
  }

  #keep(id: string, seen: Seen): void {
    this.#seen.delete(id)
    const [oldest] = this.#seen.keys()
    if (this.#seen.size >= mostKnown && oldest !== undefined) this.#seen.delete(oldest)
    this.#seen.set(id, seen)
  }

  #forget(id: string): void {
    this.#seen.delete(id)
    for (const look of this.#looks) look.outdated.add(id)
  }
}
