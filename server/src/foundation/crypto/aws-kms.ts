import { randomBytes } from 'node:crypto'
import type { KMSClient } from '@aws-sdk/client-kms'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { KeyPlace, MasterKey } from './master-key.ts'
import { editedOrMoved } from './sealed-bytes.ts'

/** The ARN of a key, not of an alias: an alias may point to another key one day, and then nothing would open. */
export const kmsKeyArn = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:key\/[\w-]{1,64}$/

const keyBytes = 32
/** Of `CiphertextBlob`, as `Decrypt` takes it. */
const largestCiphertext = 6_144
/** A person may be waiting behind it: an attempt and its repetitions together take no longer than `callMs`. */
const standardPatience = { connectMs: 2_000, attemptMs: 4_000, callMs: 10_000 }
/** The answers that say that this is not what the key wrapped for this place; all others are about the service. */
const wrongCiphertext = new Set(['InvalidCiphertextException', 'IncorrectKeyException'])

const attemptsOverBrokenSockets = 3
const brokenSocket = new Set(['ECONNRESET', 'EPIPE'])

type Sdk = typeof import('@aws-sdk/client-kms')
type Ask<T> = (kms: { sdk: Sdk; client: KMSClient }, options: { abortSignal: AbortSignal }) => Promise<T>

/**
 * A symmetric master key that lives in AWS KMS and never leaves it. Data keys are wrapped by `Encrypt` and unwrapped by
 * `Decrypt`, bound to their row by the encryption context, which is authenticated there, may be asked for in the key's policy
 * and stands in CloudTrail: `kind`, `workspace` and `id` of the row are ids, no secrets.
 *
 * Address and credentials are found as by every AWS tool: environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL_KMS`, …), shared
 * files, container, instance. The region is the ARN's. https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
 */
export class AwsKmsMasterKey implements MasterKey {
  readonly version: number
  readonly format = 2
  readonly arn: string
  readonly #log: Log | undefined
  readonly #patience: typeof standardPatience
  #opened: Promise<{ sdk: Sdk; client: KMSClient }> | undefined
  #failing = false

  constructor(version: number, arn: string, log?: Log, patience = standardPatience) {
    this.version = version
    this.arn = arn
    this.#log = log
    this.#patience = patience
  }

  get failing(): boolean {
    return this.#failing
  }

  async wrap(dataKey: Buffer, place: KeyPlace): Promise<Buffer> {
    return await this.#asking(async ({ sdk, client }, options) => {
      const request = new sdk.EncryptCommand({
        KeyId: this.arn,
        Plaintext: dataKey,
        EncryptionContext: this.#context(place),
      })
      const { CiphertextBlob } = await client.send(request, options)
      if (CiphertextBlob === undefined) throw new Error('KMS answered without a ciphertext')
      return Buffer.from(CiphertextBlob)
    })
  }

  async unwrap(wrapped: Buffer, place: KeyPlace): Promise<Buffer> {
    // The service would call it an invalid request, as if we were at fault.
    if (wrapped.length === 0 || wrapped.length > largestCiphertext) throw editedOrMoved()
    return await this.#asking(async ({ sdk, client }, options) => {
      const request = new sdk.DecryptCommand({
        KeyId: this.arn,
        CiphertextBlob: wrapped,
        EncryptionContext: this.#context(place),
      })
      const { Plaintext } = await client.send(request, options)
      if (Plaintext?.length !== keyBytes) throw new Error('KMS answered without a data key')
      // Over the SDK's own bytes, so that overwriting them leaves no copy behind.
      return Buffer.from(Plaintext.buffer, Plaintext.byteOffset, Plaintext.byteLength)
    })
  }

  async probe(): Promise<void> {
    const place = { clear: Buffer.alloc(0), binding: { kind: 'probe' } }
    const raw = randomBytes(keyBytes)
    const back = await this.unwrap(await this.wrap(raw, place), place)
    if (!back.equals(raw)) throw new Error('KMS unwraps something else than it wrapped')
  }

  /** All that authenticates a data key under a local master key, for whoever reads it in CloudTrail. */
  #context({ binding }: KeyPlace): Record<string, string> {
    return { ...binding, 'atom:purpose': 'data key', 'atom:version': String(this.version) }
  }

  async #asking<T>(ask: Ask<T>): Promise<T> {
    try {
      const answer = await this.#persistently(ask)
      if (this.#failing) this.#log?.info({ arn: this.arn }, 'the master key in AWS KMS answers again')
      this.#failing = false
      return answer
    } catch (error) {
      if (error instanceof Error && wrongCiphertext.has(error.name)) throw editedOrMoved(error)
      // Once for an outage, and not once for each of a thousand calls in it.
      if (!this.#failing) this.#log?.error({ arn: this.arn, err: error }, 'the master key in AWS KMS fails')
      this.#failing = true
      throw new AtomError(
        'unavailable',
        'The key service that protects stored credentials does not answer. Nothing is lost; try again in a moment.',
        { cause: error },
      )
    }
  }

  /**
   * The client repeats by itself, but within a budget that many stale sockets at once use up: after a quiet minute the other
   * side has closed them all. Asking again is harmless, since neither operation changes anything there.
   */
  async #persistently<T>(ask: Ask<T>): Promise<T> {
    const abortSignal = AbortSignal.timeout(this.#patience.callMs)
    const kms = await this.#open()
    for (let left = attemptsOverBrokenSockets; ; left--) {
      try {
        return await ask(kms, { abortSignal })
      } catch (error) {
        const broken = error instanceof Error && 'code' in error && brokenSocket.has(String(error.code))
        if (!broken || left === 1) throw error
      }
    }
  }

  /** Loaded when a key in KMS is configured and not before: it takes tens of megabytes. */
  #open(): Promise<{ sdk: Sdk; client: KMSClient }> {
    this.#opened ??= import('@aws-sdk/client-kms').then((sdk) => ({
      sdk,
      client: new sdk.KMSClient({
        region: kmsKeyArn.exec(this.arn)?.[1] ?? '',
        maxAttempts: 3,
        requestHandler: {
          connectionTimeout: this.#patience.connectMs,
          requestTimeout: this.#patience.attemptMs,
          throwOnRequestTimeout: true,
        },
      }),
    }))
    return this.#opened
  }
}
