import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay, PerformanceObserver, performance } from 'node:perf_hooks'
import { memoryUsage } from 'node:process'
import type { Metrics } from './metrics.ts'

/** The process since the last time it was asked. */
export interface RuntimeSample {
  /** Processors in use: 1 is one whole processor. */
  readonly cpu: number
  readonly residentBytes: number
  readonly heapBytes: number
  /** How late timers were, in milliseconds; the 99th percentile. */
  readonly loopDelayMs: number
  /** The part of the time in which the event loop had something to do, 0 to 1. */
  readonly loopUtilization: number
  /** The part of the time that went into collecting garbage, 0 to 1. */
  readonly collecting: number
  /** Open files and sockets; undefined where the system does not say. */
  readonly descriptors: number | undefined
}

const delayResolutionMs = 20

/** How this process is, by what Node and the system say of it. */
export class RuntimeReadings implements Disposable {
  readonly #delay: ReturnType<typeof monitorEventLoopDelay>
  readonly #observer: PerformanceObserver
  #loop = performance.eventLoopUtilization()
  #cpu = process.cpuUsage()
  #at = performance.now()
  #collectedMs = 0
  #collectedBefore = 0
  #delayP99Ms = 0

  constructor() {
    this.#delay = monitorEventLoopDelay({ resolution: delayResolutionMs })
    this.#delay.enable()
    this.#observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) this.#collectedMs += duration
    })
    this.#observer.observe({ entryTypes: ['gc'] })
  }

  /** Begins a new interval. To be called by one. */
  sample(): RuntimeSample {
    const now = performance.now()
    const elapsedMs = Math.max(1, now - this.#at)
    const cpu = process.cpuUsage(this.#cpu)
    const loop = performance.eventLoopUtilization(this.#loop)
    const memory = memoryUsage()
    this.#delayP99Ms = this.#lateMs()
    const collecting = (this.#collectedMs - this.#collectedBefore) / elapsedMs
    this.#collectedBefore = this.#collectedMs
    this.#delay.reset()
    this.#loop = performance.eventLoopUtilization()
    this.#cpu = process.cpuUsage()
    this.#at = now
    return {
      cpu: (cpu.user + cpu.system) / 1_000 / elapsedMs,
      residentBytes: memory.rss,
      heapBytes: memory.heapUsed,
      loopDelayMs: this.#delayP99Ms,
      loopUtilization: loop.utilization,
      collecting: Math.min(1, collecting),
      descriptors: descriptors(),
    }
  }

  /** Under the names that Prometheus' own clients and OpenTelemetry's conventions give them. */
  register(metrics: Metrics): void {
    metrics.counter({
      name: 'process_cpu_seconds_total',
      help: 'Processor time of this process, user and system',
      read: () => {
        const { user, system } = process.cpuUsage()
        return (user + system) / 1_000_000
      },
    })
    metrics.gauge({
      name: 'process_resident_memory_bytes',
      help: 'Memory of this process that is not paged out',
      read: () => memoryUsage.rss(),
    })
    metrics.gauge({
      name: 'process_start_time_seconds',
      help: 'When this process started, seconds since 1970',
      read: () => performance.timeOrigin / 1_000,
    })
    metrics.gauge({
      name: 'process_open_fds',
      help: 'Open files and sockets of this process',
      read: () => descriptors() ?? 0,
    })
    metrics.gauge({
      name: 'v8js_memory_heap_used_bytes',
      help: 'JavaScript heap in use',
      read: () => memoryUsage().heapUsed,
    })
    metrics.gauge({
      name: 'v8js_memory_heap_size_bytes',
      help: 'JavaScript heap held',
      read: () => memoryUsage().heapTotal,
    })
    metrics.counter({
      name: 'v8js_gc_duration_seconds_total',
      help: 'Time spent collecting garbage',
      read: () => this.#collectedMs / 1_000,
    })
    metrics.gauge({
      name: 'nodejs_eventloop_delay_p99_seconds',
      help: 'How late timers were at the 99th percentile of the last seconds',
      read: () => this.#lateMs() / 1_000,
    })
    metrics.counter({
      name: 'nodejs_eventloop_time_seconds_total',
      help: 'Time of the event loop, by whether it had something to do',
      labels: ['nodejs_eventloop_state'],
      read: () => {
        const { active, idle } = performance.eventLoopUtilization()
        return [
          [{ nodejs_eventloop_state: 'active' }, active / 1_000],
          [{ nodejs_eventloop_state: 'idle' }, idle / 1_000],
        ]
      },
    })
  }

  [Symbol.dispose](): void {
    this.#delay.disable()
    this.#observer.disconnect()
  }

  /** Just begun, the last interval's. */
  #lateMs(): number {
    if (this.#delay.count === 0) return this.#delayP99Ms
    return Math.max(0, this.#delay.percentile(99) / 1e6 - delayResolutionMs)
  }
}

function descriptors(): number | undefined {
  if (process.platform !== 'linux') return undefined
  // One of them is this look itself.
  return readdirSync('/proc/self/fd').length - 1
}
