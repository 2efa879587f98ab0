import type { Presence as PresenceOf } from '@atom/contract/socket.ts'
import { socketLimits } from '@atom/contract/socket.ts'
import { AtomClientError, asAtomClientError } from './atom-client-error.ts'
import { ObservableState } from './observable.ts'
import type { Realtime } from './realtime/realtime.ts'
import { inBrowser, type Surroundings } from './surroundings.ts'

/** `active` at a device, `away` from all of theirs, `working` on a turn (agents). */
export type PresenceState = PresenceOf['state']

export interface PresenceSnapshot {
  /**
   * By room, then by member: who is there. Who is absent from a room that is here is not there; of a room that is absent
   * nothing is known: nobody watches it, or there is no line.
   */
  readonly rooms: ReadonlyMap<string, ReadonlyMap<string, PresenceState>>
}

const retryMs = 2_000

/**
 * Who is there, in the rooms that somebody looks at. What all who look want is one question; with several tabs in a browser,
 * the tab with the socket asks for all of them. And whether the person is at this device, from what the page sees of itself.
 */
export class Presence extends ObservableState<PresenceSnapshot> {
  readonly #realtime: Realtime
  readonly #unlisten: () => void
  readonly #unwatch: () => void
  /** How many look at each room. */
  readonly #wanted = new Map<string, number>()
  #rooms = new Map<string, ReadonlyMap<string, PresenceState>>()
  #asked: readonly string[] = []
  #asking = false
  #again = false
  #soon = false
  #hidden = inBrowser && document.visibilityState === 'hidden'
  #told: 'active' | 'away' = 'active'
  #retry: ReturnType<typeof setTimeout> | undefined
  #closed = false

  constructor(parts: { realtime: Realtime; surroundings: Surroundings }) {
    super()
    this.#realtime = parts.realtime
    this.#unlisten = parts.realtime.listen({
      connected: () => {
        this.#asked = []
        this.#told = 'active'
        this.#refresh()
        this.#tellSelf()
      },
      frame: (frame) => {
        if (frame.name !== 'room.signal' || frame.body.kind !== 'presence') return
        const { roomId, changes } = frame.body
        const known = this.#rooms.get(roomId)
        // Before the answer that says how it stands a change says nothing.
        if (known === undefined) return
        const states = new Map(known)
        for (const { id, state } of changes) {
          if (state === 'offline') states.delete(id)
          else states.set(id, state)
        }
        this.#show(new Map(this.#rooms).set(roomId, states))
      },
      lost: () => this.#show(new Map()),
    })
    this.#unwatch = parts.surroundings.watch((happening) => {
      if (happening !== 'hidden' && happening !== 'visible') return
      this.#hidden = happening === 'hidden'
      this.#tellSelf()
    })
  }

  /** Somebody looks at these rooms until it is disposed. The first 50 of all that are looked at are watched. */
  watch(roomIds: readonly string[]): Disposable {
    for (const id of roomIds) this.#wanted.set(id, (this.#wanted.get(id) ?? 0) + 1)
    this.#refresh()
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (!held) return
        held = false
        for (const id of roomIds) {
          const left = (this.#wanted.get(id) ?? 0) - 1
          if (left > 0) this.#wanted.set(id, left)
          else this.#wanted.delete(id)
        }
        this.#refresh()
      },
    }
  }

  close(): void {
    this.#closed = true
    this.#unlisten()
    this.#unwatch()
    clearTimeout(this.#retry)
  }

  protected override compose(): PresenceSnapshot {
    return { rooms: this.#rooms }
  }

  #show(rooms: Map<string, ReadonlyMap<string, PresenceState>>): void {
    this.#rooms = rooms
    this.changed()
  }

  /** Later, together: a page that changes lets one room go and takes up the next. */
  #refresh(): void {
    if (this.#soon) return
    this.#soon = true
    queueMicrotask(() => {
      this.#soon = false
      void this.#ask()
    })
  }

  /** One question at a time: each replaces what the one before asked for. */
  async #ask(): Promise<void> {
    if (this.#asking) {
      this.#again = true
      return
    }
    const roomIds = [...this.#wanted.keys()].slice(0, socketLimits.watchedRooms)
    const same = roomIds.length === this.#asked.length && roomIds.every((id) => this.#asked.includes(id))
    if (same || this.#closed || !this.#realtime.connected) return
    this.#asking = true
    this.#asked = roomIds
    try {
      const { rooms } = await this.#realtime.request('presence.watch', { roomIds })
      // Where the line was lost meanwhile, the next one asks anew.
      if (this.#asked === roomIds) {
        const wanted = Object.entries(rooms).filter(([id]) => this.#wanted.has(id))
        this.#show(
          new Map(wanted.map(([id, there]) => [id, new Map(there.map((each) => [each.id, each.state]))])),
        )
      }
    } catch (thrown) {
      const { retryable, retryAfterMs } = asAtomClientError(thrown)
      if (this.#asked === roomIds) this.#asked = []
      if (retryable && !this.#closed) {
        clearTimeout(this.#retry)
        this.#retry = setTimeout(() => this.#refresh(), retryAfterMs ?? retryMs)
      }
    }
    this.#asking = false
    if (!this.#again) return
    this.#again = false
    this.#refresh()
  }

  #tellSelf(): void {
    const state = this.#hidden ? 'away' : 'active'
    if (state === this.#told || !this.#realtime.connected) return
    this.#told = state
    this.#realtime.request('presence.set', { state }).catch((thrown: unknown) => {
      // The next socket begins as active, and is told anew.
      if (!(thrown instanceof AtomClientError)) throw thrown
    })
  }
}
