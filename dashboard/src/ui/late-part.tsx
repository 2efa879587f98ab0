import { type ComponentType, useSyncExternalStore } from 'react'

const firstWaitMs = 1000
const longestWaitMs = 15_000

/**
 * A part of the page that is fetched when it is first shown. `Meanwhile` stands in its place until it is there, however often it
 * must be asked for: with `React.lazy` a part that cannot be fetched takes the whole page with it, what somebody writes included.
 * A browser that remembers a failed import has the part after the next reload.
 */
export function latePart<Props extends object>(
  fetchPart: () => Promise<ComponentType<Props>>,
  Meanwhile: ComponentType<Props>,
): ComponentType<Props> {
  let part: ComponentType<Props> | undefined
  let asked = false
  const shown = new Set<() => void>()

  function ask(wait: number): void {
    asked = true
    fetchPart().then(
      (fetched) => {
        part = fetched
        for (const change of shown) change()
      },
      // Why it failed says nothing more than that the server is away, which the page says elsewhere.
      () =>
        setTimeout(() => {
          asked = false
          if (shown.size > 0) ask(Math.min(wait * 2, longestWaitMs))
        }, wait),
    )
  }

  function subscribe(change: () => void): () => void {
    shown.add(change)
    if (!asked) ask(firstWaitMs)
    return () => shown.delete(change)
  }

  return function LatePart(props: Props) {
    const Part = useSyncExternalStore(subscribe, () => part) ?? Meanwhile
    return <Part {...props} />
  }
}
