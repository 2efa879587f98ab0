import { inspect } from 'node:util'

/** Causes of causes; a chain that is longer, or bites its own tail, ends here. */
const deepestCause = 8

interface Described {
  readonly type: string
  readonly message: string
  readonly code?: string
  readonly stack: string
  readonly cause?: unknown
}

/**
 * An error with its causes, and nothing else: drivers and clients hang whole objects onto theirs, keys of a session and fields of a
 * request among them. Anything that is no error is given back as it is. Never throws, whatever was thrown.
 */
export function describedError(thrown: unknown, depth = 0): unknown {
  if (!isError(thrown)) return thrown
  if (depth === deepestCause) return 'and so on'
  const code = textOf(thrown, 'code')
  const cause = fieldOf(thrown, 'cause')
  return {
    type: textOf(thrown, 'name') ?? 'Error',
    message: textOf(thrown, 'message') ?? '',
    ...(code !== undefined && { code }),
    stack: textOf(thrown, 'stack') ?? '',
    ...(cause !== undefined && { cause: describedError(cause, depth + 1) }),
  } satisfies Described
}

/** The same as text; what is no error as far as it can be shown, without running a getter of it. At most 8,000 characters. */
export function errorText(thrown: unknown): string {
  const parts: string[] = []
  let at: unknown = thrown
  for (let depth = 0; depth < deepestCause; depth++) {
    if (!isError(at)) {
      if (at === undefined && depth > 0) break
      parts.push(inspect(at, { depth: 3, getters: false, maxStringLength: 2_000, maxArrayLength: 10 }))
      break
    }
    const code = textOf(at, 'code')
    const told = textOf(at, 'stack') || `${textOf(at, 'name')}: ${textOf(at, 'message')}`
    parts.push(`${told.slice(0, 4_000)}${code === undefined ? '' : ` (${code})`}`)
    at = fieldOf(at, 'cause')
  }
  return parts.join('\ncaused by ').slice(0, 8_000)
}

function isError(thrown: unknown): thrown is Error {
  try {
    return thrown instanceof Error
  } catch {
    // A proxy that refuses to say what it is.
    return false
  }
}

/** A field of whatever was thrown, where it is text and can be read. */
export function textOf(thrown: unknown, property: string): string | undefined {
  const value = typeof thrown === 'object' && thrown !== null ? fieldOf(thrown, property) : undefined
  return typeof value === 'string' ? value : undefined
}

function fieldOf(thrown: object, property: string): unknown {
  try {
    return Reflect.get(thrown, property)
  } catch {
    // A getter of a stranger; what it hides is not worth a second failure.
    return undefined
  }
}
