import { type EventLoopUtilization, performance } from 'node:perf_hooks'

const sampleMs = 100
/** How long what is new in a room is gathered, by the share of its time that this process is busy. */
const windows = [
  { above: 0.9, gatherMs: 16 },
  { above: 0.7, gatherMs: 8 },
] as const

/**
 * How long to wait for more before a frame is sent: not at all while the process has time to spare, a few milliseconds when it
 * has not, because one frame of many events costs hardly more than one of one event.
 */
export class Pace {
  #last: EventLoopUtilization = performance.eventLoopUtilization()
  #sampledAt = performance.now()
  #gatherMs = 0

  get gatherMs(): number {
    const now = performance.now()
    if (now - this.#sampledAt >= sampleMs) {
      const current = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(current, this.#last)
      this.#last = current
      this.#sampledAt = now
      this.#gatherMs = windows.find(({ above }) => utilization > above)?.gatherMs ?? 0
    }
    return this.#gatherMs
  }
}
