import { useCallback, useEffect, useRef, useState } from 'react'

export interface Polled<T> {
  /** The newest answer; it stays while newer ones fail. */
  readonly value: T | undefined
  /** Why the newest question failed; undefined after one that did not. */
  readonly error: unknown
  /** When the value came. */
  readonly at: string | undefined
  readonly again: () => void
}

const usualMs = 2_000

/**
 * Asks again and again while somebody looks: never twice at once, not while the page is hidden, at once when it is shown again.
 * @param ask must keep its identity while the question is the same
 * @param everyMs how long after an answer it asks again
 */
export function usePolled<T>(ask: () => Promise<T>, everyMs = usualMs): Polled<T> {
  const [polled, setPolled] = useState<Omit<Polled<T>, 'again'>>({
    value: undefined,
    error: undefined,
    at: undefined,
  })
  const now = useRef<() => void>(() => undefined)
  useEffect(() => {
    let wanted = true
    let asking = false
    let timer: ReturnType<typeof setTimeout> | undefined
    function look() {
      clearTimeout(timer)
      if (asking || document.hidden) return
      asking = true
      ask()
        .then(
          (value) => wanted && setPolled({ value, error: undefined, at: new Date().toISOString() }),
          (error: unknown) => wanted && setPolled((before) => ({ ...before, error })),
        )
        .finally(() => {
          asking = false
          if (wanted) timer = setTimeout(look, everyMs)
        })
    }
    now.current = look
    look()
    document.addEventListener('visibilitychange', look)
    return () => {
      wanted = false
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', look)
    }
  }, [ask, everyMs])
  const again = useCallback(() => now.current(), [])
  return { ...polled, again }
}
