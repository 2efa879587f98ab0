/** The moment a wall clock in `timeZone` shows `local`, as UTC; undefined for a zone that does not exist. */
export function inZone(local: string, timeZone: string): string | undefined {
  const asUtc = Date.parse(`${local}Z`)
  const shown = wallClock(new Date(asUtc), timeZone)
  if (shown === undefined) return undefined
  const offset = Date.parse(`${shown}Z`) - Math.trunc(asUtc / 1000) * 1000
  return new Date(asUtc - offset).toISOString().replace('.000Z', 'Z')
}

/** What a wall clock in `timeZone` shows at `moment`, e.g. `2026-11-23T09:30:00`; undefined for a zone that does not exist. */
export function wallClock(moment: Date, timeZone: string): string | undefined {
  try {
    return new Intl.DateTimeFormat('en-CA', {
      timeZone,
      hourCycle: 'h23',
      dateStyle: 'short',
      timeStyle: 'medium',
    })
      .format(moment)
      .replace(', ', 'T')
  } catch (thrown) {
    if (thrown instanceof RangeError) return undefined
    throw thrown
  }
}
