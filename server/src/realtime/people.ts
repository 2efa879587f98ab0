import type { MembershipNews } from '#rooms/membership-news.ts'
import type { Receipts } from '#rooms/receipts.ts'
import type { LiveSocket } from './live-socket.ts'
import type { Presence } from './presence.ts'

/** The sockets of this process by person: who of them is there, and what a person's devices tell each other. */
export class People implements Disposable {
  readonly #presence: Pick<Presence, 'arrived' | 'left'>
  readonly #sockets = new Map<string, Set<LiveSocket>>()
  readonly #hearing = new DisposableStack()

  constructor(options: {
    readonly presence: Pick<Presence, 'arrived' | 'left'>
    readonly receipts: Pick<Receipts, 'subscribe'>
    readonly membershipNews: Pick<MembershipNews, 'subscribe'>
  }) {
    this.#presence = options.presence
    this.#hearing.use(
      options.receipts.subscribe(({ accountId, roomId, seq, shared }) => {
        for (const socket of this.#sockets.get(accountId) ?? []) {
          // Who follows the room hears it with the others.
          if (shared && socket.followers.get(roomId)?.mode === 'live') continue
          socket.tell({ roomId, kind: 'read', readers: [{ id: accountId, seq }] })
        }
      }),
    )
    this.#hearing.use(
      options.membershipNews.subscribe(({ roomId, memberId, now, seq }) => {
        for (const socket of this.#sockets.get(memberId) ?? []) {
          if (now === 'in') socket.cameIn(roomId, seq)
          else socket.wentOut(roomId, seq)
        }
      }),
    )
  }

  arrived(socket: LiveSocket): void {
    const sockets = this.#sockets.get(socket.accountId) ?? new Set()
    this.#sockets.set(socket.accountId, sockets)
    sockets.add(socket)
    this.#presence.arrived(socket)
  }

  left(socket: LiveSocket): void {
    const sockets = this.#sockets.get(socket.accountId)
    sockets?.delete(socket)
    if (sockets?.size === 0) this.#sockets.delete(socket.accountId)
    this.#presence.left(socket)
  }

  [Symbol.dispose](): void {
    this.#hearing[Symbol.dispose]()
  }
}
