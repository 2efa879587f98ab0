import type { Readable } from 'node:stream'
import { openingOf } from './body-opening.ts'

/** Up to here a body is kept, so that it can be sent again after a renewed token; beyond, it streams. */
const keptBytes = 1024 * 1024

/** A caller's body: whole where it is small enough to be sent twice, else a stream of all of it. */
export async function readProxyBody(stream: Readable | undefined): Promise<Buffer | Readable | undefined> {
  if (stream === undefined) return undefined
  const { opening, rest } = await openingOf(stream, keptBytes)
  return rest ?? (opening.length === 0 ? undefined : opening)
}
