import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { Classifier } from './classifier.ts'
import type { Embedder } from './embedding.ts'
import { featuresOf } from './features.ts'

// A thread of its own, because one sentence takes 10 to 40 ms of a processor. It adds some 135 MB to the process, 240 after
// learning: most of it is the embeddings' WebAssembly memory, which never shrinks; hence small batches and short texts.

/** What the worker is started with. */
export interface Lessons {
  readonly examples: readonly { readonly text: string; readonly label: string }[]
  /** Where the learned weights are kept; its name changes with the examples. */
  readonly weightsFile: string
}

export type WorkerWord =
  | {
      readonly kind: 'ready'
      readonly learned: boolean
      /** Why there are no sentence embeddings. */
      readonly withoutEmbedding?: string
      /** Why the weights could not be kept; then the next start learns again. */
      readonly notKept?: string
    }
  | { readonly kind: 'guesses'; readonly id: number; readonly guesses: ReturnType<Classifier['guess']> }

/** The embedder in the place of one that does not run on this machine: n-grams alone still tell most commands apart. */
const noEmbedder: Embedder = { embed: async (texts) => texts.map(() => new Float32Array(0)) }

const digestBytes = 32
const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

const port = parentPort
if (port === null) throw new Error('runs as a worker thread only')
const { examples, weightsFile } = workerData as Lessons
const say = (word: WorkerWord) => port.postMessage(word)

let withoutEmbedding: string | undefined
const embedder = await embedderOfThisMachine()
const { classifier, learned, notKept } = await learn()
say({
  kind: 'ready',
  learned,
  ...(withoutEmbedding !== undefined && { withoutEmbedding }),
  ...(notKept !== undefined && { notKept }),
})
port.on('message', async ({ id, text }: { id: number; text: string }) => {
  const [embedding] = await embedder.embed([text])
  say({ kind: 'guesses', id, guesses: classifier.guess(featuresOf(text, embedding ?? new Float32Array(0))) })
})

/** Imported only here, so that a missing package, or a machine without its WebAssembly, weakens the agent and no more. */
async function embedderOfThisMachine(): Promise<Embedder> {
  try {
    const { openEmbedder } = await import('./embedding.ts')
    return await openEmbedder()
  } catch (thrown) {
    withoutEmbedding = reason(thrown)
    return noEmbedder
  }
}

async function learn(): Promise<{ classifier: Classifier; learned: boolean; notKept?: string }> {
  const labels = [...new Set(examples.map((example) => example.label))].sort()
  const width = (await embedder.embed(['width']))[0]?.length ?? 0
  const kept = keptWeights()
  const known = kept && Classifier.from(labels, width, kept)
  if (known !== undefined) return { classifier: known, learned: false }
  const embeddings = await embedder.embed(examples.map((example) => example.text))
  const trained = Classifier.train(
    examples.map(({ text, label }, at) => ({
      label,
      features: featuresOf(text, embeddings[at] ?? new Float32Array(0)),
    })),
  )
  try {
    keep(trained.weights)
    return { classifier: trained, learned: true }
  } catch (thrown) {
    return { classifier: trained, learned: true, notKept: reason(thrown) }
  }
}

function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** Undefined where there are none, or not those that were written: learning again takes a second. */
function keptWeights(): Float32Array | undefined {
  let file: Buffer
  try {
    file = readFileSync(weightsFile)
  } catch {
    // Absent mostly; where it cannot be read, it cannot be replaced either, and `keep` will say why.
    return undefined
  }
  const bytes = file.subarray(digestBytes)
  if (bytes.length % 4 !== 0 || !digestOf(bytes).equals(file.subarray(0, digestBytes))) return undefined
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
}

/** A digest and the weights; whole or not at all: a kill in the middle leaves no half file under the name that counts. */
function keep(weights: Float32Array): void {
  const folder = dirname(weightsFile)
  mkdirSync(folder, { recursive: true })
  const bytes = Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength)
  const next = `${weightsFile}.${process.pid}`
  writeFileSync(next, Buffer.concat([digestOf(bytes), bytes]))
  renameSync(next, weightsFile)
  for (const name of readdirSync(folder)) {
    // Of earlier examples.
    if (name.endsWith('.weights') && name !== basename(weightsFile)) rmSync(join(folder, name))
  }
}
