import type { ProviderView } from '@atom/contract/connections.ts'
import { createContext, use } from 'react'
import { atom } from '../shell/atom.ts'
import type { AnswerState } from '../shell/use-answer.ts'

/** The catalogue, asked for once for all that stands on the page. */
export type ProvidersAnswer = AnswerState<readonly ProviderView[]> & { readonly reload: () => void }

export const askProviders = () => atom.connections.providers()

export const ProvidersContext = createContext<ProvidersAnswer>({
  state: 'loading',
  reload: () => undefined,
})

export function useProviders(): ProvidersAnswer {
  return use(ProvidersContext)
}

/** undefined while the catalogue is not there, and for a provider that it does not hold. */
export function useProvider(id: string | undefined): ProviderView | undefined {
  const providers = use(ProvidersContext)
  return providers.state === 'ready' ? providers.value.find((provider) => provider.id === id) : undefined
}
