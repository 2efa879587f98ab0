interface Named {
  readonly id: string
  readonly name: string
}

/** A piece of a text: words, or a member who is named. */
export interface MentionPart {
  readonly text: string
  readonly id?: string
}

/** What a name may not run into: "@Ada" names nobody in "@Adam" or "a@Ada". */
const within = /[\p{L}\p{N}_]/u

/** The pieces of a text in order; of two names that begin alike the longer one is meant. */
export function splitMentions(text: string, people: readonly Named[]): readonly MentionPart[] {
  if (!text.includes('@') || people.length === 0) return [{ text }]
  const longestFirst = people.toSorted((a, b) => b.name.length - a.name.length)
  const parts: MentionPart[] = []
  let from = 0
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    if (at > 0 && within.test(text[at - 1] ?? '')) continue
    const rest = text.slice(at + 1)
    const named = longestFirst.find(
      ({ name }) =>
        rest.slice(0, name.length).toLowerCase() === name.toLowerCase() &&
        !within.test(rest[name.length] ?? ''),
    )
    if (named === undefined) continue
    if (at > from) parts.push({ text: text.slice(from, at) })
    from = at + 1 + named.name.length
    parts.push({ text: text.slice(at, from), id: named.id })
    at = from - 1
  }
  if (from < text.length) parts.push({ text: text.slice(from) })
  return parts
}

/** Ids of the members that a text names, each once. */
export function mentionsIn(text: string, members: readonly Named[]): readonly string[] {
  return [...new Set(splitMentions(text, members).flatMap(({ id }) => (id === undefined ? [] : [id])))]
}

export interface MentionQuery {
  /** Where its "@" is. */
  readonly from: number
  readonly words: string
}

/** What is being typed after an "@" right before the caret. */
export function mentionQuery(text: string, caret: number): MentionQuery | undefined {
  const before = text.slice(0, caret)
  const from = before.lastIndexOf('@')
  if (from < 0 || within.test(before[from - 1] ?? '')) return undefined
  const words = before.slice(from + 1)
  return words.length > 40 || /[\n@]/.test(words) || words.startsWith(' ') ? undefined : { from, words }
}

/** Those whose name, or a word of it, begins with what was typed. */
export function matching<P extends Named>(people: readonly P[], words: string): readonly P[] {
  const wanted = words.toLowerCase()
  return people.filter(({ name }) => {
    const lower = name.toLowerCase()
    // Completed already.
    if (lower === wanted.trimEnd() && wanted.endsWith(' ')) return false
    return lower.startsWith(wanted) || lower.split(/\s+/).some((word) => word.startsWith(wanted))
  })
}
