import { Readable } from 'node:stream'

interface Opening {
  /** All of the body where there is no rest. */
  readonly opening: Buffer
  /** The whole body again, where it is longer than was asked for. */
  readonly rest: Readable | undefined
}

const nothing = Buffer.alloc(0)

/** Reads a body until it ends or is longer than `most` bytes. Throws what breaks it until then. */
export async function openingOf(body: Buffer | Readable | null, most: number): Promise<Opening> {
  if (body === null) return { opening: nothing, rest: undefined }
  if (Buffer.isBuffer(body))
    return { opening: body, rest: body.length > most ? Readable.from([body]) : undefined }
  const source = body.iterator({ destroyOnReturn: false })
  const chunks: Buffer[] = []
  for (let size = 0; size <= most; ) {
    const { done, value } = (await source.next()) as IteratorResult<Buffer>
    if (done === true)
      return {
        opening: chunks.length === 1 ? (chunks[0] ?? nothing) : Buffer.concat(chunks),
        rest: undefined,
      }
    chunks.push(value)
    size += value.length
  }
  return { opening: Buffer.concat(chunks), rest: resumed(chunks, body, source) }
}

function resumed(chunks: readonly Buffer[], body: Readable, source: AsyncIterator<unknown>): Readable {
  async function* all() {
    yield* chunks
    for (;;) {
      const { done, value } = await source.next()
      if (done === true) return
      yield value
    }
  }
  const rest = Readable.from(all(), { objectMode: false })
  rest.once('close', () => body.destroy())
  return rest
}
