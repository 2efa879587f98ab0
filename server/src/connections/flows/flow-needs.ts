import type { FlowName } from '@atom/contract/connections.ts'
import { isOperator } from '#access/authenticate.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Particulars, Provider } from '#providers/provider.ts'
import { needsOf } from '#providers/provider-flows.ts'

/**
 * Whether the app acts in its own name there, whatever else is given: for everybody who allowed it something. That is for
 * those who entered it. An installation that is somebody's own consent is theirs.
 */
export function isOperators({ flows }: Provider, flow: FlowName): boolean {
  return (
    flow === 'client_credentials' ||
    (flow === 'app_installation' && flows?.app_installation?.by !== 'consent')
  )
}

/** @throws AtomError `forbidden` */
export function requireOperator(principal: AccountPrincipal): void {
  if (isOperator(principal)) return
  throw new AtomError('forbidden', 'Only an owner or admin connects in the name of the app itself.')
}

/**
 * That a server that says what it takes takes this: nothing is told to it otherwise.
 * @throws AtomError `provider_refused`
 */
export function requireOffered({ name, metadata }: Provider, grantType: string): void {
  const offered = metadata?.grant_types_supported
  if (offered === undefined || offered.includes(grantType)) return
  throw new AtomError('provider_refused', `${name}: the server does not offer this way to connect.`)
}

/**
 * That everything is said without which this flow cannot work.
 * @throws AtomError `validation_failed` | `provider_not_configured`
 */
export function requireParticulars(provider: Provider, flow: FlowName, said: Particulars): void {
  for (const [name, pattern] of Object.entries(needsOf(provider.flows, flow))) {
    if (pattern.test(said[name] ?? '')) continue
    const { meaning = '', configurable, askable } = provider.particulars?.[name] ?? {}
    if (configurable === true && askable !== true) {
      throw new AtomError(
        'provider_not_configured',
        `To be entered with the app of ${provider.name}: ${meaning}`,
      )
    }
    const value = said[name]
    throw new AtomError('validation_failed', undefined, {
      problems: [
        {
          pointer: `/particulars/${name}`,
          detail:
            value === undefined
              ? 'Is missing.'
              : `Has to name your own organisation here; “${value}” does not.`,
        },
      ],
    })
  }
}
