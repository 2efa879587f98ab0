import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
  randomUUID,
} from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** What it does to every call from now on, instead of answering it. */
type Trouble = 'cut' | 'denied' | 'throttled' | 'failing' | 'silent'

interface ServiceCall {
  readonly operation: 'Encrypt' | 'Decrypt'
  readonly context: Readonly<Record<string, string>>
}

class Refusal extends Error {
  readonly type: string
  readonly status: number

  constructor(type: string, message: string, status = 400) {
    super(message)
    this.type = type
    this.status = status
  }
}

/**
 * AWS KMS as its clients see it, on loopback: the JSON 1.1 protocol, symmetric keys with AES-256-GCM, the encryption context
 * as authenticated data, and Signature Version 4 computed anew for every request from what arrived.
 * https://docs.aws.amazon.com/kms/latest/APIReference/ and …/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export class KeyManagementService implements AsyncDisposable {
  readonly region = 'eu-central-1'
  readonly credentials = {
    accessKeyId: `AKIA${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64'),
  }
  readonly calls: ServiceCall[] = []
  trouble: Trouble | undefined
  /** How many calls trouble has struck. */
  struck = 0
  /** Told of each call that is answered, before it is. */
  heard: (call: ServiceCall) => void = () => undefined
  readonly #keys = new Map<string, Buffer>()
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<KeyManagementService> {
    const server = createServer()
    const service = new KeyManagementService(server)
    server.on('request', (request, response) => {
      void service.#answer(request, response)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return service
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What an AWS client finds in its environment; no file of this machine and no instance is asked. */
  get environment(): Record<string, string> {
    return {
      AWS_ENDPOINT_URL_KMS: this.url,
      AWS_ACCESS_KEY_ID: this.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: this.credentials.secretAccessKey,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    }
  }

  /** A new symmetric key; its ARN. */
  createKey(): string {
    const arn = `arn:aws:kms:${this.region}:111122223333:key/${randomUUID()}`
    this.#keys.set(arn, randomBytes(32))
    return arn
  }

  /** Closes every socket that waits for the next request, as the real one does after a quiet minute. */
  closeIdle(): void {
    this.#server.closeIdleConnections()
  }

  count(operation: ServiceCall['operation']): number {
    return this.calls.filter((call) => call.operation === operation).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const body = await text(request)
      if (this.trouble !== undefined) this.struck += 1
      if (this.trouble === 'silent') return
      if (this.trouble === 'cut') return void request.socket.destroy()
      const answer = this.#operate(request, body)
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(answer))
    } catch (error) {
      if (!(error instanceof Refusal)) {
        response.destroy()
        throw error
      }
      response
        .writeHead(error.status, { 'content-type': 'application/x-amz-json-1.1' })
        .end(JSON.stringify({ __type: error.type, message: error.message }))
    }
  }

  #operate(request: IncomingMessage, body: string): object {
    if (this.trouble === 'throttled') throw new Refusal('ThrottlingException', 'Rate exceeded')
    if (this.trouble === 'failing') throw new Refusal('KMSInternalException', 'Internal error', 500)
    this.#requireSignature(request, body)
    const operation = /^TrentService\.(Encrypt|Decrypt)$/.exec(header(request, 'x-amz-target'))?.[1]
    if (request.method !== 'POST' || request.url !== '/' || operation === undefined)
      throw new Refusal('UnknownOperationException', 'no such operation here')
    if (header(request, 'content-type') !== 'application/x-amz-json-1.1')
      throw new Refusal('SerializationException', 'not JSON 1.1')
    if (this.trouble === 'denied') {
      throw new Refusal(
        'AccessDeniedException',
        `User: arn:aws:iam::111122223333:user/atom is not authorized to perform: kms:${operation}`,
      )
    }
    const asked = JSON.parse(body) as {
      KeyId: string
      Plaintext?: string
      CiphertextBlob?: string
      EncryptionContext?: Record<string, string>
    }
    const key = this.#keys.get(asked.KeyId)
    if (key === undefined) throw new Refusal('NotFoundException', `Key '${asked.KeyId}' does not exist`)
    const context = asked.EncryptionContext ?? {}
    const associated = Buffer.from(JSON.stringify(Object.entries(context).sort()))
    const call = { operation: operation === 'Encrypt' ? 'Encrypt' : 'Decrypt', context } as const
    this.calls.push(call)
    this.heard(call)
    const answer = { KeyId: asked.KeyId, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' }
    if (operation === 'Encrypt') {
      const sealed = seal(key, asked.KeyId, Buffer.from(asked.Plaintext ?? '', 'base64'), associated)
      return { ...answer, CiphertextBlob: sealed.toString('base64') }
    }
    const opened = open(key, asked.KeyId, Buffer.from(asked.CiphertextBlob ?? '', 'base64'), associated)
    return { ...answer, Plaintext: opened.toString('base64') }
  }

  #requireSignature(request: IncomingMessage, body: string): void {
    const form =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/kms\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/
    const found = form.exec(header(request, 'authorization'))
    if (found === null) throw new Refusal('MissingAuthenticationTokenException', 'not signed')
    const [, id = '', day = '', region = '', signedHeaders = '', signature] = found
    if (id !== this.credentials.accessKeyId)
      throw new Refusal(
        'UnrecognizedClientException',
        'The security token included in the request is invalid.',
      )
    const at = header(request, 'x-amz-date')
    const names = signedHeaders.split(';')
    const needed = ['host', 'x-amz-date', 'x-amz-target']
    const time = Date.parse(at.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
    const fits =
      region === this.region &&
      at.startsWith(day) &&
      Math.abs(Date.now() - time) < 5 * 60_000 &&
      needed.every((name) => names.includes(name)) &&
      names.join() === names.toSorted().join()
    const canonicalRequest = [
      request.method,
      request.url,
      '',
      ...names.map((name) => `${name}:${header(request, name).trim().replace(/ +/g, ' ')}`),
      '',
      signedHeaders,
      sha256(body),
    ].join('\n')
    const scope = `${day}/${region}/kms/aws4_request`
    const toSign = ['AWS4-HMAC-SHA256', at, scope, sha256(canonicalRequest)].join('\n')
    const signingKey = [day, region, 'kms', 'aws4_request'].reduce<string | Buffer>(
      (key, part) => hmac(key, part),
      `AWS4${this.credentials.secretAccessKey}`,
    )
    if (!fits || hmac(signingKey, toSign).toString('hex') !== signature) {
      throw new Refusal(
        'InvalidSignatureException',
        'The request signature we calculated does not match the signature you provided.',
      )
    }
  }
}

function seal(key: Buffer, arn: string, plaintext: Buffer, associated: Buffer): Buffer {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(associated)
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  return Buffer.concat([markOf(arn), nonce, ciphertext, cipher.getAuthTag()])
}

function open(key: Buffer, arn: string, blob: Buffer, associated: Buffer): Buffer {
  if (blob.length < 32 + 12 + 16) throw new Refusal('InvalidCiphertextException', '')
  if (!blob.subarray(0, 32).equals(markOf(arn))) {
    throw new Refusal(
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can do it.',
    )
  }
  const decipher = createDecipheriv('aes-256-gcm', key, blob.subarray(32, 44), { authTagLength: 16 })
  decipher.setAAD(associated).setAuthTag(blob.subarray(-16))
  try {
    return Buffer.concat([decipher.update(blob.subarray(44, -16)), decipher.final()])
  } catch (cause) {
    throw Object.assign(new Refusal('InvalidCiphertextException', ''), { cause })
  }
}

/** Which key made a ciphertext stands in it. */
function markOf(arn: string): Buffer {
  return createHash('sha256').update(arn).digest()
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name]
  return typeof value === 'string' ? value : ''
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
