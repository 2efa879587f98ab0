import { SignJWT } from 'jose'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { App } from '../apps.ts'
import { readClientKey, signingKey } from './client-key.ts'

/** Provider clocks differ from ours by so much at most. */
const clockDriftSeconds = 30

/**
 * A JWT that somebody states with their own key (RFC 7523 3): who, for whom, and for how long from now.
 * @throws AtomError `validation_failed` where the key cannot be read or does not fit the algorithm
 */
export async function signedAssertion(assertion: {
  /** Undefined: whichever the key signs with. */
  readonly algorithm: 'RS256' | 'ES256' | undefined
  /** PEM or JWK, as `readClientKey` takes it. */
  readonly privateKey: string
  readonly keyId?: string | undefined
  readonly issuer: string
  readonly subject?: string | undefined
  readonly audience?: string | undefined
  readonly claims?: Readonly<Record<string, string>>
  readonly now: Date
  readonly lifetimeSeconds: number
}): Promise<string> {
  const { key, kid, alg } = await signingKey(readClientKey(assertion.privateKey))
  if (assertion.algorithm !== undefined && alg !== assertion.algorithm) {
    throw new AtomError('validation_failed', `The key is none for ${assertion.algorithm}.`)
  }
  const keyId = assertion.keyId ?? kid
  const now = Math.floor(assertion.now.getTime() / 1000)
  const token = new SignJWT({ ...assertion.claims })
    .setProtectedHeader({ alg, typ: 'JWT', ...(keyId !== undefined && { kid: keyId }) })
    .setIssuer(assertion.issuer)
    .setIssuedAt(now - clockDriftSeconds)
    .setExpirationTime(now - clockDriftSeconds + assertion.lifetimeSeconds)
    .setJti(newId())
  if (assertion.subject !== undefined) token.setSubject(assertion.subject)
  if (assertion.audience !== undefined) token.setAudience(assertion.audience)
  return await token.sign(key)
}

/**
 * The app in its own name, as GitHub wants it: at most ten minutes.
 * @throws AtomError `provider_not_configured` where no key was entered with the app
 */
export async function appAssertion({ provider, clientId, privateKey }: App, now: Date): Promise<string> {
  if (privateKey === undefined) {
    throw new AtomError('provider_not_configured', `The app of ${provider.name} has no private key here.`)
  }
  return await signedAssertion({
    algorithm: 'RS256',
    privateKey: privateKey.reveal(),
    issuer: clientId,
    now,
    lifetimeSeconds: 540,
  })
}
