import { createPrivateKey, type KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import { newId } from '#foundation/ids.ts'

/** Provider clocks differ from ours by so much at most. */
const clockDriftSeconds = 30

/**
 * A JWT that somebody states with their own key (RFC 7523 3): who, for whom, and for how long from now.
 * @throws TypeError where the key cannot be read or does not fit the algorithm
 */
export async function signedAssertion(assertion: {
  readonly algorithm: 'RS256' | 'ES256'
  /** PEM (PKCS #8, PKCS #1, SEC 1) or JWK. */
  readonly privateKey: string
  readonly keyId?: string | undefined
  readonly issuer: string
  readonly subject?: string | undefined
  readonly audience?: string | undefined
  readonly claims?: Readonly<Record<string, string>>
  readonly now: Date
  readonly lifetimeSeconds: number
}): Promise<string> {
  const now = Math.floor(assertion.now.getTime() / 1000)
  const token = new SignJWT({ ...assertion.claims })
    .setProtectedHeader({
      alg: assertion.algorithm,
      typ: 'JWT',
      ...(assertion.keyId !== undefined && { kid: assertion.keyId }),
    })
    .setIssuer(assertion.issuer)
    .setIssuedAt(now - clockDriftSeconds)
    .setExpirationTime(now - clockDriftSeconds + assertion.lifetimeSeconds)
    .setJti(newId())
  if (assertion.subject !== undefined) token.setSubject(assertion.subject)
  if (assertion.audience !== undefined) token.setAudience(assertion.audience)
  const key = privateKeyIn(assertion.privateKey)
  if (key.asymmetricKeyType !== keyTypes[assertion.algorithm]) {
    throw new TypeError(`no key for ${assertion.algorithm}`)
  }
  return await token.sign(key)
}

const keyTypes = { RS256: 'rsa', ES256: 'ec' } as const

/** @throws TypeError; what OpenSSL says of the text stays out of it */
function privateKeyIn(text: string): KeyObject {
  try {
    return text.trimStart().startsWith('{')
      ? createPrivateKey({ format: 'jwk', key: JSON.parse(text) })
      : createPrivateKey(text)
  } catch {
    throw new TypeError('no private key in PEM or JWK')
  }
}
