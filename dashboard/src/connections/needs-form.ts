import type { ProviderView } from '@atom/contract/connections.ts'
import { opensWindow } from './flow-words.ts'

type Askable = Pick<ProviderView, 'flows' | 'particulars' | 'credentialFields'>

/** Whether something has to be entered before connecting, so that one click cannot be enough. */
export function needsForm(provider: Askable): boolean {
  const [first = 'authorization_code'] = provider.flows
  return !opensWindow(first) || askedOfPerson(provider).some(({ required }) => required)
}

/** What differs from account to account and only the person knows. */
export function askedOfPerson(provider: Pick<Askable, 'particulars'>): ProviderView['particulars'] {
  return provider.particulars.filter(({ saidBy }) => saidBy === 'person')
}
