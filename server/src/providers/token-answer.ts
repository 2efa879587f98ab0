type Fields = Record<string, unknown>

const text = new TextDecoder('utf-8', { fatal: true })

/**
 * A token answer with another status and other fields, for providers that do not answer as RFC 6749 5.1 and 5.2 say.
 * What is no JSON object passes unchanged, for the protocol to refuse.
 */
export async function rewritten(
  response: Response,
  rewrite: (answer: Fields, status: number) => { status: number; answer: Fields },
): Promise<Response> {
  const bytes = await response.arrayBuffer()
  const headers = { 'content-type': response.headers.get('content-type') ?? '' }
  const answer = objectIn(bytes)
  if (answer === undefined) return new Response(bytes, { status: response.status, headers })
  const next = rewrite(answer, response.status)
  return new Response(JSON.stringify(next.answer), { status: next.status, headers })
}

function objectIn(bytes: ArrayBuffer): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text.decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Fields)
      : undefined
  } catch {
    // Not JSON at all: the caller passes it on as it is.
    return undefined
  }
}

/** Without fields whose value is null, which RFC 6749 knows only as absent. */
export function withoutNulls(answer: Fields): Fields {
  return Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== null))
}

/** The text at a path of an answer, where there is one. */
export function textAt(answer: Readonly<Fields>, ...path: readonly string[]): string | undefined {
  let at: unknown = answer
  for (const name of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined
    at = (at as Fields)[name]
  }
  if (typeof at === 'number') return String(at)
  return typeof at === 'string' && at !== '' ? at : undefined
}
