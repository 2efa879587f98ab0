import type { FlowName, ProviderView } from '@atom/contract/connections.ts'
import { opensWindow } from './flow-words.ts'

type Offer = Pick<ProviderView, 'app' | 'flows' | 'operatorFlows' | 'particulars' | 'credentialFields'>

/** The ways to connect that this person has now; the first of them is the usual one. */
export function waysOf(provider: Offer, operator: boolean): readonly FlowName[] {
  return provider.flows.filter(
    (flow) =>
      (operator || !provider.operatorFlows.includes(flow)) &&
      (provider.app !== 'none' || needsNoApp(provider, flow)),
  )
}

/** Whether something has to be entered before connecting, so that one click cannot be enough. */
export function needsForm(provider: Offer): boolean {
  const [first = 'authorization_code'] = provider.flows
  return !opensWindow(first) || askedOfPerson(provider).some(({ required }) => required)
}

/** What differs from account to account and only the person knows. */
export function askedOfPerson(provider: Pick<Offer, 'particulars'>): ProviderView['particulars'] {
  return provider.particulars.filter(({ saidBy }) => saidBy === 'person')
}

/** The person brings all that proves something: a key, or a key file to sign with. */
function needsNoApp({ credentialFields }: Offer, flow: FlowName): boolean {
  if (flow === 'api_key') return true
  const fields = credentialFields.find((entry) => entry.flow === flow)?.fields ?? []
  return flow === 'jwt_bearer' && fields.some(({ secret, required }) => secret && required)
}
