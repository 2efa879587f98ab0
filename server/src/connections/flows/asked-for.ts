import type { FlowName } from '@atom/contract/connections.ts'
import type { Particulars, Provider } from '#providers/provider.ts'
import { type App, askedParticulars, withAlways } from '../apps.ts'
import type { ConnectionRow } from '../connection-store.ts'

/** What somebody wants to have asked for. */
interface Wish {
  readonly scopes?: readonly string[] | undefined
  readonly particulars?: Particulars | undefined
}

/**
 * What the person says before consent; of a connection that consent is given for anew, also what they said of it then.
 * @throws AtomError `validation_failed`
 */
export function particularsToAsk(
  provider: Provider,
  wish: Wish,
  target: ConnectionRow | undefined,
): Particulars {
  // What only the provider says, it says again.
  const saidThen = Object.entries(target?.particulars ?? {}).filter(
    ([name]) => provider.particulars?.[name]?.askable === true,
  )
  return askedParticulars(provider, { ...Object.fromEntries(saidThen), ...wish.particulars })
}

/**
 * Asked anew, a connection is asked for what it was asked for before, and for what is wished besides.
 * @throws AtomError `validation_failed`
 */
export function scopesToAsk(app: App, wish: Wish, target: ConnectionRow | undefined): readonly string[] {
  // The scopes of an app in its own name, or of a key, are none that a person could allow.
  const before =
    target !== undefined && (target.flow === app.flow || (asksPerson(target.flow) && asksPerson(app.flow)))
      ? target.askedScopes
      : undefined
  if (before !== undefined) return withAlways(app.provider, [...before, ...(wish.scopes ?? [])])
  return wish.scopes === undefined ? app.scopes : withAlways(app.provider, wish.scopes)
}

function asksPerson(flow: FlowName): boolean {
  return flow === 'authorization_code' || flow === 'device_code'
}
