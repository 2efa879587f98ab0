import { AtomError } from '#foundation/errors.ts'

/** Up to here a body is kept, so that it can be sent again after a renewed token; beyond, it streams. */
const keptBytes = 1024 * 1024

type Bytes = Uint8Array<ArrayBuffer>

/**
 * A caller's body: whole where it is small enough to be sent twice, else what was read and the rest as a stream that ends
 * with an error where it passes `limit`.
 *
 * @throws AtomError `payload_too_large` as soon as it is known
 */
export async function readProxyBody(
  stream: AsyncIterable<Uint8Array> | undefined,
  limit: number,
): Promise<Bytes | ReadableStream<Uint8Array> | undefined> {
  if (stream === undefined) return undefined
  const source = stream[Symbol.asyncIterator]()
  const kept: Uint8Array[] = []
  let size = 0
  while (size <= keptBytes) {
    const { done, value } = await source.next()
    if (done === true) return size === 0 ? undefined : Buffer.concat(kept)
    kept.push(value)
    size += value.byteLength
  }
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const early = kept.shift()
      if (early !== undefined) return controller.enqueue(early)
      const { done, value } = await source.next()
      if (done === true) return controller.close()
      size += value.byteLength
      if (size > limit) {
        await source.return?.()
        return controller.error(tooLarge(limit))
      }
      controller.enqueue(value)
    },
    async cancel() {
      await source.return?.()
    },
  })
}

function tooLarge(limit: number): AtomError {
  return new AtomError('payload_too_large', `The largest body that the proxy passes on is ${limit} bytes.`)
}
