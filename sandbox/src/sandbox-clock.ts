import type { SandboxStore } from './sandbox-store.ts'

/** The sandbox's time: the machine's, plus what `advance` let pass. Kept, so that a restart does not turn it back. */
export class SandboxClock {
  readonly #store: SandboxStore
  #offsetSeconds: number

  constructor(store: SandboxStore) {
    this.#store = store
    this.#offsetSeconds = Number(store.setting('clock.offsetSeconds') ?? 0)
  }

  get offsetSeconds(): number {
    return this.#offsetSeconds
  }

  now(): Date {
    return new Date(Date.now() + this.#offsetSeconds * 1000)
  }

  advance(seconds: number): void {
    this.#offsetSeconds += seconds
    this.#store.keepSetting('clock.offsetSeconds', String(this.#offsetSeconds))
  }
}
