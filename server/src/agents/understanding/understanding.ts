import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { ToolDescription } from '#agents/tools/tool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Guess } from './classifier.ts'
import type { Understanding } from './command.ts'
import { decide } from './decision.ts'
import { tellingPart } from './slots.ts'
import { smallTalk } from './small-talk.ts'
import type { Lessons, WorkerWord } from './understanding-worker.ts'

export interface UnderstandingOptions {
  /** Learned weights are kept below it. */
  readonly dataDir: string
  /** Their examples are what is learned. */
  readonly tools: readonly ToolDescription[]
  readonly log: Log
}

/** Changes when features or training change, so that weights of another version are not taken up. */
const learningVersion = 2

/**
 * Understands commands without a language model: a classifier over sentence embeddings and n-grams says what is wanted, and
 * rules find the particulars. Learning and guessing happen in a worker thread (see there for time and memory). Returns at
 * once; the first `understand` waits until the worker has learned: a second or two, less with kept weights. One sentence is
 * read at a time. Where the embeddings do not run, it warns and works with n-grams alone, which misses one wish in eight more.
 *
 * Limits: English; one command a message; no "it" or "that one"; times by this server's clock and zone, which the approval
 * shows; an event once, never repeated.
 */
export function openUnderstanding({ dataDir, tools, log }: UnderstandingOptions): Understanding {
  const lessons = lessonsOf(dataDir, tools)
  let guesser = new Guesser(lessons, log)
  let isOpen = true
  return {
    async understand(text, context) {
      if (!isOpen) throw new AtomError('model_unavailable', 'The embedded agent was stopped.')
      if (guesser.dead) guesser = new Guesser(lessons, log)
      return decide(text, await guesser.guess(tellingPart(text)), context)
    },
    async [Symbol.asyncDispose]() {
      isOpen = false
      await guesser[Symbol.asyncDispose]()
    },
  }
}

/** What is learned: the tools' own examples, and small talk. */
export function examplesFrom(tools: readonly ToolDescription[]): Lessons['examples'] {
  return [
    ...tools.flatMap((tool) => tool.examples.map((text) => ({ text, label: tool.name }))),
    ...Object.entries(smallTalk).flatMap(([label, texts]) => texts.map((text) => ({ text, label }))),
  ]
}

function lessonsOf(dataDir: string, tools: readonly ToolDescription[]): Lessons {
  const examples = examplesFrom(tools)
  const hash = createHash('sha256')
    .update(JSON.stringify([learningVersion, examples]))
    .digest('hex')
  return { examples, weightsFile: join(dataDir, 'understanding', `${hash.slice(0, 32)}.weights`) }
}

class Guesser implements AsyncDisposable {
  dead = false
  readonly #worker: Worker
  readonly #waiting = new Map<number, PromiseWithResolvers<readonly Guess[]>>()
  #next = 0

  constructor(lessons: Lessons, log: Log) {
    const began = performance.now()
    this.#worker = new Worker(new URL('./understanding-worker.ts', import.meta.url), { workerData: lessons })
    this.#worker.unref()
    this.#worker.on('message', (word: WorkerWord) => {
      if (word.kind === 'guesses') {
        this.#waiting.get(word.id)?.resolve(word.guesses)
        this.#waiting.delete(word.id)
        return
      }
      const ms = Math.round(performance.now() - began)
      log.debug({ ms, learned: word.learned }, 'the embedded agent is ready')
      if (word.withoutEmbedding !== undefined) {
        log.warn(
          { reason: word.withoutEmbedding },
          'sentence embeddings do not run here; understanding is weaker',
        )
      }
      if (word.notKept !== undefined) {
        log.warn({ reason: word.notKept }, 'what the embedded agent learned could not be kept')
      }
    })
    this.#worker.on('error', (cause) => {
      log.error({ err: cause }, 'the embedded agent failed')
      this.#end(cause)
    })
    this.#worker.on('exit', () => this.#end(undefined))
  }

  async guess(text: string): Promise<readonly Guess[]> {
    const id = this.#next
    this.#next += 1
    const answer = Promise.withResolvers<readonly Guess[]>()
    this.#waiting.set(id, answer)
    this.#worker.postMessage({ id, text })
    return await answer.promise
  }

  #end(cause: unknown): void {
    this.dead = true
    for (const { reject } of this.#waiting.values()) {
      reject(new AtomError('model_unavailable', 'The embedded agent stopped; ask again.', { cause }))
    }
    this.#waiting.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dead = true
    await this.#worker.terminate()
  }
}
