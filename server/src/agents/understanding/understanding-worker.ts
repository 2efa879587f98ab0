import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { Classifier } from './classifier.ts'
import { type Embedder, openEmbedder } from './embedding.ts'
import { featuresOf } from './features.ts'

/** What the worker is started with. */
export interface Lessons {
  readonly examples: readonly { readonly text: string; readonly label: string }[]
  /** Where the learned weights are kept; its name changes with the examples. */
  readonly weightsFile: string
}

export type WorkerWord =
  | { readonly kind: 'ready'; readonly learned: boolean; readonly withoutEmbedding?: string }
  | { readonly kind: 'guesses'; readonly id: number; readonly guesses: ReturnType<Classifier['guess']> }

/** The embedder in the place of one that does not run on this machine: n-grams alone still tell most commands apart. */
const noEmbedder: Embedder = { embed: async (texts) => texts.map(() => new Float32Array(0)) }

const port = parentPort
if (port === null) throw new Error('runs as a worker thread only')
const { examples, weightsFile } = workerData as Lessons
const say = (word: WorkerWord) => port.postMessage(word)

let withoutEmbedding: string | undefined
const embedder = await openEmbedder().catch((thrown: unknown) => {
  withoutEmbedding = thrown instanceof Error ? thrown.message : String(thrown)
  return noEmbedder
})
const { classifier, learned } = await learn()
say({ kind: 'ready', learned, ...(withoutEmbedding !== undefined && { withoutEmbedding }) })
port.on('message', async ({ id, text }: { id: number; text: string }) => {
  const [embedding] = await embedder.embed([text])
  say({ kind: 'guesses', id, guesses: classifier.guess(featuresOf(text, embedding ?? new Float32Array(0))) })
})

async function learn(): Promise<{ classifier: Classifier; learned: boolean }> {
  const labels = [...new Set(examples.map((example) => example.label))].sort()
  const width = (await embedder.embed(['width']))[0]?.length ?? 0
  const kept = keptWeights()
  const known = kept && Classifier.from(labels, width, kept)
  if (known !== undefined) return { classifier: known, learned: false }
  const embeddings = await embedder.embed(examples.map((example) => example.text))
  const classifier = Classifier.train(
    examples.map(({ text, label }, at) => ({
      label,
      features: featuresOf(text, embeddings[at] ?? new Float32Array(0)),
    })),
  )
  keep(classifier.weights)
  return { classifier, learned: true }
}

function keptWeights(): Float32Array | undefined {
  try {
    const bytes = readFileSync(weightsFile)
    return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw thrown
  }
}

/** Whole or not at all: a kill in the middle leaves no half file under the name that counts. */
function keep(weights: Float32Array): void {
  mkdirSync(dirname(weightsFile), { recursive: true })
  const next = `${weightsFile}.${process.pid}`
  writeFileSync(next, Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength))
  renameSync(next, weightsFile)
}
