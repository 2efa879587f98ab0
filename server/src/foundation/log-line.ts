/**
 * Fields whose value never belongs into a log, at any depth, in JSON and in JSON within a string: group 2 is the quote as it stands
 * there, group 3 the name.
 */
const secretFields =
  /((?<!\\)(\\*")((?:[\w.-]*[_.-])?(?:token|secret|password|passwd|passphrase|authorization|cookie|set-cookie|api[_-]?key|private[_-]?key|master[_-]?keys?|credentials?|client_assertion|code_verifier|otp)|\w*(?:Token|Secret|Password|Passphrase|Authorization|Cookie|ApiKey|PrivateKey|MasterKeys?|Credential|Assertion|CodeVerifier))\2\s*:\s*)(?:"(?:[^"\\]|\\.)*"|\\+"(?:[^"\\]|\\+(?![\\"]))*(?:\\+"|(?="))|\[[^[\]]*\]|\{[^{}]*\})/gi

/**
 * What a secret looks like wherever it stands: schemes, JWTs, prefixes of the providers' tokens, keys, addresses with a password;
 * then fields as they are written in addresses, forms, header lines and what a program prints of an object: a cookie to its end,
 * anything else with the scheme before it.
 */
const secretShapes =
  /(\b(?:Bearer|Basic|DPoP|Token)\s+)[\w.~+/=-]{8,}|\beyJ[\w-]{8,1024}\.[\w-]{4,}\.[\w-]*|\b(?:gh[opusr]_|github_pat_|ya29\.|1\/\/|xox[a-z]-|xapp-|ntn_|secret_|sk-|pat-|AKIA|ASIA|00D[\w]{12,15}!|5Aep|atom\.capability\.)[\w./!-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|(?="))|(\b[a-z][a-z0-9+.-]{0,31}:\/\/[^\s:/@"]{0,256}:)[^\s@"]{1,1024}(?=@)|([?&#;\s"'{(](?:set-)?cookie'?\s*[=:]\s*)(?!\[secret\])[^"\]}\\\n]{4,}|([?&#;\s"'{(](?:[\w-]*(?:token|secret|password|passwd|passphrase|api[_-]?key|private[_-]?key|assertion|verifier)|code|state|sig|signature|authorization)'?\s*[=:]\s*)(?!\[secret\])(?:'[^'"]{3,}'?|(?:(?:Bearer|Basic|DPoP|Token|Digest)\s+)?[^"'&\s,;}\]]{6,})/gi

/** Something that each of the above needs. Most lines have none of it, and looking for this costs a tenth. */
const suspicious =
  /token|secret|passw|passphrase|authori|cookie|key|credential|assertion|verifier|otp"|bearer|basic|dpop|eyj|gh[opusr]_|github_pat|ya29|1\/\/|xox|xapp|ntn_|sk-|pat-|akia|asia|00d|5aep|atom\.cap|begin|:\/\/|[?&#; "](?:code|state|sig)[\w]*\s*[=:](?!")/i

/** Control and bidirectional characters that JSON lets stand: a terminal or an editor would obey them. */
const obeyed = /[\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g

/** Longest line, and longest text within one, in characters. */
export const lineLimit = 16_384
export const textLimit = 2_048

/** The line with everything that looks like a secret replaced by `[secret]`. */
export function scrub(line: string): string {
  if (!suspicious.test(line)) return line
  return line
    .replace(secretFields, (_whole, before: string, quote: string) => `${before}${quote}[secret]${quote}`)
    .replace(
      secretShapes,
      (_whole, scheme?: string, address?: string, cookie?: string, field?: string) =>
        `${scheme ?? address ?? cookie ?? field ?? ''}[secret]`,
    )
}

/** A line as it leaves: of bounded length, without secrets, without characters that whoever displays it would obey. */
export function finished(line: string): string {
  const bounded = line.length > lineLimit ? shortened(line) : line
  const scrubbed = scrub(bounded)
  if (scrubbed.search(obeyed) < 0) return scrubbed
  return scrubbed.replace(
    obeyed,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** For a person's terminal: escapes stay escapes when the line is taken apart there. */
export function forTerminal(line: string): string {
  return line.replace(
    /(?<!\\)((?:\\\\)*)\\u(00[01][0-9a-f]|007f|00[89][0-9a-f]|20[02][0-9a-f]|206[0-9a-f]|feff)/g,
    '$1\\\\u$2',
  )
}

/** Too long: each text is cut, then whole fields are left out until it fits. It stays one JSON line. */
function shortened(line: string): string {
  const fields = JSON.parse(line, (_name, value: unknown) =>
    typeof value === 'string' && value.length > textLimit
      ? `${value.slice(0, textLimit)}… (${value.length} characters)`
      : value,
  ) as Record<string, unknown>
  const kept: Record<string, unknown> = {}
  let left = lineLimit - 200
  const omitted: string[] = []
  for (const [name, value] of Object.entries(fields)) {
    const length = JSON.stringify(value).length + name.length + 4
    // Level and time come first, what happened last; both are short.
    if (length <= left || name === 'msg') {
      kept[name] = value
      left -= length
    } else if (omitted.length < 10) omitted.push(name.slice(0, 40))
  }
  return `${JSON.stringify({ ...kept, ...(omitted.length > 0 && { omitted }) })}\n`
}
