import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerOf } from './answer.ts'

const codings = ['br', 'gzip'] as const
type Coding = (typeof codings)[number]

const compress: Record<Coding, (bytes: Buffer) => Promise<Buffer>> = {
  br: (bytes) =>
    promisify(brotliCompress)(bytes, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: 9,
        [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      },
    }),
  gzip: (bytes) => promisify(gzip)(bytes, { level: 9 }),
}

/**
 * An answer that is the same for everybody and changes only with the code: compressed once, at the first who wants it so, and
 * not sent again to who has it. Nothing else is compressed on its way: an answer that holds a secret beside what somebody
 * else chose would tell the secret by its length (BREACH).
 */
export class PreparedAnswer {
  readonly #bytes: Buffer
  readonly #contentType: string
  /** Of the content. An encoding of it is another representation and has its own (RFC 9110 8.8.3.3). */
  readonly #hash: string
  readonly #compressed = new Map<Coding, Promise<Buffer>>()

  constructor(text: string, contentType: string) {
    this.#bytes = Buffer.from(text)
    this.#contentType = contentType
    this.#hash = createHash('sha256').update(this.#bytes).digest('base64url')
  }

  async send(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const coding = preferredCoding(request.headers['accept-encoding'])
    const tag = `"${this.#hash}${coding === undefined ? '' : `-${coding}`}"`
    const varies = answerOf(reply.raw).standing('vary')
    reply
      .header('etag', tag)
      .header('cache-control', 'no-cache')
      .header('vary', varies === undefined ? 'Accept-Encoding' : `${varies}, Accept-Encoding`)
    if (isKnown(request.headers['if-none-match'], tag)) return reply.code(304).send()
    if (coding !== undefined) reply.header('content-encoding', coding)
    return reply
      .header('content-type', this.#contentType)
      .send(coding === undefined ? this.#bytes : await this.#as(coding))
  }

  #as(coding: Coding): Promise<Buffer> {
    let made = this.#compressed.get(coding)
    if (made === undefined) {
      made = compress[coding](this.#bytes)
      // Whoever waits hears of it; the next one tries again.
      made.catch(() => this.#compressed.delete(coding))
      this.#compressed.set(coding, made)
    }
    return made
  }
}

/** The first of ours that the caller takes (RFC 9110 12.5.3); its own order between them makes no difference to it. */
function preferredCoding(accepted: string | undefined): Coding | undefined {
  if (accepted === undefined) return undefined
  const taken = new Map<string, boolean>()
  for (const part of accepted.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((word) => word.trim())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    taken.set(name, weight === undefined || Number(weight.slice(2)) > 0)
  }
  return codings.find((coding) => taken.get(coding) ?? taken.get('*') ?? false)
}

/** Weak comparison (RFC 9110 13.1.2): a cache on the way may have marked the tag as weak. */
function isKnown(ifNoneMatch: string | undefined, tag: string): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch.split(',').some((given) => {
    const known = given.trim()
    return known === '*' || known === tag || known === `W/${tag}`
  })
}
