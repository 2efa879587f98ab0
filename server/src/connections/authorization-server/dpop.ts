import { createHash, type webcrypto } from 'node:crypto'
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose'
import * as oauth from 'oauth4webapi'
import type { Clock } from '#foundation/clock.ts'
import { fingerprint, randomToken } from '#foundation/ids.ts'
import { Secret } from '#foundation/secret.ts'
import type { KeyAttachment } from '#providers/provider-flows.ts'
import { attached } from '../credential-attachment.ts'

/** An access token, and the key that it is bound to where it is bound to one (RFC 9449). */
export interface Presented {
  readonly value: Secret
  readonly dpopKey?: Secret | undefined
  /** Where it is no token but a key that is sent in the provider's own way. */
  readonly attachment?: KeyAttachment | undefined
}

/** As much of an answer as tells of a nonce. */
interface HeardAnswer {
  readonly status: number
  field(name: string): string | null
}

/** A key for the tokens of one connection: a private JWK, P-256, which every server that speaks DPoP accepts. */
export async function newDpopKey(): Promise<Secret> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  return new Secret(JSON.stringify({ ...(await exportJWK(privateKey)), alg: 'ES256' }))
}

interface OpenKey {
  readonly privateKey: webcrypto.CryptoKey
  readonly publicJwk: JWK
  readonly handle: oauth.DPoPHandle
}

const mostKeys = 1_000

/**
 * Proofs of possession (RFC 9449). Nonces are remembered per key and server, so that a request is seldom sent twice; losing
 * them costs one round trip.
 */
export class DpopProofs {
  readonly #clock: Clock
  readonly #keys = new Map<string, Promise<OpenKey>>()
  readonly #nonces = new Map<string, string>()

  constructor(dependencies: { clock: Clock }) {
    this.#clock = dependencies.clock
  }

  /** For requests to the authorization server, which oauth4webapi signs. */
  async handle(key: Secret): Promise<oauth.DPoPHandle> {
    return (await this.#opened(key)).handle
  }

  /** RFC 7638, as `dpop_jkt` wants it. */
  async thumbprint(key: Secret): Promise<string> {
    return await (await this.handle(key)).calculateThumbprint()
  }

  /**
   * The header fields that present an access token to an API: `authorization`, and for a bound one the proof for this very
   * request (RFC 9449 4.2, 7.1).
   * @param url the API's own address, whatever is dialled for it
   */
  async presented(token: Presented, method: string, url: URL): Promise<Record<string, string>> {
    const { value, dpopKey, attachment } = token
    if (attachment !== undefined) return attached(attachment, value)
    if (dpopKey === undefined) return { authorization: `Bearer ${value.reveal()}` }
    const { privateKey, publicJwk } = await this.#opened(dpopKey)
    const nonce = this.#nonces.get(nonceKey(dpopKey, url))
    const proof = await new SignJWT({
      jti: randomToken(),
      htm: method,
      htu: `${url.origin}${url.pathname}`,
      ath: createHash('sha256').update(value.reveal()).digest('base64url'),
      ...(nonce !== undefined && { nonce }),
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: publicJwk })
      .setIssuedAt(this.#clock.now())
      .sign(privateKey)
    return { authorization: `DPoP ${value.reveal()}`, dpop: proof }
  }

  /** Remembers the nonce of an answer. True where the request has to be sent again with it (RFC 9449 9). */
  heard({ dpopKey }: Presented, url: URL, answer: Response | HeardAnswer): boolean {
    if (dpopKey === undefined) return false
    const field = (name: string) => ('field' in answer ? answer.field(name) : answer.headers.get(name))
    const nonce = field('dpop-nonce')
    if (nonce === null || !/^[\x21\x23-\x5b\x5d-\x7e]{1,512}$/.test(nonce)) return false
    const key = nonceKey(dpopKey, url)
    const known = this.#nonces.get(key)
    this.#nonces.delete(key)
    const [oldest] = this.#nonces.keys()
    if (this.#nonces.size >= mostKeys && oldest !== undefined) this.#nonces.delete(oldest)
    this.#nonces.set(key, nonce)
    const challenge = field('www-authenticate') ?? ''
    return answer.status === 401 && /\buse_dpop_nonce\b/.test(challenge) && nonce !== known
  }

  #opened(key: Secret): Promise<OpenKey> {
    const name = fingerprint(key.reveal())
    const known = this.#keys.get(name)
    if (known !== undefined) return known
    const [oldest] = this.#keys.keys()
    if (this.#keys.size >= mostKeys && oldest !== undefined) this.#keys.delete(oldest)
    const opened = this.#import(key)
    this.#keys.set(name, opened)
    opened.catch(() => this.#keys.delete(name))
    return opened
  }

  async #import(key: Secret): Promise<OpenKey> {
    const jwk = JSON.parse(key.reveal()) as JWK
    const { d: _private, alg: _alg, ...publicJwk } = jwk
    const privateKey = await importJWK(jwk, 'ES256')
    const publicKey = await importJWK(publicJwk, 'ES256', { extractable: true })
    if (!(privateKey instanceof CryptoKey && publicKey instanceof CryptoKey))
      throw new Error('a stored DPoP key is none')
    const skew = Math.round((this.#clock.now().getTime() - Date.now()) / 1000)
    const handle = oauth.DPoP({ [oauth.clockSkew]: skew }, { privateKey, publicKey })
    return { privateKey, publicJwk, handle }
  }
}

function nonceKey(key: Secret, url: URL): string {
  return `${fingerprint(key.reveal())} ${url.origin}`
}
