import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Processors extends Disposable {
  /** What a command is started with that is to have the processors that are left; nothing where all share all of them. */
  readonly others: readonly string[]
}

/**
 * Gives this process, which plays the clients, one processor for itself, and leaves the others to those it starts: clients
 * have machines of their own, and what it costs to send a flood is not to be taken from whoever is flooded. Where there is
 * one processor only, or no `taskset` (Linux has it), all share what there is. Disposal gives them all back.
 */
export function processorsApart(): Processors {
  const allowed = allowedProcessors()
  const own = allowed.at(-1)
  if (own === undefined || allowed.length < 2) return { others: [], [Symbol.dispose]: () => undefined }
  keepTo([own])
  return {
    others: ['taskset', '-c', allowed.slice(0, -1).join()],
    [Symbol.dispose]: () => keepTo(allowed),
  }
}

/** All threads of this process. */
function keepTo(processors: readonly number[]): void {
  execFileSync('taskset', ['-a', '-c', '-p', processors.join(), String(process.pid)])
}

/** By number; none where nobody says. */
function allowedProcessors(): number[] {
  try {
    // "pid 7's current affinity list: 0-2,5"
    const told = execFileSync('taskset', ['-c', '-p', String(process.pid)], { encoding: 'utf8' })
    return (told.split(': ')[1] ?? '').split(',').flatMap((range) => {
      const [first = Number.NaN, last = first] = range.split('-').map(Number)
      return Number.isNaN(first) ? [] : Array.from({ length: last - first + 1 }, (_, at) => first + at)
    })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}

/** What the processors of this machine did since its start, in ticks of the clock; undefined where nobody says. */
export interface ProcessorTime {
  readonly all: number
  /** Given by the host to others while this machine had something to do. */
  readonly stolen: number
}

/** Linux's `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5)). */
export function processorTime(): ProcessorTime | undefined {
  if (process.platform !== 'linux') return undefined
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1)
  const ticks = line.split(/\s+/).slice(1, 9).map(Number)
  return { all: ticks.reduce((sum, each) => sum + each, 0), stolen: ticks[7] ?? 0 }
}
