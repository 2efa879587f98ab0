import { Outlet } from '@tanstack/react-router'
import { useEffect } from 'react'
import { atom } from '../shell/atom.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { askProviders, ProvidersContext } from './providers-context.ts'

/** Everything under /connections: accounts, catalogue and their panels. */
export function ConnectionsRoom() {
  const providers = useAnswer(askProviders)
  useEffect(() => {
    document.title = 'Connections · Atom'
    // The failure is in the list's snapshot, which the page shows.
    void atom.connections.list().catch(() => undefined)
  }, [])
  return (
    <ProvidersContext value={providers}>
      <Outlet />
    </ProvidersContext>
  )
}
