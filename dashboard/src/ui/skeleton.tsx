import { type ReactNode, useEffect, useState } from 'react'
import { classNames } from './class-names.ts'

const patienceMs = 10_000

/** One grey bar in the shape of what comes. */
export function Bar({ className }: { className?: string }) {
  return <div className={classNames('animate-pulse rounded-control bg-hover', className)} />
}

/**
 * The shape of what comes. After ten seconds it says what it waits for.
 * @param of what is loading, as in "Loading the rooms"
 * @param waitingFor what it waits for, as in "the server’s answer"
 */
export function Loading({
  of,
  waitingFor = 'the server’s answer',
  children,
}: {
  of: string
  waitingFor?: string
  children: ReactNode
}) {
  const [slow, setSlow] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), patienceMs)
    return () => clearTimeout(timer)
  }, [])
  return (
    <div aria-busy="true">
      <p role="status" className={slow ? 'mb-3 text-sm text-quiet' : 'sr-only'}>
        {slow ? `Still waiting for ${waitingFor}.` : `Loading ${of}`}
      </p>
      <div aria-hidden>{children}</div>
    </div>
  )
}
