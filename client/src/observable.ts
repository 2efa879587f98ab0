/** What React's `useSyncExternalStore` needs; both may be passed without binding. */
export interface Observable<S> {
  readonly subscribe: (listener: () => void) => () => void
  /** Immutable; the same object until something has changed. */
  readonly getSnapshot: () => S
}

/**
 * State that others watch. A change marks the snapshot stale at once and is told once per microtask, or once per frame for
 * what only the eye follows. The snapshot is composed when somebody asks, so a thousand changes in a row cost one.
 */
export abstract class ObservableState<S> implements Observable<S> {
  readonly #listeners = new Set<() => void>()
  #snapshot: { readonly value: S } | undefined
  #due: 'microtask' | 'frame' | undefined

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  readonly getSnapshot = (): S => {
    this.#snapshot ??= { value: this.compose() }
    return this.#snapshot.value
  }

  /** Builds the snapshot; parts that did not change are the same objects as last time. */
  protected abstract compose(): S

  protected changed(pace: 'microtask' | 'frame' = 'microtask'): void {
    this.#snapshot = undefined
    if (this.#due === 'microtask' || this.#due === pace) return
    this.#due = pace
    if (pace === 'microtask') queueMicrotask(() => this.#tell())
    else nextFrame(() => this.#due === 'frame' && this.#tell())
  }

  #tell(): void {
    this.#due = undefined
    for (const listener of [...this.#listeners]) {
      try {
        listener()
      } catch (thrown) {
        // A listener's fault is its owner's: it surfaces as uncaught there, and the other listeners still hear.
        queueMicrotask(() => {
          throw thrown
        })
      }
    }
  }
}

/** A hidden page draws no frames, so there a timer stands in: what waits must not wait for the person to come back. */
function nextFrame(work: () => void): void {
  if (typeof requestAnimationFrame === 'function' && document.visibilityState === 'visible')
    requestAnimationFrame(work)
  else setTimeout(work, 16)
}
