import type { Notes } from '#foundation/database/notes.ts'
import type { Transaction } from '#foundation/database/pool.ts'

/** Somebody is in a room from now on, or no more. */
export interface MembershipChange {
  readonly roomId: string
  readonly memberId: string
  readonly now: 'in' | 'out'
  /**
   * Place in the room's log from which on it is so: of two words the one with the later place is true. Undefined where a server
   * of the version before tells it.
   */
  readonly seq: number | undefined
}

type Heard = (change: MembershipChange) => void

interface Told {
  readonly roomId: string
  readonly memberIds: readonly string[]
  readonly now: MembershipChange['now']
  readonly seq?: number
}

const perNote = 150

/**
 * Who came into a room or went out of it, told to every process after the commit, for devices that do not hear the room: the
 * timeline tells only those who follow it. A note may be lost: whoever needs to be sure asks for the list of rooms.
 */
export class MembershipNews implements Disposable {
  readonly #notes: Pick<Notes, 'tell' | 'hear'>
  readonly #heard = new Set<Heard>()
  readonly #hearing: Disposable

  constructor({ notes }: { readonly notes: Pick<Notes, 'tell' | 'hear'> }) {
    this.#notes = notes
    this.#hearing = notes.hear('membership', (body) => this.#announce(body as Told))
  }

  /** @param seq place in the room's log from which on it is so */
  tell(
    tx: Transaction,
    roomId: string,
    memberIds: readonly string[],
    now: MembershipChange['now'],
    seq: number,
  ): void {
    tx.afterCommit(() => {
      for (let at = 0; at < memberIds.length; at += perNote) {
        const told: Told = { roomId, memberIds: memberIds.slice(at, at + perNote), now, seq }
        this.#announce(told)
        this.#notes.tell('membership', told)
      }
    })
  }

  subscribe(heard: Heard): Disposable {
    this.#heard.add(heard)
    return { [Symbol.dispose]: () => void this.#heard.delete(heard) }
  }

  [Symbol.dispose](): void {
    this.#heard.clear()
    this.#hearing[Symbol.dispose]()
  }

  #announce({ roomId, memberIds, now, seq }: Told): void {
    for (const heard of this.#heard) for (const memberId of memberIds) heard({ roomId, memberId, now, seq })
  }
}
