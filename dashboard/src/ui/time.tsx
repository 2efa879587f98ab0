import { useSyncExternalStore } from 'react'
import { exactTime, relativeTime, timeOfDay } from './clock-text.ts'

const stepMs = 30_000
const listeners = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined
let step = 0

/** One clock for every relative time on the page; it stands still while nobody looks. */
function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  timer ??= setInterval(() => {
    step += 1
    for (const heard of listeners) heard()
  }, stepMs)
  return () => {
    listeners.delete(listener)
    if (listeners.size > 0) return
    clearInterval(timer)
    timer = undefined
  }
}

/** The present, renewed every half minute. */
export function useNow(): Date {
  useSyncExternalStore(subscribe, () => step)
  return new Date()
}

/** Relative, with the exact time on hover. */
export function RelativeTime({ at }: { at: string }) {
  const date = new Date(at)
  return (
    <time dateTime={at} title={exactTime(date)} className="tabular-nums">
      {relativeTime(date, useNow())}
    </time>
  )
}

/** The time of day, with the exact time on hover. */
export function TimeOfDay({ at }: { at: string }) {
  const date = new Date(at)
  return (
    <time dateTime={at} title={exactTime(date)} className="tabular-nums">
      {timeOfDay(date)}
    </time>
  )
}
