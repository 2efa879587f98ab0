import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify as verifySignature,
} from 'node:crypto'
import { Role } from '@atom/contract/accounts.ts'
import type { operationRoutes } from '@atom/contract/operations.ts'
import { type Answer, Id } from '@atom/contract/route.ts'
import { calculateJwkThumbprint, SignJWT } from 'jose'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { Clock } from '#foundation/clock.ts'
import type { Envelope } from '#foundation/crypto/envelope.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import { Recent } from '#foundation/recent.ts'
import { StartError } from '#foundation/start-error.ts'
import { CacheCounts } from '#foundation/telemetry/cache-counts.ts'
import { parseStrictJson } from '#http/strict-json.ts'
import type { AccountPrincipal } from './principal.ts'
import type { Revocations } from './revocations.ts'
import { type SigningKeyRow, type SigningKeyStore, signingKeyBinding } from './signing-key-store.ts'

/** How long an access token is good for. A session that ends takes its tokens with it at once (`Revocations`). */
export const accessTokenLifetimeMs = 10 * 60_000

/** What clocks of two processes may differ by. */
export const clockToleranceMs = 5_000

const tokenType = 'at+jwt'
const longestToken = 4_096
/** Verified tokens kept at most, so that the signature of one is checked once and not with each request. */
const cacheSize = 10_000
/** A key id that is not known is looked up in the database at most this often. */
const reloadEveryMs = 5_000

/** RFC 9068 2.2, with the session and what a principal needs so that no request has to ask the database. */
const Claims = Type.Object(
  {
    iss: Type.String(),
    aud: Type.String(),
    sub: Id,
    client_id: Type.String(),
    iat: Type.Integer({ minimum: 0 }),
    exp: Type.Integer({ minimum: 0 }),
    jti: Id,
    sid: Id,
    workspace: Id,
    role: Role,
    name: Type.String(),
  },
  { additionalProperties: false },
)
type Claims = Static<typeof Claims>
const claims = Compile(Claims)

export interface VerifiedToken {
  readonly principal: AccountPrincipal
  readonly expiresAt: Date
}

export interface MintedToken {
  readonly accessToken: string
  /** Seconds. */
  readonly expiresIn: number
}

/** RFC 7517 5: public keys only. */
export type KeySet = Answer<typeof operationRoutes.keySet>

export interface AccessTokensDependencies {
  readonly store: SigningKeyStore
  readonly envelope: Envelope
  readonly revocations: Pick<Revocations, 'has'>
  readonly clock: Clock
  /** The origin people use; issuer and audience of every token. Asked each time, because the port may be chosen late. */
  readonly issuer: () => string
}

interface Signer {
  readonly kid: string
  /** As it stands in every token of this key. */
  readonly header: string
  readonly privateKey: KeyObject
}

/**
 * Access tokens: JWTs signed with Ed25519 by this installation and by nobody else. Verification accepts exactly what `mint`
 * writes: the encoded header must be, byte for byte, that of a known key, so algorithm, type and every header trick are
 * settled before anything is parsed; encodings must be canonical; claims are a closed shape.
 */
export class AccessTokens {
  readonly #store: SigningKeyStore
  readonly #revocations: Pick<Revocations, 'has'>
  readonly #clock: Clock
  readonly #issuer: () => string
  readonly #signer: Signer
  /** By encoded header. */
  #verifiers: ReadonlyMap<string, KeyObject> = new Map()
  #keySet: KeySet = { keys: [] }
  #reloadedAt = 0
  /** By SHA-256 of the token: a heap dump then holds no live token as a key. */
  readonly #verified = new Recent<VerifiedToken>(cacheSize)
  /** Of tokens whose signature was checked once. */
  readonly cache = new CacheCounts(() => this.#verified.size)

  private constructor(dependencies: AccessTokensDependencies, signer: Signer) {
    this.#store = dependencies.store
    this.#revocations = dependencies.revocations
    this.#clock = dependencies.clock
    this.#issuer = dependencies.issuer
    this.#signer = signer
  }

  /**
   * Loads the signing key, or makes the first one.
   *
   * @throws StartError where the key in the database was sealed by a master key that this server does not have
   */
  static async open(dependencies: AccessTokensDependencies): Promise<AccessTokens> {
    const { store, envelope, clock } = dependencies
    const row = (await store.current()) ?? (await store.establish(await newSigningKey(envelope, clock)))
    const tokens = new AccessTokens(dependencies, {
      kid: row.kid,
      header: encodedHeader(row.kid),
      privateKey: await unsealed(envelope, row),
    })
    await tokens.#reload()
    return tokens
  }

  /** What `/.well-known/jwks.json` publishes. */
  get keySet(): KeySet {
    return this.#keySet
  }

  async mint(principal: AccountPrincipal): Promise<MintedToken> {
    const issuedAt = Math.floor(this.#clock.now().getTime() / 1000)
    const expiresIn = accessTokenLifetimeMs / 1000
    const payload: Claims = {
      iss: this.#issuer(),
      aud: this.#issuer(),
      sub: principal.id,
      client_id: 'atom',
      iat: issuedAt,
      exp: issuedAt + expiresIn,
      jti: newId(),
      sid: principal.sessionId,
      workspace: principal.workspaceId,
      role: principal.role,
      name: principal.name,
    }
    const accessToken = await new SignJWT({ ...payload })
      .setProtectedHeader(headerOf(this.#signer.kid))
      .sign(this.#signer.privateKey)
    return { accessToken, expiresIn }
  }

  /**
   * What a token says that was verified before and still holds; undefined for every other, of which `verify` says more. Most
   * requests come with one that is known, and then nobody waits for a promise.
   */
  known(token: string): VerifiedToken | undefined {
    if (token.length > longestToken) return undefined
    const verified = this.#verified.get(hash('sha256', token, 'base64url'))
    if (verified === undefined || verified.expiresAt.getTime() <= this.#clock.now().getTime())
      return undefined
    if (this.#revocations.has(verified.principal.sessionId)) return undefined
    this.cache.hits++
    return verified
  }

  /** @throws AtomError `unauthenticated` | `token_expired` | `session_revoked` */
  async verify(token: string): Promise<VerifiedToken> {
    if (token.length > longestToken) throw new AtomError('unauthenticated')
    const key = hash('sha256', token, 'base64url')
    const known = this.#verified.get(key)
    if (known === undefined) this.cache.misses++
    else this.cache.hits++
    const verified = known ?? (await this.#judge(token))
    if (verified.expiresAt.getTime() <= this.#clock.now().getTime()) {
      this.#verified.delete(key)
      throw new AtomError('token_expired')
    }
    if (this.#revocations.has(verified.principal.sessionId)) throw new AtomError('session_revoked')
    if (known === undefined) this.#verified.set(key, verified)
    return verified
  }

  /** What a token said when it was verified, if it was: for a guess that opens nothing. */
  peek(token: string): AccountPrincipal | undefined {
    return token.length > longestToken
      ? undefined
      : this.#verified.get(hash('sha256', token, 'base64url'))?.principal
  }

  async #judge(token: string): Promise<VerifiedToken> {
    const [header = '', payload = '', signature = '', ...rest] = token.split('.')
    if (rest.length > 0) throw new AtomError('unauthenticated')
    const publicKey = this.#verifiers.get(header) ?? (await this.#lookUp(header))
    const payloadBytes = canonical(payload)
    const signatureBytes = canonical(signature)
    if (publicKey === undefined || payloadBytes === undefined || signatureBytes?.length !== 64)
      throw new AtomError('unauthenticated')
    if (!this.#signed(header, Buffer.from(`${header}.${payload}`), signatureBytes, publicKey))
      throw new AtomError('unauthenticated')
    return this.#read(payloadBytes)
  }

  /**
   * Key and text determine an Ed25519 signature (RFC 8032 5.1.6). So who has the private key, as every process here has, makes
   * the one that is right and compares, as with a MAC: measured at a third of what checking it with the public key takes.
   */
  #signed(header: string, text: Buffer, signature: Buffer, publicKey: KeyObject): boolean {
    return header === this.#signer.header
      ? timingSafeEqual(sign(null, text, this.#signer.privateKey), signature)
      : verifySignature(null, text, publicKey, signature)
  }

  #read(payload: Buffer): VerifiedToken {
    const content = readClaims(payload)
    const now = this.#clock.now().getTime()
    if (content === undefined) throw new AtomError('unauthenticated')
    // Whoever reads this holds what this installation signed: nothing is told to strangers.
    if (content.iss !== this.#issuer() || content.aud !== this.#issuer())
      throw new AtomError(
        'unauthenticated',
        'This token is for another address of the same installation. Sign in here; where a balancer stands before several nodes, give each the same ATOM_PUBLIC_URL.',
      )
    if (
      content.iat * 1000 > now + clockToleranceMs ||
      content.exp <= content.iat ||
      content.exp - content.iat > accessTokenLifetimeMs / 1000
    )
      throw new AtomError('unauthenticated')
    return {
      principal: {
        kind: 'account',
        id: content.sub,
        workspaceId: content.workspace,
        role: content.role,
        sessionId: content.sid,
        name: content.name,
      },
      expiresAt: new Date(content.exp * 1000),
    }
  }

  /** The header of a key that another process made since: worth a look, but not for every stranger's header. */
  async #lookUp(header: string): Promise<KeyObject | undefined> {
    const kid = kidOf(header)
    if (kid === undefined || this.#clock.now().getTime() - this.#reloadedAt < reloadEveryMs) return undefined
    await this.#reload()
    return this.#verifiers.get(header)
  }

  async #reload(): Promise<void> {
    const now = this.#clock.now()
    this.#reloadedAt = now.getTime()
    const oldest = new Date(now.getTime() - accessTokenLifetimeMs - clockToleranceMs)
    const rows = await this.#store.verifying(oldest)
    this.#verifiers = new Map(
      rows.map((row) => [encodedHeader(row.kid), createPublicKey({ key: row.publicKey, format: 'jwk' })]),
    )
    this.#keySet = {
      keys: rows.map((row) => ({
        ...row.publicKey,
        kid: row.kid,
        use: 'sig' as const,
        alg: 'EdDSA' as const,
      })),
    }
  }
}

function headerOf(kid: string) {
  return { alg: 'EdDSA', typ: tokenType, kid }
}

function encodedHeader(kid: string): string {
  return Buffer.from(JSON.stringify(headerOf(kid))).toString('base64url')
}

/** The key id, where the header is otherwise exactly ours. */
function kidOf(header: string): string | undefined {
  const text = Buffer.from(header, 'base64url').toString()
  const kid = /"kid":"([\w-]{43})"/.exec(text)?.[1]
  return kid !== undefined && encodedHeader(kid) === header ? kid : undefined
}

/** Base64url has several spellings for the same bytes; only the one that we write is accepted (RFC 4648 3.5). */
function canonical(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length > 0 && bytes.toString('base64url') === text ? bytes : undefined
}

function readClaims(payload: Buffer): Claims | undefined {
  try {
    const content = parseStrictJson(payload)
    return claims.Check(content) ? content : undefined
  } catch (thrown) {
    if (thrown instanceof AtomError) return undefined
    throw thrown
  }
}

async function newSigningKey(envelope: Envelope, clock: Clock): Promise<SigningKeyRow> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const { x = '' } = publicKey.export({ format: 'jwk' })
  const jwk = { kty: 'OKP', crv: 'Ed25519', x } as const
  const kid = await calculateJwkThumbprint(jwk)
  const binding = signingKeyBinding(kid)
  const wrappedKey = await envelope.createKey(binding)
  const pem = String(privateKey.export({ format: 'pem', type: 'pkcs8' }))
  return {
    kid,
    publicKey: jwk,
    wrappedKey,
    privateKey: await envelope.seal(wrappedKey, pem, binding),
    createdAt: clock.now(),
  }
}

async function unsealed(envelope: Envelope, row: SigningKeyRow): Promise<KeyObject> {
  try {
    return createPrivateKey(
      (await envelope.open(row.wrappedKey, row.privateKey, signingKeyBinding(row.kid))).reveal(),
    )
  } catch (cause) {
    if (cause instanceof AtomError) {
      throw new StartError(
        'The key service that keeps the master key does not answer, and without it nothing that is sealed can be opened. Start Atom again when it does.',
        { cause },
      )
    }
    throw new StartError(
      'The master key does not fit this database: what it sealed cannot be opened. Put back the master key that this database was made with (ATOM_MASTER_KEYS, or the key file in the data folder).',
      { cause },
    )
  }
}
