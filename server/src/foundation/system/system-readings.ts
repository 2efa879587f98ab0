import { readdir, readFile, statfs } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { cgroupMemory } from './cgroup-memory.ts'

/** The loop is looked at this often; what is measured contains it. */
const resolutionMs = 20

/** Readings of the machine under one process; sizes in bytes, shares from 0 to 1. */
export class SystemReadings implements Disposable {
  readonly #delay = monitorEventLoopDelay({ resolution: resolutionMs })
  #utilisation: EventLoopUtilization = performance.eventLoopUtilization()
  #cpu = { used: process.cpuUsage(), at: performance.now() }

  constructor() {
    this.#delay.enable()
  }

  /** Since it was last asked. */
  eventLoop(): { readonly utilisation: number; readonly delayP99Ms: number; readonly delayMaxMs: number } {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, this.#utilisation)
    this.#utilisation = now
    const reading = {
      utilisation: utilization,
      delayP99Ms: Math.max(0, this.#delay.percentile(99) / 1e6 - resolutionMs),
      delayMaxMs: Math.max(0, this.#delay.max / 1e6 - resolutionMs),
    }
    this.#delay.reset()
    return reading
  }

  /** Processors that this process kept busy since it was last asked. */
  cpu(): { readonly busy: number; readonly processors: number } {
    const { used, at } = this.#cpu
    const { user, system } = process.cpuUsage(used)
    const elapsedMs = Math.max(1, performance.now() - at)
    this.#cpu = { used: process.cpuUsage(), at: performance.now() }
    return { busy: (user + system) / 1_000 / elapsedMs, processors: availableParallelism() }
  }

  /** Against the limit of the control group, or the machine's memory where there is none. */
  async memory(): Promise<{
    readonly rss: number
    readonly heap: number
    readonly used: number
    readonly limit: number
  }> {
    const { rss, heapUsed } = process.memoryUsage()
    const group = await cgroupMemory()
    return { rss, heap: heapUsed, used: group?.used ?? rss, limit: group?.limit ?? totalmem() }
  }

  /** What this process may open, and has. Undefined where the system does not say. */
  async descriptors(): Promise<{ readonly open: number; readonly limit: number } | undefined> {
    try {
      const [open, limits] = await Promise.all([
        readdir('/proc/self/fd'),
        readFile('/proc/self/limits', 'utf8'),
      ])
      const limit = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
      return limit === undefined ? undefined : { open: open.length, limit: Number(limit) }
    } catch {
      // No /proc: another system than Linux.
      return undefined
    }
  }

  [Symbol.dispose](): void {
    this.#delay.disable()
  }
}

export interface DiskReading {
  readonly free: number
  readonly size: number
  /** Files that may still be made; undefined where the file system does not count them. */
  readonly freeFiles: number | undefined
  readonly files: number | undefined
}

/** The file system that a folder is on, as somebody without privileges may use it. */
export async function diskOf(folder: string): Promise<DiskReading> {
  const { bavail, blocks, bsize, ffree, files } = await statfs(folder)
  return {
    free: bavail * bsize,
    size: blocks * bsize,
    freeFiles: files === 0 ? undefined : ffree,
    files: files === 0 ? undefined : files,
  }
}
