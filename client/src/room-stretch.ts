import type { EventPage, RoomEvent } from '@atom/contract/rooms.ts'
import { type Amendment, amended, isAmendment } from './amendments.ts'
import { AtomClientError } from './atom-client-error.ts'

export interface StretchSnapshot {
  /** The message that was gone to. */
  readonly target: number
  /** In order, without gaps, around the target. */
  readonly events: readonly RoomEvent[]
  readonly hasOlder: boolean
  readonly hasNewer: boolean
}

interface StretchWire {
  before(seq: number, limit: number): Promise<EventPage>
  after(seq: number, limit: number): Promise<EventPage>
}

const aroundEvents = 100
const pageEvents = 100

/**
 * A piece of a long history away from its newest end, as wide as it was read: where a search, a quote or a link leads. What
 * is said about its messages meanwhile is told to it.
 */
export class RoomStretch {
  readonly #wire: StretchWire
  readonly #changed: () => void
  #snapshot: StretchSnapshot
  readonly #epoch: string
  #loading: Promise<void> | undefined

  private constructor(parts: {
    wire: StretchWire
    changed: () => void
    epoch: string
    snapshot: StretchSnapshot
  }) {
    this.#wire = parts.wire
    this.#changed = parts.changed
    this.#epoch = parts.epoch
    this.#snapshot = parts.snapshot
  }

  /** @throws AtomClientError `not_found` where the room holds no such event any more */
  static async around(target: number, wire: StretchWire, changed: () => void): Promise<RoomStretch> {
    const page = await wire.before(target + aroundEvents / 2, aroundEvents)
    if (!page.events.some(({ seq }) => seq === target)) throw new AtomClientError('not_found')
    return new RoomStretch({
      wire,
      changed,
      epoch: page.epoch,
      snapshot: {
        target,
        events: page.events,
        hasOlder: page.more,
        hasNewer: (page.events.at(-1)?.seq ?? 0) < page.head,
      },
    })
  }

  getSnapshot(): StretchSnapshot {
    return this.#snapshot
  }

  get epoch(): string {
    return this.#epoch
  }

  /** The page before, or after; one at a time. */
  load(which: 'older' | 'newer'): Promise<void> {
    const { hasOlder, hasNewer } = this.#snapshot
    if (which === 'older' ? !hasOlder : !hasNewer) return Promise.resolve()
    this.#loading ??= (which === 'older' ? this.#older() : this.#newer()).finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  amend(by: Amendment): void {
    const { events } = this.#snapshot
    const place = by.targetSeq - (events[0]?.seq ?? 0)
    const held = events[place]
    if (held === undefined) return
    const now = amended(held, by)
    if (now !== held) this.#show({ events: events.with(place, now) })
  }

  async #older(): Promise<void> {
    const first = this.#snapshot.events[0]?.seq ?? 1
    const page = await this.#wire.before(first, pageEvents)
    if (page.epoch !== this.#epoch) throw new AtomClientError('timeline_reset')
    const older = page.events.filter(({ seq }) => seq < first)
    this.#show({ events: [...older, ...this.#snapshot.events], hasOlder: page.more && older.length > 0 })
  }

  async #newer(): Promise<void> {
    const last = this.#snapshot.events.at(-1)?.seq ?? 0
    const page = await this.#wire.after(last, pageEvents)
    if (page.epoch !== this.#epoch) throw new AtomClientError('timeline_reset')
    const newer = page.events.filter(({ seq }) => seq > last)
    this.#show({ events: [...this.#snapshot.events, ...newer], hasNewer: page.more && newer.length > 0 })
    // A page that was read a moment ago may lack what the newer events say of it.
    for (const event of newer) if (isAmendment(event)) this.amend(event)
  }

  #show(change: Partial<StretchSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change }
    this.#changed()
  }
}
