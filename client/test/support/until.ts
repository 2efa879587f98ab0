import type { Observable } from '../../src/observable.ts'

/** Resolves with the first snapshot that satisfies; fails by the test's own timeout, with what it saw last. */
export function until<S>(
  observable: Observable<S>,
  holds: (snapshot: S) => boolean,
  withinMs = 10_000,
): Promise<S> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const snapshot = observable.getSnapshot()
      if (!holds(snapshot)) return
      clearTimeout(timer)
      unsubscribe()
      resolve(snapshot)
    }
    const unsubscribe = observable.subscribe(look)
    const timer = setTimeout(() => {
      unsubscribe()
      reject(
        new Error(
          `it never came to pass; last seen: ${JSON.stringify(observable.getSnapshot())?.slice(0, 2_000)}`,
        ),
      )
    }, withinMs)
    look()
  })
}

/** Polls a plain condition: for what nobody announces. */
export async function eventually(holds: () => boolean, withinMs = 10_000): Promise<void> {
  const end = Date.now() + withinMs
  while (!holds()) {
    if (Date.now() > end) throw new Error(`it never came to pass: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
