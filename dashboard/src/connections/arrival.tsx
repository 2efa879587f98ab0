import { useLocation, useNavigate, useSearch } from '@tanstack/react-router'
import { useEffect, useRef, useState } from 'react'
import { atom, useObserved } from '../shell/atom.ts'
import { codeWords } from '../shell/problem.tsx'
import { Notice } from '../ui/notice.tsx'
import { useProvider } from './providers-context.ts'

/** What came of a consent that left this page: said once, calmly, and taken out of the address. */
export function Arrival() {
  const { connected, problem } = useSearch({ from: '/inside/connections' })
  const navigate = useNavigate()
  const connections = useObserved(atom.connections)
  const [arrived, setArrived] = useState<{ connected?: string; problem?: string }>({})
  useEffect(() => {
    if (connected === undefined && problem === undefined) return
    setArrived({
      ...(connected === undefined ? {} : { connected }),
      ...(problem === undefined ? {} : { problem }),
    })
    void navigate({ to: '.', search: ({ connected: _, problem: __, ...kept }) => kept, replace: true })
  }, [connected, problem, navigate])

  // Whoever has gone on has read it.
  const { pathname } = useLocation()
  const since = useRef(pathname)
  useEffect(() => {
    if (since.current !== pathname) setArrived({})
    since.current = pathname
  }, [pathname])

  const connection = connections.items.find((item) => item.id === arrived.connected)
  const provider = useProvider(connection?.provider)
  const dismiss = () => setArrived({})
  if (arrived.problem !== undefined) {
    const words = codeWords(arrived.problem)
    return (
      <Notice
        tone={arrived.problem === 'consent_denied' ? 'plain' : 'warn'}
        title={words?.title ?? 'The account was not connected'}
        onDismiss={dismiss}
      >
        {words?.next ?? 'Start again from this page.'}
      </Notice>
    )
  }
  if (connection === undefined) return null
  return (
    <Notice
      tone="good"
      title={`${provider?.name ?? connection.provider} is connected as ${connection.identity.name}`}
      onDismiss={dismiss}
    >
      Ask in a room for what you want done with it.
    </Notice>
  )
}
