import type { Member } from '@atom/contract/rooms.ts'

/** How far one message of mine has come among the other people who were in the room when it was said. */
export interface MessageProgress {
  /** `delivered`, `read`: by all of them. */
  readonly state: 'committed' | 'delivered' | 'read'
  readonly deliveredTo: readonly Member[]
  readonly readBy: readonly Member[]
  /** How many they are. Agents are not counted: they do not read, they answer. */
  readonly of: number
}

/** Says of each message of mine how far it has come, from the marks of the others; the same object until one moves. */
export class Progress {
  readonly #others: readonly { readonly member: Member; readonly since: number }[]

  constructor(members: readonly Member[], me: string) {
    this.#others = members
      .filter(({ kind, id }) => kind === 'account' && id !== me)
      .map((member) => ({ member, since: Date.parse(member.joinedAt) }))
  }

  of(message: { readonly seq: number; readonly at: string }): MessageProgress {
    // Who came later begins with everything before them behind them; that is not reading it.
    const saidAt = Date.parse(message.at)
    const there = this.#others.flatMap(({ member, since }) => (since <= saidAt ? [member] : []))
    const deliveredTo = there.filter(
      ({ deliveredSeq, readSeq }) => Math.max(deliveredSeq, readSeq) >= message.seq,
    )
    const readBy = deliveredTo.filter(({ readSeq }) => readSeq >= message.seq)
    const all = (some: readonly Member[]) => there.length > 0 && some.length === there.length
    const state = all(readBy) ? 'read' : all(deliveredTo) ? 'delivered' : 'committed'
    return { state, deliveredTo, readBy, of: there.length }
  }
}
