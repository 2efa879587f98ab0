/** How long a piece of a secret is looked for: longer than any coincidence, shorter than a line that is broken in two. */
const window = 18

/**
 * Looks for secrets in bytes, in every form in which a program may have written them: as they are, base64 and base64url at
 * each of the three offsets, hex in either case, URL-encoded, as JSON text. Of a long one any form's beginning is enough.
 */
export class SecretScan {
  /** By the first four bytes. */
  readonly #needles = new Map<number, { readonly bytes: Buffer; readonly name: string }[]>()

  constructor(secrets: Iterable<string>) {
    for (const secret of secrets) {
      if (secret.length < 12) throw new Error(`“${secret}” is too short to be a secret`)
      for (const [form, text] of formsOf(secret)) this.#add(text, `${secret.slice(0, 12)}… ${form}`)
    }
  }

  /** What was found, by secret and form; empty where nothing was. */
  find(bytes: Buffer): string[] {
    const found = new Set<string>()
    for (let at = 0; at + 4 <= bytes.length; at++) {
      const candidates = this.#needles.get(bytes.readUInt32BE(at))
      if (candidates === undefined) continue
      for (const { bytes: needle, name } of candidates)
        if (needle.equals(bytes.subarray(at, at + needle.length))) found.add(name)
    }
    return [...found]
  }

  #add(text: string, name: string): void {
    const bytes = Buffer.from(text, 'latin1').subarray(0, window)
    const key = bytes.readUInt32BE(0)
    this.#needles.set(key, [...(this.#needles.get(key) ?? []), { bytes, name }])
  }
}

/** Names and texts; of base64 the part that does not depend on what stands before. */
function formsOf(secret: string): [string, string][] {
  const bytes = Buffer.from(secret)
  const json = JSON.stringify(secret).slice(1, -1)
  const base64 = [0, 1, 2].flatMap((before): [string, string][] => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64')
    const own = text.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3))
    return [
      [`as base64 at ${before}`, own],
      [`as base64url at ${before}`, own.replaceAll('+', '-').replaceAll('/', '_')],
    ]
  })
  return [
    ['as it is', secret],
    ...base64,
    ['as hex', bytes.toString('hex')],
    ['as hex in capitals', bytes.toString('hex').toUpperCase()],
    ['URL-encoded', encodeURIComponent(secret)],
    ['as JSON', json],
    ['as JSON with slashes escaped', json.replaceAll('/', '\\/')],
  ]
}
