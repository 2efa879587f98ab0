import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { createServer, getCACertificates, type Server, setDefaultCACertificates } from 'node:tls'

/**
 * An https address on loopback before a plain http server, trusted by this process: for what talks to nobody over http, such
 * as an SDK that shows its token to https addresses only.
 */
export class LoopbackTls implements AsyncDisposable {
  readonly url: string
  /** Where the server listens; set before the first request. */
  port = 0
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
    this.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async start(): Promise<LoopbackTls> {
    const own = newCertificate()
    setDefaultCACertificates([...getCACertificates('default'), own.cert])
    const server = createServer(own)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const front = new LoopbackTls(server)
    server.on('secureConnection', (near) => {
      const far = connect(front.port, '127.0.0.1')
      near.on('error', () => far.destroy()).on('close', () => far.destroy())
      far.on('error', () => near.destroy()).on('close', () => near.destroy())
      near.pipe(far).pipe(near)
    })
    return front
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }
}

/** A key and a certificate of it, in PEM, for 127.0.0.1; it ends with the year 2048. */
export function newCertificate(): { cert: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return { cert: selfSigned(publicKey, privateKey), key }
}

/** RFC 5280, as short as it goes: for 127.0.0.1, and its own issuer. */
function selfSigned(publicKey: KeyObject, privateKey: KeyObject): string {
  const ecdsaWithSha256 = der(0x30, oid('2a8648ce3d040302'))
  const name = der(0x30, der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from('atom test')))))
  const year = (of: string) => der(0x17, Buffer.from(`${of}0101000000Z`))
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1)),
    ecdsaWithSha256,
    name,
    der(0x30, year('20'), year('49')),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      der(
        0x30,
        der(0x30, oid('551d11'), der(0x04, der(0x30, der(0x87, Buffer.of(127, 0, 0, 1))))),
        der(0x30, oid('551d13'), der(0x04, der(0x30, der(0x01, Buffer.of(255))))),
      ),
    ),
  )
  const signature = sign('sha256', body, privateKey)
  const whole = der(0x30, body, ecdsaWithSha256, der(0x03, Buffer.of(0), signature))
  return `-----BEGIN CERTIFICATE-----\n${whole.toString('base64')}\n-----END CERTIFICATE-----\n`
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'))
}

/** X.690 10: tag, length in as few bytes as it takes, content. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const length =
    content.length < 128
      ? [content.length]
      : content.length < 256
        ? [0x81, content.length]
        : [0x82, content.length >> 8, content.length & 255]
  return Buffer.concat([Buffer.of(tag, ...length), content])
}
