const prefix = 'atom.draft.'

/** What was being written in a room, kept until it is sent. */
export function readDraft(roomId: string): string {
  try {
    return localStorage.getItem(prefix + roomId) ?? ''
  } catch {
    return ''
  }
}

export function keepDraft(roomId: string, text: string): void {
  try {
    if (text === '') localStorage.removeItem(prefix + roomId)
    else localStorage.setItem(prefix + roomId, text)
  } catch {
    // Storage can be off or full: the text is still in the field, and lost only with the page.
  }
}

export function forgetDrafts(): void {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith(prefix)) localStorage.removeItem(key)
  } catch {
    // Nothing was kept where storage is off.
  }
}
