import { useCallback, useEffect, useState } from 'react'

export type AnswerState<T> =
  | { readonly state: 'loading' }
  | { readonly state: 'ready'; readonly value: T }
  | { readonly state: 'failed'; readonly error: unknown }

/**
 * Asks once, and again on `reload` (what is shown stays until the new answer is there).
 * @param ask must keep its identity while the question is the same
 * @param about asked again whenever this is another: what the answer depends on besides the question
 */
export function useAnswer<T>(
  ask: () => Promise<T>,
  about?: unknown,
): AnswerState<T> & { reload: () => void } {
  const [answer, setAnswer] = useState<AnswerState<T>>({ state: 'loading' })
  const [round, setRound] = useState(0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new round, or news of what it is about, asks the same question again.
  useEffect(() => {
    let wanted = true
    ask().then(
      (value) => wanted && setAnswer({ state: 'ready', value }),
      (error: unknown) => wanted && setAnswer({ state: 'failed', error }),
    )
    return () => {
      wanted = false
    }
  }, [ask, round, about])
  const reload = useCallback(() => setRound((n) => n + 1), [])
  return { ...answer, reload }
}
