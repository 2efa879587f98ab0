/** Whether every word that is looked for begins a word of what is there; case and accents do not matter. */
export function matches(query: string, parts: readonly (string | undefined)[]): boolean {
  const wanted = wordsOf(query)
  if (wanted.length === 0) return true
  const there = parts.flatMap((part) => wordsOf(part ?? ''))
  return wanted.every((word) => there.some((candidate) => candidate.startsWith(word)))
}

function wordsOf(text: string): string[] {
  return (
    text
      .normalize('NFD')
      .replace(/\p{Mark}/gu, '')
      .toLowerCase()
      .match(/[\p{Letter}\p{Number}]+/gu) ?? []
  )
}
