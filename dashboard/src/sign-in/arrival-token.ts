export type ArrivalPath = '/setup' | '/join'

interface Arrival {
  readonly path: string
  readonly token: string
}

let arrival: Arrival | undefined
const listeners = new Set<() => void>()

/**
 * A setup or invitation link carries its token in the fragment, which no server and no Referer ever sees. It is taken out
 * of the address before anything else runs, so that it stays out of the history, of screenshots and of a shared screen.
 */
function takeArrivalToken(): void {
  const token = tokenIn(location.hash)
  if (token === undefined) return
  arrival = { path: location.pathname, token }
  history.replaceState(history.state, '', location.pathname + location.search)
  for (const heard of listeners) heard()
}

/** Also when a newer link is pasted into the page that is open: only the fragment changes then, and nothing is loaded. */
export function watchForArrival(): void {
  takeArrivalToken()
  addEventListener('hashchange', takeArrivalToken)
}

export const arrivalToken = {
  subscribe(listener: () => void): () => void {
    listeners.add(listener)
    return () => listeners.delete(listener)
  },
  /** The token that came with a link to this page. */
  of: (path: ArrivalPath): string | undefined => (arrival?.path === path ? arrival.token : undefined),
  forget(): void {
    arrival = undefined
  },
}

export function tokenIn(hash: string): string | undefined {
  const token = new URLSearchParams(hash.replace(/^#/, '')).get('token')
  return token === null || token === '' ? undefined : token
}
