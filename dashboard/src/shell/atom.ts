import { AtomClient, type Observable } from '@atom/client'
import type { Me } from '@atom/contract/accounts.ts'
import { useSyncExternalStore } from 'react'

/** The one client of this page. */
export const atom = new AtomClient()

export function useObserved<T>(source: Observable<T>): T {
  return useSyncExternalStore(source.subscribe, source.getSnapshot)
}

/** Who is signed in. Only for what stands inside the frame, which is shown to nobody else. */
export function useMe(): Me {
  const { me } = useObserved(atom.session)
  if (me === undefined) throw new Error('nobody is signed in')
  return me
}

/** May enter apps, open the sandbox, invite people. */
export function isOperator(me: Me): boolean {
  return me.role === 'owner' || me.role === 'admin'
}
