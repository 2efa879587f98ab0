/** Up to here a body is kept, so that it can be sent again after a renewed token; beyond, it streams. */
const keptBytes = 1024 * 1024

/** A caller's body: whole where it is small enough to be sent twice, else what was read so far and the rest as a stream. */
export async function readProxyBody(
  stream: AsyncIterable<Uint8Array> | undefined,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | undefined> {
  if (stream === undefined) return undefined
  const source = stream[Symbol.asyncIterator]()
  const kept: Uint8Array[] = []
  for (let size = 0; size <= keptBytes; ) {
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
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await source.return?.()
    },
  })
}
