/** Words and pieces of words, hashed into this many places. A power of two. */
export const ngramPlaces = 2 ** 15

export interface Features {
  /** Places of the n-grams and their weights; the weights have Euclidean length 1. */
  readonly places: Int32Array
  readonly weights: Float32Array
  /** Sentence embedding, Euclidean length 1. */
  readonly embedding: Float32Array
}

/** What a command says whatever it is about: names and numbers are replaced by what they are. */
export function normalised(text: string): string {
  return text
    .toLowerCase()
    .normalize('NFKC')
    .replace(/["“”«»„][^"“”«»„]*["“”«»„]/g, ' quoted ')
    .replace(/\bhttps?:\/\/\S+/g, ' link ')
    .replace(/\b[\w.-]+@[\w-]+\.[\w.]+/g, ' mail ')
    .replace(/(?<![\w/])[\w.-]+\/[\w.-]+(?![\w/])/g, ' repository ')
    .replace(/#?\b\d+\b/g, ' number ')
    .replace(/[^\p{L}\p{N}' ]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim()
}

/** N-grams of a normalised text: words, pairs of words, and three to five letters within a word's bounds. */
export function ngrams(text: string): Map<number, number> {
  const counts = new Map<number, number>()
  const add = (gram: string, weight: number) => {
    const place = hash(gram) & (ngramPlaces - 1)
    counts.set(place, (counts.get(place) ?? 0) + weight)
  }
  const words = text.split(' ').filter((word) => word !== '')
  for (const [at, word] of words.entries()) {
    add(`w:${word}`, 1)
    add(`b:${words[at - 1] ?? '^'} ${word}`, 0.7)
    const bounded = `<${word}>`
    for (let size = 3; size <= 5; size += 1) {
      for (let from = 0; from + size <= bounded.length; from += 1)
        add(`c:${bounded.slice(from, from + size)}`, 0.35)
    }
  }
  return counts
}

export function featuresOf(text: string, embedding: Float32Array): Features {
  const counts = ngrams(normalised(text))
  const places = Int32Array.from(counts.keys())
  const weights = Float32Array.from(counts.values(), (count) => Math.sqrt(count))
  const length = Math.hypot(...weights) || 1
  return { places, weights: weights.map((weight) => weight / length), embedding }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let at = 0; at < text.length; at += 1) {
    value ^= text.charCodeAt(at)
    value = Math.imul(value, 0x01000193)
  }
  return value >>> 0
}
