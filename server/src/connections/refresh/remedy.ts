import type { Remedy } from '@atom/contract/connections.ts'
import { type Provider, type Verdict, verdictOf } from '#providers/provider.ts'
import type { Standing } from '../connection-store.ts'

/** Why a connection is not what it should be, in plain words, and what mends it. */
export interface Trouble {
  readonly reason: string
  readonly remedy: Remedy
}

/** How a connection stands after consent that left these scopes out. */
export function standingWithout(provider: Provider, missing: readonly string[]): Standing {
  if (missing.length === 0) return { status: 'active', reason: null, remedy: null }
  return {
    status: 'degraded',
    reason: `${provider.name} was not allowed: ${missing.join(', ')}.`,
    remedy: remedy(provider, 'person', 'allow_more'),
  }
}

/** The access is over and nobody can say more: its person connects it again. */
export function lost(provider: Provider, reason: string): Trouble {
  return { reason, remedy: remedy(provider, 'person', 'reconnect') }
}

/**
 * What a refusal at the token endpoint means for whoever has to act. A provider file knows its own codes best (`troubles`);
 * the rest follows from the verdict.
 *
 * @param unsure an earlier request was cut off before its answer arrived, so the provider may have replaced the token
 */
export function troubleOf(provider: Provider, error: string, unsure: boolean): Trouble {
  const { name } = provider
  const known = provider.troubles?.[error]
  if (known !== undefined) {
    return { reason: known.reason, remedy: remedy(provider, known.whose, known.action) }
  }
  const verdict = verdictOf(provider, error)
  if (verdict === 'reconsent') {
    const reason = `${name} wants you to allow the access anew.`
    return { reason, remedy: remedy(provider, 'person', 'allow_more') }
  }
  if (verdict === 'operator') {
    const reason = `${name} does not accept Atom’s app (${error}). Its client id and secret have to be checked.`
    return { reason, remedy: remedy(provider, 'operator', 'configure_app') }
  }
  return lost(
    provider,
    unsure
      ? `${name} does not accept the stored access. An earlier renewal was cut off before its answer arrived, so ${name} may have replaced it.`
      : `${name} has ended the access: it was revoked, or not used for too long.`,
  )
}

/** The access cannot be renewed while the provider is not well; nobody has to do anything. */
export function awaited(provider: Provider): Trouble {
  const { name } = provider
  return {
    reason: `${name} does not renew the access at the moment: it is out of reach, busy, or not well. Nothing is lost; Atom asks again by itself.`,
    remedy: remedy(provider, 'person', 'wait'),
  }
}

/** Whether a refusal with this verdict is about the grant, so that asking again is of no use. */
export function endsGrant(verdict: Verdict): boolean {
  return verdict === 'reconnect' || verdict === 'reconsent'
}

/** With the words for the one button. */
function remedy({ name }: Provider, whose: Remedy['whose'], action: Remedy['action']): Remedy {
  const labels: Record<Remedy['action'], string> = {
    reconnect: `Reconnect ${name}`,
    allow_more: `Allow the access at ${name}`,
    ask_admin: `Ask your ${name} admin`,
    configure_app: `Set up the ${name} app`,
    wait: `Try ${name} again`,
  }
  return { whose, action, label: labels[action] }
}
