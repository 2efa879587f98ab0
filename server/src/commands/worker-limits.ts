import type { Worker } from 'node:cluster'
import { CountedLimit, type Counter } from '../foundation/rate-limit/counted-limit.ts'
import { Counts } from '../foundation/rate-limit/counts.ts'
import {
  type Allowance,
  type Limit,
  type LimitOptions,
  type RateLimits,
  steadyUs,
} from '../foundation/rate-limit/rate-limit.ts'

/** What `Counter` is asked, under its key. */
type Question = readonly [key: string, args: readonly number[]]

/** A worker wants these judged, and tells what it has moved. */
export interface LimitsAsked {
  readonly limitsAsked: number
  readonly questions: readonly Question[]
  readonly moves: readonly Question[]
}

interface LimitsAnswered {
  readonly limitsAnswered: number
  readonly answers: readonly number[][]
}

export function isLimitsAsked(word: object): word is LimitsAsked {
  return 'limitsAsked' in word
}

/** How long a request waits for the process that counts, ms; then its worker judges by itself. */
const patienceMs = 50
/** So many rounds in a row without an answer in time, and nobody waits any more until one comes. */
const patience = 3

/** At the process that started the workers: it counts for all of them. */
export class LimitsOfWorkers {
  readonly #counts = new Counts()

  heard(word: LimitsAsked, from: Pick<Worker, 'isConnected' | 'send'>): void {
    for (const [key, args] of word.moves) this.#counts.move(key, args)
    if (word.questions.length === 0) return
    const answers = word.questions.map(([key, args]) => this.#counts.take(key, args))
    if (from.isConnected()) from.send({ limitsAnswered: word.limitsAsked, answers } satisfies LimitsAnswered)
  }
}

/** How a worker reaches that process. */
export interface CountingLine {
  readonly open: boolean
  tell(word: LimitsAsked): void
  hear(listener: (word: unknown) => void): void
}

const parent: CountingLine = {
  get open() {
    return process.connected
  },
  tell: (word) => void process.send?.(word),
  hear: (listener) => void process.on('message', listener),
}

/**
 * Limits that the workers of one machine count together: exact over all of them, as with Redis and by the same rules. What is asked
 * in one turn of the loop goes in one message. A process that does not answer costs its patience, and then nothing.
 */
export class LimitsAmongWorkers implements RateLimits, Counter {
  readonly #line: CountingLine
  readonly #patienceMs: number
  readonly #waiting = new Map<number, (answers: readonly number[][] | undefined) => void>()
  #questions: Question[] = []
  #moves: Question[] = []
  #round: Promise<readonly number[][] | undefined> | undefined
  #asked = 0
  #unanswered = 0

  constructor(options: { readonly line?: CountingLine; readonly patienceMs?: number } = {}) {
    this.#line = options.line ?? parent
    this.#patienceMs = options.patienceMs ?? patienceMs
    this.#line.hear((word) => this.#heard(word))
  }

  get shared(): boolean {
    return this.#line.open && this.#unanswered < patience
  }

  limit(name: string, allowance: Allowance, options: LimitOptions = {}): Limit {
    return new CountedLimit(name, allowance, options, { counter: this, nowUs: steadyUs })
  }

  async take(key: string, args: readonly number[]): Promise<number[] | undefined> {
    const at = this.#questions.push([key, args]) - 1
    const answers = await this.#next()
    return answers?.[at]
  }

  move(key: string, args: readonly number[]): void {
    if (!this.#line.open) return
    this.#moves.push([key, args])
    void this.#next()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const answer of this.#waiting.values()) answer(undefined)
  }

  #next(): Promise<readonly number[][] | undefined> {
    this.#round ??= new Promise((resolve) => setImmediate(() => resolve(this.#ask())))
    return this.#round
  }

  async #ask(): Promise<readonly number[][] | undefined> {
    const [questions, moves] = [this.#questions, this.#moves]
    this.#questions = []
    this.#moves = []
    this.#round = undefined
    if (!this.#line.open) return undefined
    const asked = ++this.#asked
    this.#line.tell({ limitsAsked: asked, questions, moves })
    if (questions.length === 0) return undefined
    const { promise, resolve } = Promise.withResolvers<readonly number[][] | undefined>()
    this.#waiting.set(asked, resolve)
    // A process that stood still has its answer in the line: it is read before the time is declared over.
    const late = setTimeout(() => setImmediate(() => resolve(undefined)), this.#patienceMs)
    const answers = await promise
    clearTimeout(late)
    this.#waiting.delete(asked)
    if (answers === undefined) this.#unanswered++
    return answers
  }

  #heard(word: unknown): void {
    if (typeof word !== 'object' || word === null || !('limitsAnswered' in word)) return
    const { limitsAnswered, answers } = word as LimitsAnswered
    this.#unanswered = 0
    this.#waiting.get(limitsAnswered)?.(answers)
  }
}
