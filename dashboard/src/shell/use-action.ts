import { useCallback, useRef, useState } from 'react'
import { isAway } from './server-away.ts'
import { useComeback } from './use-comeback.ts'

/**
 * One thing a person does that takes a moment and may fail: never twice at once, the failure kept to be shown. That the server
 * was away is not shown any more when it is back.
 */
export function useAction<A extends readonly unknown[]>(work: (...args: A) => Promise<unknown>) {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(undefined)
  const running = useRef(false)
  const newest = useRef(work)
  newest.current = work
  const run = useCallback((...args: A) => {
    if (running.current) return
    running.current = true
    setBusy(true)
    setError(undefined)
    newest
      .current(...args)
      .catch((thrown: unknown) => setError(thrown))
      .finally(() => {
        running.current = false
        setBusy(false)
      })
  }, [])
  const clear = useCallback(() => setError(undefined), [])
  useComeback(() => isAway(error) && clear())
  return { run, busy, error, clear }
}
