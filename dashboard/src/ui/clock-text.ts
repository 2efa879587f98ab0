const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

/** Made once: making one takes longer than drawing the row that shows it. */
const minutes = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' })

/** How long ago, or how long until: "just now", "5 min ago", "in 23 h", "12 Nov". */
export function relativeTime(at: Date, now: Date): string {
  const distance = now.getTime() - at.getTime()
  const size = Math.abs(distance)
  if (size < minute) return distance >= 0 ? 'just now' : 'in a moment'
  if (size >= 7 * day) return shortDate(at, now)
  const amount =
    size < hour
      ? `${Math.floor(size / minute)} min`
      : size < day
        ? `${Math.floor(size / hour)} h`
        : plural(Math.floor(size / day), 'day')
  return distance >= 0 ? `${amount} ago` : `in ${amount}`
}

/** The heading over a day's messages: "Today", "Yesterday", "Wednesday", "12 November 2025". */
export function dayTitle(at: Date, now: Date): string {
  const days = Math.round((startOfDay(now) - startOfDay(at)) / day)
  if (days === 0) return 'Today'
  if (days === 1) return 'Yesterday'
  if (days > 1 && days < 7) return at.toLocaleDateString('en', { weekday: 'long' })
  return at.toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'long',
    ...(at.getFullYear() === now.getFullYear() ? {} : { year: 'numeric' }),
  })
}

/** The bounds of the day that a moment falls in, where the person is; days of a clock change are 23 or 25 hours long. */
export function dayAround(time: number): { readonly from: number; readonly to: number } {
  const date = new Date(time)
  const [year, month, day] = [date.getFullYear(), date.getMonth(), date.getDate()]
  return { from: new Date(year, month, day).getTime(), to: new Date(year, month, day + 1).getTime() }
}

/** The time of day as the person's system writes it: "14:02". */
export function timeOfDay(at: Date): string {
  return minutes.format(at)
}

/** As short as a list has space for: "14:02", "Mon", "12 Nov". */
export function shortTime(at: Date, now: Date): string {
  const days = Math.round((startOfDay(now) - startOfDay(at)) / day)
  if (days <= 0) return timeOfDay(at)
  return days < 7 ? at.toLocaleDateString('en', { weekday: 'short' }) : shortDate(at, now)
}

/** For hover: day and time to the second. */
export function exactTime(at: Date): string {
  return exact.format(at)
}

/** "38 ms", "1.2 s", "4 min 10 s". */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < minute) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round((ms % minute) / 1000)
  return `${Math.floor(ms / minute)} min${seconds > 0 ? ` ${seconds} s` : ''}`
}

/** What is left, to the second: "14:32", "0:09". */
export function countdownText(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`
}

function shortDate(at: Date, now: Date): string {
  return at.toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'short',
    ...(at.getFullYear() === now.getFullYear() ? {} : { year: 'numeric' }),
  })
}

function startOfDay(at: Date): number {
  return new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime()
}
