import { type AtomClientError, asAtomClientError } from './atom-client-error.ts'
import { ObservableState } from './observable.ts'

export interface ListSnapshot<T> {
  /** `loading` until it was fetched once; then the items stay while it is fetched again, or while that fails. */
  readonly state: 'loading' | 'ready' | 'failed'
  readonly items: readonly T[]
  /** Why the last fetch failed. */
  readonly error?: AtomClientError
}

/** A list of the server as it was last fetched or amended here. */
export abstract class ObservableList<T> extends ObservableState<ListSnapshot<T>> {
  #list: ListSnapshot<T> = { state: 'loading', items: [] }
  #loading: Promise<readonly T[]> | undefined
  #generation = 0

  protected override compose(): ListSnapshot<T> {
    return this.#list
  }

  /** One fetch at a time; whoever asks meanwhile gets the same answer. */
  protected load(fetch: () => Promise<readonly T[]>): Promise<readonly T[]> {
    const generation = this.#generation
    const loading = this.#loading ?? this.#load(fetch, generation)
    this.#loading = loading
    const done = () => {
      if (this.#loading === loading) this.#loading = undefined
    }
    loading.then(done, done)
    return loading
  }

  /** The fetch that is under way; what it brings may be from before now. */
  protected get loading(): Promise<readonly T[]> | undefined {
    return this.#loading
  }

  protected amend(change: (items: readonly T[]) => readonly T[]): void {
    const items = change(this.#list.items)
    if (items === this.#list.items) return
    this.#list = { ...this.#list, items }
    this.changed()
  }

  clear(): void {
    this.#generation += 1
    this.#loading = undefined
    this.#list = { state: 'loading', items: [] }
    this.changed()
  }

  async #load(fetch: () => Promise<readonly T[]>, generation: number): Promise<readonly T[]> {
    try {
      const items = await fetch()
      if (generation === this.#generation) {
        this.#list = { state: 'ready', items }
        this.changed()
      }
      return items
    } catch (thrown) {
      if (generation === this.#generation) {
        const state = this.#list.state === 'ready' ? 'ready' : 'failed'
        this.#list = { ...this.#list, state, error: asAtomClientError(thrown) }
        this.changed()
      }
      throw thrown
    }
  }
}
