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
  if (Buffer.isBuffer(body)) {
    return { opening: body, rest: body.length > most ? Readable.from([body]) : undefined }
  }
  const chunks: Buffer[] = []
  const ended = await begun(body, chunks, most)
  const opening = chunks.length === 1 ? (chunks[0] ?? nothing) : Buffer.concat(chunks)
  if (ended) return { opening, rest: undefined }
  body.unshift(opening)
  return { opening, rest: body }
}

/** By events: an iterator over a stream costs more than all else that is done to a short body. */
function begun(body: Readable, chunks: Buffer[], most: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let size = 0
    const onData = (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size <= most) return
      body.pause()
      over()
      resolve(false)
    }
    const onEnd = () => {
      over()
      resolve(true)
    }
    const onClose = () => {
      over()
      reject(body.errored ?? new Error('the body ended early'))
    }
    const onError = (error: Error) => {
      over()
      reject(error)
    }
    const over = () => {
      body.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onError)
    }
    if (body.destroyed || body.readableEnded) return body.readableEnded ? onEnd() : onClose()
    body.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onError)
  })
}
