import type { FlowName } from '@atom/contract/connections.ts'
import { AtomError } from '#foundation/errors.ts'
import {
  type Particulars,
  type Provider,
  standardParticulars,
  unfitParticulars,
} from '#providers/provider.ts'
import { whyUnfit, withAlways } from '../app-entry.ts'
import type { App } from '../apps.ts'
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

/**
 * What the person says of particulars, for a provider that asks for them.
 * @throws AtomError `validation_failed` where one cannot be said, or not so
 */
function askedParticulars(provider: Provider, values: Particulars): Particulars {
  const unfit = new Set(unfitParticulars(provider, values))
  for (const name of Object.keys(values)) {
    if (unfit.has(name) || provider.particulars?.[name]?.askable !== true) {
      throw new AtomError('validation_failed', undefined, {
        problems: [{ pointer: `/particulars/${name}`, detail: whyUnfit(provider, name, values) }],
      })
    }
  }
  const missing = Object.entries(provider.particulars ?? {}).find(
    ([name, { askable, optional, standard }]) =>
      askable === true && optional !== true && standard === undefined && values[name] === undefined,
  )
  if (missing !== undefined) {
    const [name, { meaning }] = missing
    throw new AtomError('validation_failed', undefined, {
      problems: [{ pointer: `/particulars/${name}`, detail: meaning }],
    })
  }
  return { ...askedStandards(provider), ...values }
}

/** Standards of what the operator says come with the app and not with the person. */
function askedStandards(provider: Provider): Particulars {
  return Object.fromEntries(
    Object.entries(standardParticulars(provider)).filter(
      ([name]) => provider.particulars?.[name]?.configurable !== true,
    ),
  )
}
