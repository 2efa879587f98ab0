import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import type { SandboxClock } from './sandbox-clock.ts'
import type { SandboxStore } from './sandbox-store.ts'

/** Providers that know somebody by a key instead of consent. */
export type KeyedProvider = 'google' | 'salesforce' | 'github'

type Claims = Readonly<Record<string, unknown>>

/** What is wrong with an assertion; each provider says it in its own words. */
export type AssertionProblem = 'malformed' | 'signature' | 'issuer' | 'audience' | 'time'

/** Google's service account: the only one, allowed by its domain to act for everybody in it. */
export const serviceAccountEmail = 'atom@atom-labs.iam.gserviceaccount.com'
const everybody = '*'
const keyId = '5a1d0c3e9b7f4a2688e1c4d0b9a7f3e2d1c0b9a8'

/**
 * The keys that stand for consent (RFC 7523), made when first asked for and kept. The machine's clock decides about an
 * assertion, since whoever signs it knows no other.
 */
export class ServiceKeys {
  readonly #store: SandboxStore
  readonly #clock: SandboxClock

  constructor(dependencies: { store: SandboxStore; clock: SandboxClock }) {
    this.#store = dependencies.store
    this.#clock = dependencies.clock
  }

  /**
   * As the provider hands it out: Google's key file in JSON, for Salesforce the PEM of the uploaded certificate's key, for
   * GitHub the PEM of the GitHub App's key.
   */
  given(provider: KeyedProvider): string {
    const pem = this.#pem(provider)
    if (provider === 'salesforce') return pem
    if (provider === 'github') {
      return createPrivateKey(pem).export({ type: 'pkcs1', format: 'pem' }).toString()
    }
    return JSON.stringify({
      type: 'service_account',
      project_id: 'atom-labs',
      private_key_id: keyId,
      private_key: pem,
      client_email: serviceAccountEmail,
      client_id: '118000000000000000001',
      auth_uri: 'https://accounts.google.com/o/oauth2/auth',
      token_uri: 'https://oauth2.googleapis.com/token',
    })
  }

  /** Whoever allowed the key to act for this person, or for everybody, takes that back, until the sandbox is reset. */
  withdraw(provider: KeyedProvider, personKey: string | undefined): void {
    const kept = this.#withdrawn(provider)
    this.#store.keepSetting(
      `${provider}.withdrawn`,
      JSON.stringify([...new Set([...kept, personKey ?? everybody])]),
    )
  }

  restore(): void {
    for (const provider of ['google', 'salesforce']) this.#store.keepSetting(`${provider}.withdrawn`, '[]')
  }

  mayActFor(provider: KeyedProvider, personKey: string): boolean {
    const withdrawn = this.#withdrawn(provider)
    return !withdrawn.includes(everybody) && !withdrawn.includes(personKey)
  }

  #withdrawn(provider: KeyedProvider): string[] {
    const kept: unknown = JSON.parse(this.#store.setting(`${provider}.withdrawn`) ?? '[]')
    return Array.isArray(kept) ? kept.map(String) : []
  }

  /** @param longestSeconds the longest life that the provider accepts */
  read(
    provider: KeyedProvider,
    assertion: string,
    expected: { issuer: string; audiences: readonly string[]; longestSeconds: number },
  ): { readonly claims: Claims } | { readonly problem: AssertionProblem } {
    const read = this.signed(provider, assertion)
    if ('problem' in read) return read
    const { claims } = read
    if (claims['iss'] !== expected.issuer) return { problem: 'issuer' }
    if (!expected.audiences.includes(String(claims['aud']))) return { problem: 'audience' }
    return this.#timely(claims, expected.longestSeconds) ? { claims } : { problem: 'time' }
  }

  /** What a JWT says that this key has signed. What it is worth, the provider judges. */
  signed(
    provider: KeyedProvider,
    assertion: string,
  ): { readonly claims: Claims } | { readonly problem: 'malformed' | 'signature' } {
    const [head = '', body = '', signature = '', ...more] = assertion.split('.')
    const [header, claims] = [part(head), part(body)]
    if (more.length > 0 || header === undefined || claims === undefined) return { problem: 'malformed' }
    const key = createPublicKey(createPrivateKey(this.#pem(provider)))
    const signed = Buffer.from(`${head}.${body}`)
    // Nothing but RS256, whatever the head wishes for.
    if (header['alg'] !== 'RS256') return { problem: 'signature' }
    return verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64url'))
      ? { claims }
      : { problem: 'signature' }
  }

  #timely({ exp, iat }: Claims, longestSeconds: number): boolean {
    const now = (this.#clock.now().getTime() - this.#clock.offsetSeconds * 1000) / 1000
    if (typeof exp !== 'number' || exp <= now || exp > now + longestSeconds) return false
    return iat === undefined || (typeof iat === 'number' && iat <= now + 60)
  }

  #pem(provider: KeyedProvider): string {
    return this.#store.settingOr(`${provider}.serviceKey`, () =>
      generateKeyPairSync('rsa', { modulusLength: 2048 })
        .privateKey.export({ type: 'pkcs8', format: 'pem' })
        .toString(),
    )
  }
}

function part(text: string): Claims | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    // No JWT: the caller says so in its provider's words.
    return undefined
  }
}
