/** Time as the server sees it; tests bring their own. */
export interface Clock {
  now(): Date
}

export const systemClock: Clock = { now: () => new Date() }

/**
 * The time by a clock that nobody sets: what it was when this process started, and how long that has run since. For what is deleted
 * because its time is over, together with the clock that says so: one that is set forward then deletes nothing that is missed.
 */
export function unsetTime(): Date {
  return new Date(performance.timeOrigin + performance.now())
}
