import { limits } from '@atom/contract/rooms.ts'

const encoder = new TextEncoder()
/** Said only when it comes near. */
const nearShare = 0.85

export interface ByteBudget {
  readonly over: boolean
  /** "15.2 of 16 KiB"; undefined while there is plenty. */
  readonly words?: string
}

/** How much of a message's 16 KiB is used, in UTF-8 as the server counts. */
export function byteBudget(text: string): ByteBudget {
  // A UTF-16 unit is at most three bytes of UTF-8: a short text needs no counting.
  if (text.length * 3 < limits.messageBytes * nearShare) return { over: false }
  const bytes = encoder.encode(text).length
  if (bytes < limits.messageBytes * nearShare) return { over: false }
  const over = bytes > limits.messageBytes
  const used = over ? Math.ceil(bytes / 102.4) / 10 : Math.floor(bytes / 102.4) / 10
  return { over, words: `${used.toFixed(1)} of ${limits.messageBytes / 1024} KiB` }
}
