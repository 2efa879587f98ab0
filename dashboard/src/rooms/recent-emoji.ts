const key = 'atom.emoji'
const kept = 16
/** Until a person has their own. */
export const usual = ['👍', '❤️', '😄', '🎉', '🙏', '👀'] as const

/** What this person reacted with lately, the latest first. */
export function readRecent(): readonly string[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(key) ?? '[]')
    return Array.isArray(stored)
      ? stored.filter((each): each is string => typeof each === 'string').slice(0, kept)
      : []
  } catch {
    // Storage is off, or holds what another version wrote: there is no memory then.
    return []
  }
}

export function rememberEmoji(emoji: string): void {
  try {
    const rest = readRecent().filter((each) => each !== emoji)
    localStorage.setItem(key, JSON.stringify([emoji, ...rest].slice(0, kept)))
  } catch {
    // Storage is off or full: the next choice begins at the usual ones.
  }
}
