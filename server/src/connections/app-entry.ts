import { AtomError } from '#foundation/errors.ts'
import type { Secret } from '#foundation/secret.ts'
import { addressTrouble, httpsAddress } from '#providers/https-address.ts'
import { type Particulars, type Provider, unfitParticulars } from '#providers/provider.ts'
import { clientCertificate } from './authorization-server/client-key.ts'

/** What an operator enters. */
export interface AppEntry {
  readonly clientId: string
  readonly clientSecret?: Secret | undefined
  /** As `readClientKey` gives it. */
  readonly privateKey?: Secret | undefined
  readonly settings?: Particulars | undefined
  readonly scopes?: readonly string[] | undefined
  readonly clientSecretExpiresAt?: string | undefined
  readonly testing?: boolean | undefined
}

/**
 * What the operator says of the server, complete and well formed.
 * @throws AtomError `validation_failed`
 */
export function requireSettings(provider: Provider, values: Particulars): Particulars {
  const declared = provider.particulars ?? {}
  const unfit = new Set(unfitParticulars(provider, values))
  const wrong = Object.keys(values).filter((name) => unfit.has(name) || declared[name]?.configurable !== true)
  const missing = Object.entries(declared)
    .filter(([name, { configurable, optional, standard }]) => {
      const needed = configurable === true && optional !== true && standard === undefined
      return needed && values[name] === undefined
    })
    .map(([name]) => name)
  const problems = [
    ...wrong.map((name) => ({ pointer: `/settings/${name}`, detail: whyUnfit(provider, name, values) })),
    ...missing.map((name) => ({ pointer: `/settings/${name}`, detail: 'Is missing.' })),
  ]
  if (problems.length > 0) throw new AtomError('validation_failed', undefined, { problems })
  return values
}

/** What is wrong with a value, for the person who typed it. */
export function whyUnfit(provider: Provider, name: string, values: Particulars): string {
  const declared = provider.particulars?.[name]
  if (declared === undefined) return `${provider.name} does not ask for it.`
  const trouble = declared.pattern === httpsAddress ? addressTrouble(values[name] ?? '') : undefined
  return trouble ?? 'Is not of the form that is asked for.'
}

/**
 * That an app can prove itself in the way its server wants.
 * @throws AtomError `validation_failed`
 */
export function requireProof(
  provider: Provider,
  { clientSecret, privateKey }: Pick<AppEntry, 'clientSecret' | 'privateKey'>,
): void {
  const { clientAuthentication, appKey } = provider
  const missing = (pointer: string, detail: string) =>
    new AtomError('validation_failed', undefined, { problems: [{ pointer, detail }] })
  if (privateKey !== undefined && appKey === undefined)
    throw missing('/privateKey', `${provider.name} takes none.`)
  if (privateKey === undefined && (clientAuthentication === 'private_key_jwt' || appKey?.required === true))
    throw missing('/privateKey', appKey?.meaning ?? 'The app proves itself by it.')
  if (
    clientAuthentication.endsWith('tls_client_auth') &&
    (privateKey === undefined || clientCertificate(privateKey) === undefined)
  )
    throw missing('/privateKey', 'The app proves itself by its certificate: enter it below the key, in PEM.')
  if (clientAuthentication.startsWith('client_secret') && (clientSecret ?? privateKey) === undefined)
    throw missing('/clientSecret', 'The app proves itself by it.')
}

/**
 * The scopes with those that recognise the person in front, each once.
 * @throws AtomError `validation_failed` where one is no scope-token (RFC 6749 3.3)
 */
export function withAlways(provider: Provider, scopes: readonly string[]): string[] {
  for (const [at, scope] of scopes.entries()) {
    if (!/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope) || scope.includes(provider.scopes.separator)) {
      throw new AtomError('validation_failed', undefined, {
        problems: [{ pointer: `/scopes/${at}`, detail: 'Must be one scope, as the provider writes it.' }],
      })
    }
  }
  return [...new Set([...provider.scopes.always, ...scopes])]
}
