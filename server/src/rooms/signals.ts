import type { RoomSignal } from '@atom/contract/socket.ts'

/** What is told and never stored: somebody types, an answer grows. Nothing here is kept, and any of it may be lost. */
export class Signals {
  readonly #subscribers = new Set<(signal: RoomSignal) => void>()

  /** Never waits and never throws. */
  tell(signal: RoomSignal): void {
    for (const heard of this.#subscribers) heard(signal)
  }

  subscribe(heard: (signal: RoomSignal) => void): Disposable {
    this.#subscribers.add(heard)
    return { [Symbol.dispose]: () => void this.#subscribers.delete(heard) }
  }
}
