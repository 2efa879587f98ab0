import type { RoomEvent } from '@atom/contract/rooms.ts'
import { type Amendment, isMessage, type RoomMessage, reacted } from './amendments.ts'

/** What I want of a message that the server has not confirmed yet. */
export type Wish =
  | { readonly kind: 'edit'; readonly text: string; readonly mentions: readonly string[] }
  | { readonly kind: 'delete' }
  | { readonly kind: 'react'; readonly emoji: string; readonly on: boolean }

interface Pending {
  readonly seq: number
  readonly wish: Wish
  readonly at: string
  /** The event that tells of it has come. */
  told: boolean
  answered: boolean
}

/**
 * My own changes shown before the server has said yes. They lie over what is held and never in it, so that a refusal takes
 * away exactly what was wished, whatever others did to the same message meanwhile. One that was answered stays until its event
 * has come, else the old text would flash up between the two.
 */
export class PendingChanges {
  readonly #me: () => string
  readonly #changed: () => void
  readonly #pending: Pending[] = []
  #shown: { readonly of: readonly RoomEvent[]; readonly as: readonly RoomEvent[] } | undefined

  constructor(parts: { me: () => string; changed: () => void }) {
    this.#me = parts.me
    this.#changed = parts.changed
  }

  /**
   * Shows the wish at once and asks; where that is refused the wish is gone.
   *
   * @param ask resolves when the change is committed
   */
  async make<T>(seq: number, wish: Wish, ask: () => Promise<T>): Promise<T> {
    const pending: Pending = { seq, wish, at: new Date().toISOString(), told: false, answered: false }
    this.#pending.push(pending)
    this.#redraw()
    try {
      const answer = await ask()
      pending.answered = true
      if (pending.told) this.#drop(pending)
      return answer
    } catch (thrown) {
      this.#drop(pending)
      throw thrown
    }
  }

  /** An event about a message has come. */
  seen(event: Amendment): void {
    for (const pending of [...this.#pending]) {
      if (pending.seq !== event.targetSeq || !tells(event, pending.wish, this.#me())) continue
      pending.told = true
      if (pending.answered) this.#drop(pending)
    }
  }

  /** The events as I wish them; the same array for the same events until a wish has changed. */
  over(events: readonly RoomEvent[]): readonly RoomEvent[] {
    if (this.#pending.length === 0) return events
    if (this.#shown?.of === events) return this.#shown.as
    const first = events[0]?.seq ?? 0
    const as = events.slice()
    let settled = false
    for (const pending of [...this.#pending]) {
      const held = as[pending.seq - first]
      if (held === undefined || !isMessage(held)) continue
      const wished = this.#wished(held, pending)
      // It was so already: no event will tell of it.
      if (wished === held && pending.answered) {
        this.#pending.splice(this.#pending.indexOf(pending), 1)
        settled = true
      }
      as[pending.seq - first] = wished
    }
    this.#shown = { of: events, as }
    return settled && this.#pending.length === 0 ? events : as
  }

  clear(): void {
    this.#pending.length = 0
    this.#shown = undefined
  }

  #wished(held: RoomMessage, { wish, at }: Pending): RoomMessage {
    switch (wish.kind) {
      case 'react':
        return reacted(held, wish.emoji, this.#me(), wish.on)
      case 'delete':
        return held.deletedAt !== undefined ? held : { ...held, text: '', deletedAt: at, reactions: [] }
      case 'edit':
        return held.type !== 'message.created' || held.text === wish.text
          ? held
          : { ...held, text: wish.text, mentions: [...wish.mentions], editedAt: at }
    }
  }

  #drop(pending: Pending): void {
    const place = this.#pending.indexOf(pending)
    if (place < 0) return
    this.#pending.splice(place, 1)
    this.#redraw()
  }

  #redraw(): void {
    this.#shown = undefined
    this.#changed()
  }
}

function tells(event: Amendment, wish: Wish, me: string): boolean {
  if (event.type === 'message.deleted') return true
  if (event.actor.id !== me) return false
  if (wish.kind === 'react') {
    return (
      (event.type === 'reaction.added' || event.type === 'reaction.removed') && event.emoji === wish.emoji
    )
  }
  return wish.kind === 'edit' && event.type === 'message.edited'
}
