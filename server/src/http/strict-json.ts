import { AtomError } from '#foundation/errors.ts'

const deepest = 32
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * JSON as the rest of the server may rely on it: valid UTF-8, no key twice, no `__proto__`, at most 32 levels, and no text
 * that PostgreSQL cannot hold (NUL, lone surrogates). Fastify's own parser lets all of these pass; two parsers that read
 * one text differently are how filters are walked around.
 *
 * @throws AtomError `malformed_request` where it is not such JSON, `validation_failed` naming the text that cannot be held
 */
export function parseStrictJson(bytes: Buffer): unknown {
  let text: string
  let value: unknown
  try {
    text = utf8.decode(bytes)
    value = JSON.parse(text)
  } catch (cause) {
    throw new AtomError('malformed_request', undefined, { cause })
  }
  new Walk(text).run()
  return value
}

interface Level {
  /** Keys seen so far; absent in an array. */
  readonly keys: Set<string> | undefined
  /** Where in its parent this level stands. */
  readonly pointer: string
  key: string
  index: number
}

/** Walks the text of known-valid JSON once, looking only at what `JSON.parse` forgets. */
class Walk {
  readonly #text: string
  readonly #levels: Level[] = []

  constructor(text: string) {
    this.#text = text
  }

  run(): void {
    let expectKey = false
    for (let at = 0; at < this.#text.length; at++) {
      const level = this.#levels.at(-1)
      switch (this.#text[at]) {
        case '{':
        case '[':
          if (this.#levels.length === deepest)
            throw new AtomError('malformed_request', `JSON may be nested at most ${deepest} levels deep.`)
          expectKey = this.#text[at] === '{'
          this.#levels.push({
            keys: expectKey ? new Set() : undefined,
            pointer: this.#pointer(),
            key: '',
            index: 0,
          })
          break
        case '}':
        case ']':
          this.#levels.pop()
          expectKey = false
          break
        case ',':
          if (level?.keys === undefined) level && level.index++
          else expectKey = true
          break
        case '"': {
          const end = this.#endOfString(at)
          const literal = this.#text.slice(at, end + 1)
          const string: string = literal.includes('\\') ? JSON.parse(literal) : literal.slice(1, -1)
          if (expectKey && level?.keys !== undefined) {
            this.#useKey(level, level.keys, string)
            expectKey = false
          } else if (!isStorable(string)) throw unstorable(this.#pointer())
          at = end
          break
        }
      }
    }
  }

  #useKey(level: Level, keys: Set<string>, key: string): void {
    if (keys.has(key))
      throw new AtomError('malformed_request', 'The same key stands twice in one JSON object.')
    if (key === '__proto__')
      throw new AtomError('malformed_request', 'The key `__proto__` is not allowed in JSON.')
    if (!isStorable(key)) throw unstorable(level.pointer)
    keys.add(key)
    level.key = key
  }

  #endOfString(start: number): number {
    let at = start + 1
    while (this.#text[at] !== '"') at += this.#text[at] === '\\' ? 2 : 1
    return at
  }

  #pointer(): string {
    const level = this.#levels.at(-1)
    if (level === undefined) return ''
    const step = level.keys === undefined ? String(level.index) : level.key
    return `${level.pointer}/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`
  }
}

/** Text that every part of Atom can hold: well-formed Unicode without NUL. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

function unstorable(pointer: string): AtomError {
  return new AtomError('validation_failed', undefined, {
    problems: [{ pointer, detail: 'Must be well-formed Unicode without NUL characters.' }],
  })
}
