/**
 * Many who ask for the same at once share one look, which begins after the last of them has asked: each sees what was true
 * when it came, as if it had looked alone.
 */
export class JoinedLookup<T> {
  readonly #look: (key: string) => Promise<T>
  readonly #looks = new Map<string, { readonly current: Promise<T>; next: Promise<T> | undefined }>()

  constructor(look: (key: string) => Promise<T>) {
    this.#look = look
  }

  at(key: string): Promise<T> {
    const under = this.#looks.get(key)
    if (under === undefined) return this.#begin(key)
    under.next ??= under.current.then(
      () => this.#begin(key),
      () => this.#begin(key),
    )
    return under.next
  }

  #begin(key: string): Promise<T> {
    const current = this.#look(key)
    const entry = { current, next: undefined }
    this.#looks.set(key, entry)
    const over = () => {
      // Whoever waits for the next look takes the place over by beginning it.
      if (entry.next === undefined && this.#looks.get(key) === entry) this.#looks.delete(key)
    }
    current.then(over, over)
    return current
  }
}
