import { AtomClientError } from '@atom/client'
import { type Connection, connectionRoutes } from '@atom/contract/connections.ts'
import { useEffect, useRef, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { codeWords } from '../shell/problem.tsx'
import { Button, buttonClass } from '../ui/button.tsx'
import { countdownText } from '../ui/clock-text.ts'
import { CopyButton } from '../ui/copy-button.tsx'
import { Notice } from '../ui/notice.tsx'
import { OutsideLink } from '../ui/outside-link.tsx'
import type { DeviceWait } from './device-wait.ts'

/** The code to enter elsewhere, how long it holds, and what has become of it. */
export function DeviceCode({
  wait,
  provider,
  onConnected,
  onOver,
  onAnother,
  anotherBusy,
}: {
  wait: DeviceWait
  provider: string
  onConnected: (connection: Connection) => void
  /** The person gives it up. */
  onOver: () => void
  onAnother: () => void
  anotherBusy: boolean
}) {
  const { device, endsAt } = wait
  const { problem, troubled } = useOutcome(wait, onConnected)
  const left = useSecondsUntil(endsAt)
  const ended = problem ?? (left === 0 ? 'flow_expired' : undefined)
  if (ended !== undefined) {
    const words = codeWords(ended)
    return (
      <Notice
        tone={ended === 'consent_denied' || ended === 'flow_expired' ? 'plain' : 'warn'}
        title={ended === 'flow_expired' ? 'The code has expired' : (words?.title ?? 'It was not connected')}
        actions={
          <Button busy={anotherBusy} onClick={onAnother}>
            Get a new code
          </Button>
        }
        onDismiss={onOver}
      >
        {ended === 'flow_expired' ? 'Nothing was connected.' : words?.next}
      </Notice>
    )
  }
  return (
    <div className="grid gap-4">
      <ol className="grid list-decimal gap-3 pl-5 marker:text-quiet">
        <li>
          Open{' '}
          <OutsideLink
            href={device.verificationUri}
            className="text-accent-text underline underline-offset-2"
          >
            {device.verificationUri.replace(/^https?:\/\//, '')}
          </OutsideLink>{' '}
          on any device.
        </li>
        <li>
          Enter this code:
          <span className="mt-1.5 flex items-center justify-between gap-2 rounded-card border border-line bg-panel py-3 pr-2 pl-4">
            <code className="font-mono text-xl font-semibold tracking-widest select-all">
              {device.userCode}
            </code>
            <CopyButton text={device.userCode} what="code" />
          </span>
        </li>
        <li>Allow the access there. This page follows by itself.</li>
      </ol>
      <p role="status" className="text-sm text-quiet">
        {troubled
          ? 'Atom’s server cannot be reached just now; the code still holds.'
          : `Waiting for you at ${provider}.`}
      </p>
      <div className="flex flex-wrap items-center gap-2">
        {device.verificationUriComplete !== undefined && (
          <OutsideLink
            href={device.verificationUriComplete}
            showHost={false}
            className={buttonClass('primary')}
          >
            Open {provider}
          </OutsideLink>
        )}
        <Button onClick={onOver}>Give up</Button>
        <span className="ml-auto text-sm text-quiet tabular-nums">
          <span className="sr-only">The code </span>ends in {countdownText(left)}
        </span>
      </div>
    </div>
  )
}

/** Asks the server, which asks the provider. An answer that does not come is asked for again. */
function useOutcome(
  { flowId, device }: DeviceWait,
  onConnected: (connection: Connection) => void,
): { problem: string | undefined; troubled: boolean } {
  const [problem, setProblem] = useState<string>()
  const [troubled, setTroubled] = useState(false)
  const tell = useRef(onConnected)
  tell.current = onConnected
  useEffect(() => {
    let wanted = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async (): Promise<void> => {
      try {
        const flow = await atom.call(connectionRoutes.connectionFlow, { params: { id: flowId } })
        if (!wanted) return
        setTroubled(false)
        if (flow.status === 'failed') return setProblem(flow.problem ?? 'provider_refused')
        if (flow.status === 'connected' && flow.connectionId !== undefined) {
          const connection = await atom.connections.get(flow.connectionId)
          if (wanted) tell.current(connection)
          return
        }
      } catch (thrown) {
        if (!wanted) return
        if (!(thrown instanceof AtomClientError && thrown.retryable))
          return setProblem(thrown instanceof AtomClientError ? thrown.code : 'internal')
        setTroubled(true)
      }
      timer = setTimeout(() => void look(), Math.max(device.interval, 1) * 1000)
    }
    void look()
    return () => {
      wanted = false
      clearTimeout(timer)
    }
  }, [flowId, device.interval])
  return { problem, troubled }
}

function useSecondsUntil(time: number): number {
  const [now, setNow] = useState(() => Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [])
  return Math.max(0, Math.ceil((time - now) / 1000))
}
