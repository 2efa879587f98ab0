import { createHash, createPrivateKey, type JsonWebKey, type KeyObject, X509Certificate } from 'node:crypto'
import { importJWK, type JWK } from 'jose'
import type { PrivateKey } from 'oauth4webapi'
import { AtomError } from '#foundation/errors.ts'
import type { ClientCertificate } from '#foundation/outbound.ts'
import { Secret } from '#foundation/secret.ts'

/** What is kept of a JWK besides the key itself: which it is, and how it is to be used. */
const remarks = ['kid', 'alg', 'x5t', 'x5t#S256'] as const
const algorithms: Readonly<Record<string, readonly string[]>> = {
  RSA: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
  Ed25519: ['EdDSA', 'Ed25519'],
}

/**
 * An app's private key in the one form it is stored in, whichever it was entered in: a JWK with the algorithm that it signs
 * with, and with its certificate where one came with it.
 *
 * @param text PEM (PKCS #8, PKCS #1, SEC 1; unencrypted; certificates beside it) or a private JWK
 * @throws AtomError `validation_failed` for anything else; nothing of the text is in it
 */
export function readClientKey(text: string): Secret {
  const key = keyIn(text.trim())
  const { kty, crv = '' } = key.jwk
  const fitting = algorithms[kty === 'RSA' ? kty : crv]
  if (fitting === undefined)
    throw unusable('Its kind is none that signs: RSA, P-256, P-384, P-521 or Ed25519.')
  const bits = key.object.asymmetricKeyDetails?.modulusLength
  if (bits !== undefined && bits < 2048) throw unusable('An RSA key needs at least 2048 bits.')
  const alg = key.said['alg'] ?? fitting[0]
  if (alg === undefined || !fitting.includes(alg)) throw unusable('Its `alg` does not fit its kind.')
  const [own] = key.chain
  if (own !== undefined && !own.checkPrivateKey(key.object))
    throw unusable('The first certificate is none of this key.')
  const certified = own !== undefined && {
    x5c: key.chain.map(({ raw }) => raw.toString('base64')),
    'x5t#S256': createHash('sha256').update(own.raw).digest('base64url'),
  }
  return new Secret(JSON.stringify({ ...key.jwk, ...key.said, ...certified, alg }))
}

/** The key as a signature wants it, and what its head has to say of it. */
export async function signingKey(
  stored: Secret,
): Promise<PrivateKey & { readonly alg: string; readonly head: Readonly<Record<string, string>> }> {
  const jwk = JSON.parse(stored.reveal()) as JWK & { alg: string }
  const key = await importJWK(jwk, jwk.alg)
  if (!(key instanceof CryptoKey)) throw new Error('a stored private key is none')
  const head: Record<string, string> = {}
  for (const name of ['x5t', 'x5t#S256'] as const) {
    const value = jwk[name]
    if (value !== undefined) head[name] = value
  }
  return { key, ...(jwk.kid !== undefined && { kid: jwk.kid }), alg: jwk.alg, head }
}

/** What the app shows of itself in a handshake; undefined where its key came without a certificate. */
export function clientCertificate(stored: Secret): ClientCertificate | undefined {
  const chain = chainOf(stored)
  if (chain.length === 0) return undefined
  const key = createPrivateKey({ key: JSON.parse(stored.reveal()) as JsonWebKey, format: 'jwk' })
  return {
    chain: chain.map(String).join(''),
    privateKey: new Secret(String(key.export({ type: 'pkcs8', format: 'pem' }))),
  }
}

/** When the certificate of a key ends. */
export function certificateEnd(stored: Secret): Date | undefined {
  return chainOf(stored)[0]?.validToDate
}

function chainOf(stored: Secret): readonly X509Certificate[] {
  const { x5c = [] } = JSON.parse(stored.reveal()) as JWK
  return x5c.map((der) => new X509Certificate(Buffer.from(der, 'base64')))
}

function keyIn(text: string): {
  object: KeyObject
  jwk: JsonWebKey
  said: Readonly<Record<string, string>>
  chain: readonly X509Certificate[]
} {
  try {
    if (!text.startsWith('{')) {
      const object = createPrivateKey(text)
      const chain = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
      return {
        object,
        jwk: object.export({ format: 'jwk' }),
        said: {},
        chain: chain.map((pem) => new X509Certificate(pem)),
      }
    }
    const entered = JSON.parse(text) as Record<string, unknown>
    const object = createPrivateKey({ key: entered as JsonWebKey, format: 'jwk' })
    const said = remarks.flatMap((name) => {
      const value = entered[name]
      return typeof value === 'string' ? [[name, value] as const] : []
    })
    const chain = Array.isArray(entered['x5c']) ? entered['x5c'].map(String) : []
    return {
      object,
      jwk: object.export({ format: 'jwk' }),
      said: Object.fromEntries(said),
      chain: chain.map((der) => new X509Certificate(Buffer.from(der, 'base64'))),
    }
  } catch {
    // What Node says of it may quote the text.
    throw unusable('It is no unencrypted private key in PEM or JWK form, or a certificate with it is none.')
  }
}

function unusable(detail: string): AtomError {
  return new AtomError('validation_failed', undefined, { problems: [{ pointer: '/privateKey', detail }] })
}
