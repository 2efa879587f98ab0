/** One measured number. `ratio` is value divided by peerValue; `target` says what it should be: ">=0.35", "<=3". */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** What it is measured against, in the same run: a peer, or the physical limit. */
  readonly peer?: string
  readonly peerValue?: number
  readonly ratio?: number
  readonly target?: string
  readonly holds?: boolean
}

export interface BenchmarkRun {
  /** Finish within a minute: fewer rounds, the same claim. */
  readonly quick: boolean
  /** Names of the parts that are asked for; empty: all of them. */
  readonly only: readonly string[]
  /** A line for the person who waits. */
  say(line: string): void
}

export interface Benchmark {
  readonly name: string
  /** What question the figures answer. */
  readonly question: string
  /** What can be run by itself, by name, with the question that it answers. */
  readonly parts?: ReadonlyMap<string, string>
  run(run: BenchmarkRun): Promise<readonly Figure[]>
}

interface Measured {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly against?: { readonly peer: string; readonly value: number }
  /** Of the ratio where there is a peer, of the value otherwise. */
  readonly target?: `${'>=' | '<='}${number}`
}

/** A figure with its ratio and its verdict worked out. */
export function figure({ name, value, unit, against, target }: Measured): Figure {
  const ratio = against === undefined ? undefined : value / against.value
  const judged = ratio ?? value
  const bound = target === undefined ? undefined : Number(target.slice(2))
  return {
    name,
    value: rounded(value),
    unit,
    ...(against && { peer: against.peer, peerValue: rounded(against.value) }),
    ...(ratio !== undefined && { ratio: rounded(ratio) }),
    ...(target !== undefined &&
      bound !== undefined && { target, holds: target.startsWith('>=') ? judged >= bound : judged <= bound }),
  }
}

/** The middle of several rounds; rounds on shared machines are noisy and their mean is noisier. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}

/** The value below which `share` (0 to 1) of the values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
