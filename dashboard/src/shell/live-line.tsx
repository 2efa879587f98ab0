import { CloudOff, RefreshCw } from 'lucide-react'
import { useEffect, useState, useSyncExternalStore } from 'react'
import { atom, useObserved } from './atom.ts'
import { awayWords, liveLineWords } from './live-line-words.ts'
import { serverAway } from './server-away.ts'

/** A page that has just come, or a short drop, is nothing to speak of. */
const graceMs = 1500

/** The one line at the top, only when there is something to say. */
export function LiveLine() {
  const realtime = useObserved(atom.realtime)
  const online = useSyncExternalStore(subscribeToNetwork, () => navigator.onLine)
  const away = useObserved(serverAway)
  const socketTroubled =
    realtime.state !== 'connected' && realtime.state !== 'idle' && realtime.state !== 'closed'
  const troubled = socketTroubled || away.error !== undefined
  const [shown, setShown] = useState(false)
  const [now, setNow] = useState(Date.now)

  useEffect(() => {
    if (!troubled) {
      setShown(false)
      return undefined
    }
    const grace = setTimeout(() => setShown(true), graceMs)
    const tick = setInterval(() => setNow(Date.now()), 1000)
    return () => {
      clearTimeout(grace)
      clearInterval(tick)
    }
  }, [troubled])

  const words =
    liveLineWords(realtime, online, now) ??
    (away.error === undefined ? undefined : awayWords(away.error.code, away.retryAt, online, now))
  return (
    <div role="status" aria-label="Live connection">
      {words !== undefined && (shown || !online) && (
        <div className="flex min-h-9 items-center justify-center gap-2 border-b border-warn-line bg-warn-wash px-4 py-1 text-sm tabular-nums">
          {online ? (
            <RefreshCw size={14} aria-hidden className="shrink-0 text-warn" />
          ) : (
            <CloudOff size={14} aria-hidden className="shrink-0 text-warn" />
          )}
          <span>{words.text}</span>
          {words.offer !== undefined && (
            <button
              type="button"
              className="rounded-control px-2 py-0.5 font-medium underline underline-offset-2 pointer-coarse:min-h-11"
              onClick={() => (words.offer === 'now' ? tryNow() : location.reload())}
            >
              {words.offer === 'now' ? 'Try now' : 'Reload'}
            </button>
          )}
        </div>
      )}
    </div>
  )
}

function tryNow(): void {
  if (serverAway.getSnapshot().error !== undefined) serverAway.retryNow()
  atom.realtime.retryNow()
}

function subscribeToNetwork(listener: () => void): () => void {
  addEventListener('online', listener)
  addEventListener('offline', listener)
  return () => {
    removeEventListener('online', listener)
    removeEventListener('offline', listener)
  }
}
