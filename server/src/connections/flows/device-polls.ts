import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { App } from '../apps.ts'
import type { Grant } from '../authorization-server/token-endpoint.ts'
import type { DeviceCodeFlow } from './device-code.ts'
import type { DevicePoll, FlowRow, FlowStore } from './flow-store.ts'

/** Longer than asking, reading the identity and storing it can take with all their timeouts. */
const leaseSeconds = 180
const atOnce = 8
/** How often codes are looked for that another process left behind. */
const idleMs = 15_000
/** RFC 8628 3.5. */
const slowerBySeconds = 5
const slowestSeconds = 60

/**
 * Asks providers for the device codes of everybody, until each has its last word. What is waited for is in the database: a
 * server that comes back, or another one, goes on asking.
 */
export class DevicePolls implements AsyncDisposable {
  readonly #store: FlowStore
  readonly #flow: DeviceCodeFlow
  readonly #arrived: (flow: FlowRow, app: App, grant: Grant) => Promise<void>
  readonly #log: Log
  readonly #holder = newId()
  readonly #loop: Promise<void>
  #closed = false
  #woken = false
  #alarm: () => void = () => undefined

  constructor(dependencies: {
    store: FlowStore
    flow: DeviceCodeFlow
    /** Makes a connection of a grant. @throws AtomError where it cannot */
    arrived: (flow: FlowRow, app: App, grant: Grant) => Promise<void>
    log: Log
  }) {
    this.#store = dependencies.store
    this.#flow = dependencies.flow
    this.#arrived = dependencies.arrived
    this.#log = dependencies.log
    this.#loop = this.#run()
  }

  /** A code has been given out: look when it is due. */
  wake(): void {
    this.#woken = true
    this.#alarm()
  }

  /** Waits for those that are being asked for: what they bring must still be stored. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#alarm()
    await this.#loop
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      this.#woken = false
      let waitMs = idleMs
      try {
        const due = await this.#store.claimDevicePolls({ holder: this.#holder, leaseSeconds, limit: atOnce })
        await Promise.all(due.map((poll) => this.#poll(poll)))
        waitMs = (await this.#store.nextDevicePollInMs()) ?? idleMs
      } catch (error) {
        this.#log.warn({ err: error }, 'device codes cannot be asked for now')
      }
      // Never a tight loop, whatever the clocks say.
      await this.#sleep(Math.min(Math.max(waitMs, 50), idleMs))
    }
  }

  async #sleep(ms: number): Promise<void> {
    // Woken while it was looking: what it saw may be old.
    if (this.#closed || this.#woken) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      // Waiting alone keeps no process alive.
      timer.unref()
      this.#alarm = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async #poll(poll: DevicePoll): Promise<void> {
    try {
      const answer = await this.#flow.ask(poll)
      if ('grant' in answer) return await this.#arrived(poll, answer.app, answer.grant)
      const { pending } = answer
      const slower = Math.min(poll.intervalSeconds + slowerBySeconds, slowestSeconds)
      const intervalSeconds = pending === 'slower' ? slower : poll.intervalSeconds
      await this.#store.postponeDevicePoll(poll.id, this.#holder, {
        intervalSeconds,
        inSeconds:
          pending === 'unreachable' ? Math.min(2 * intervalSeconds, slowestSeconds) : intervalSeconds,
      })
    } catch (error) {
      if (error instanceof AtomError && error.code === 'unavailable') throw error
      const problem = error instanceof AtomError ? error.code : 'internal'
      const facts = { flowId: poll.id, provider: poll.provider, code: problem, err: error }
      if (problem === 'internal') this.#log.error(facts, 'a device code could not be asked for')
      else this.#log.info(facts, 'not connected')
      await this.#store.failFlow(poll.id, problem)
    }
  }
}
