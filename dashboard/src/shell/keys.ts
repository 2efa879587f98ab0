/** Every key of the dashboard: the list that `?` shows. What acts on a key names it here first. */
export const keyList = [
  { keys: ['Ctrl', 'K'], what: 'Go anywhere, do anything' },
  { keys: ['?'], what: 'Show this list' },
  { keys: ['Enter'], what: 'Send the message' },
  { keys: ['Shift', 'Enter'], what: 'Begin a new line' },
  { keys: ['↑'], what: 'Edit your newest message, from the empty field' },
  { keys: ['@'], what: 'Name somebody in the room' },
  { keys: ['Esc'], what: 'Stop the agent' },
  { keys: ['A'], what: 'Approve what an agent asks for' },
  { keys: ['E'], what: 'Edit it before you approve' },
  { keys: ['D'], what: 'Deny it' },
  { keys: ['C'], what: 'Go to the message field' },
  { keys: ['/'], what: 'Search accounts or the catalogue' },
  { keys: ['↑', '↓'], what: 'Go from row to row of that list' },
  { keys: ['Esc'], what: 'Close what was opened from it' },
] as const

/** Whether this key press means writing, so that a single letter must not act. */
export function isWriting(event: KeyboardEvent): boolean {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return true
  const target = event.target
  if (!(target instanceof HTMLElement)) return false
  return (
    target.isContentEditable ||
    target.closest('input, textarea, select, dialog, [role="dialog"], [role="menu"]') !== null
  )
}
