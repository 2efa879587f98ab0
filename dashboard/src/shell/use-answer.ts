import { useCallback, useEffect, useRef, useState } from 'react'
import { useObserved } from './atom.ts'
import { isAway, serverAway } from './server-away.ts'

export type AnswerState<T> =
  | { readonly state: 'loading' }
  | { readonly state: 'ready'; readonly value: T }
  | { readonly state: 'failed'; readonly error: unknown }

/**
 * Asks once, and again on `reload` (what is shown stays until the new answer is there). While the server is away, which the
 * line at the top says, the question waits and is asked again when it is back.
 * @param ask must keep its identity while the question is the same
 * @param about asked again whenever this is another: what the answer depends on besides the question
 */
export function useAnswer<T>(
  ask: () => Promise<T>,
  about?: unknown,
): AnswerState<T> & { reload: () => void } {
  const [answer, setAnswer] = useState<AnswerState<T>>({ state: 'loading' })
  const [round, setRound] = useState(0)
  const { returns } = useObserved(serverAway)
  const waits = useRef(false)
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new round, or news of what it is about, asks the same question again.
  useEffect(() => {
    let wanted = true
    waits.current = false
    const answered = (next: AnswerState<T>) => {
      if (wanted) setAnswer(next)
    }
    ask().then(
      (value) => answered({ state: 'ready', value }),
      async (error: unknown) => {
        if (wanted && isAway(error) && (await serverAway.check())) waits.current = wanted
        else answered({ state: 'failed', error })
      },
    )
    return () => {
      wanted = false
    }
  }, [ask, round, about])
  const reload = useCallback(() => setRound((n) => n + 1), [])
  // biome-ignore lint/correctness/useExhaustiveDependencies: the server has come back.
  useEffect(() => {
    if (waits.current) reload()
  }, [returns, reload])
  return { ...answer, reload }
}
