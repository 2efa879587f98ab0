import * as chrono from 'chrono-node'

/** A time or period that somebody spoke of, on this server's clock. */
export interface SpokenTime {
  /** RFC 3339 with this server's offset. */
  readonly start: string
  /** Where it ends; undefined for a moment without a length. */
  readonly end: string | undefined
  /** `moment`: an hour was named · `day`: whole days · `vague`: a part of a day, a week, a month, which no event starts at. */
  readonly precision: 'moment' | 'day' | 'vague'
}

export interface HeardTime {
  readonly time?: SpokenTime
  /** Why it could mean something else: a sentence for the person who said it. Then `time` is not to be acted upon. */
  readonly doubt?: string
  /** The words of time, as they stand in the text. */
  readonly words: readonly string[]
}

export const severalTimes = 'I see more than one time there.'
const hourMs = 3_600_000
const weekday = '(?:mon|tues|wednes|thurs|fri|satur|sun)day'
/** How long something takes, not when it is: "an hour", "30 minutes"; but not "in an hour", "two hours ago". */
const duration =
  /(?<!\b(?:in|within|next|last|past)\s+)\b(half an|an?|one|two|three|four|\d+(?:\.\d+)?)(?:\s+|-)?(hour|hr|minute|min)s?\b(?!\s+(?:from|later|ago|before|after|to|past))(?:\s+long\b)?/i
const amounts: Readonly<Record<string, number>> = {
  'half an': 0.5,
  a: 1,
  an: 1,
  one: 1,
  two: 2,
  three: 3,
  four: 4,
}
const clockWords: Readonly<Record<string, number>> = {
  one: 1,
  two: 2,
  three: 3,
  four: 4,
  five: 5,
  six: 6,
  seven: 7,
  eight: 8,
  nine: 9,
  ten: 10,
  eleven: 11,
  twelve: 12,
}
const clockWord = `(${Object.keys(clockWords).join('|')}|1[0-2]|[1-9])`
const clockTime = '(\\d{1,2})(?:[:.](\\d{2}))?\\s*(am|pm)?'
/** Words of time that nothing here can read; a text with one of them left over is asked about. */
const unread = new RegExp(
  `\\b${weekday}s?\\b|(?:\\b[a-z]+\\s+)?\\b\\d{1,2}(?:st|nd|rd|th)\\b|\\b\\d{1,2}:\\d{2}\\b|\\b\\d{1,2}\\s?(?:am|pm)\\b|\\b(?:eod|eow|eom|cob)\\b`,
  'i',
)
const unreadAfterPreposition =
  /\b(?:on|at|by|before|after|until|around|for|over|in)\s+(?:the\s+)?((?:new year|christmas|xmas|easter|thanksgiving|halloween|valentine|(?:[\w']+\s+)?holidays?\b|end of\b|q[1-4]\b|(?:spring|summer|autumn|winter)\b|(?:january|february|march|april|june|july|august|september|october|november|december)\b)[\w' ]*)/i
const repeating = new RegExp(
  `\\b(?:every|each)\\s+(?:other\\s+|second\\s+|single\\s+)?(?:day|week|month|year|morning|afternoon|evening|night|weekday|weekend|${weekday})s?\\b|\\bon\\s+${weekday}s\\b|\\b(?:daily|weekly|biweekly|fortnightly|monthly|yearly|annually)\\b(?=\\s*(?:$|[.,!]|(?:at|on|from|for|until|starting)\\b))`,
  'i',
)

/** chrono-node 2.10 in casual English, with the phrases that it misreads or leaves out. */
const reader = chrono.casual.clone()
reader.parsers.unshift(
  {
    // "the 25th": the next such day.
    pattern: () =>
      /\bthe (\d{1,2})(?:st|nd|rd|th)\b(?!\s+(?:of\b|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))/i,
    extract({ refDate }, match) {
      const wanted = Number(match[1])
      for (let ahead = 0; ahead < 3; ahead += 1) {
        const forward = wanted < refDate.getDate() ? ahead + 1 : ahead
        const day = new Date(refDate.getFullYear(), refDate.getMonth() + forward, wanted)
        if (day.getDate() === wanted) {
          return { year: day.getFullYear(), month: day.getMonth() + 1, day: wanted }
        }
      }
      return null
    },
  },
  {
    // "half past four", "quarter to five"
    pattern: () => new RegExp(`\\b(?:at\\s+)?(?:a\\s+)?(half|quarter)\\s+(past|to)\\s+${clockWord}\\b`, 'i'),
    extract(_context, match) {
      const [, part = '', side = '', word = ''] = match
      const hour = clockWords[word.toLowerCase()] ?? Number(word)
      const minutes = part.toLowerCase() === 'half' ? 30 : 15
      if (side.toLowerCase() === 'past') return { hour, minute: minutes }
      return { hour: hour === 1 ? 12 : hour - 1, minute: 60 - minutes }
    },
  },
  {
    // "between 2 and 4", "monday 9-11"
    pattern: () =>
      new RegExp(
        `(?:\\b(?:between\\s+${clockTime}\\s+and)|(?<=\\b(?:${weekday}|today|tomorrow|tonight|morning|afternoon|from)\\s)${clockTime}\\s*(?:-|–|to|till|until))\\s*${clockTime}(?![\\d/:.-]|\\s*(?:st|nd|rd|th)\\b)`,
        'i',
      ),
    extract(context, match) {
      const [fromHour, fromMinute, fromHalf] = [
        match[1] ?? match[4],
        match[2] ?? match[5],
        match[3] ?? match[6],
      ]
      const [untilHour, untilMinute, untilHalf] = [match[7], match[8], match[9]]
      const start = clock(fromHour, fromMinute, fromHalf ?? startHalf(fromHour, untilHour, untilHalf))
      const end = clock(untilHour, untilMinute, untilHalf)
      if (start === null || end === null) return null
      return context.createParsingResult(match.index ?? 0, match[0], start, end)
    },
  },
)

/** "2 to 4pm": both in the afternoon; "11 to 1pm": not. */
function startHalf(from: string | undefined, until: string | undefined, half: string | undefined) {
  return half !== undefined && Number(from) % 12 < Number(until) % 12 ? half : undefined
}

function clock(hours: string | undefined, minutes: string | undefined, half: string | undefined) {
  const spoken = Number(hours)
  const minute = Number(minutes ?? 0)
  if (spoken > 24 || minute > 59 || (half !== undefined && spoken > 12)) return null
  if (half === undefined) return { hour: spoken, minute }
  const isLate = half.toLowerCase() === 'pm'
  return { hour: (spoken % 12) + (isLate ? 12 : 0), minute, meridiem: isLate ? 1 : 0 }
}

/** Something that shall happen again and again. */
export function repeats(text: string): boolean {
  return repeating.test(blanked(text))
}

/**
 * The time that a text speaks of. Where it could be another than the one that was meant, it says so: a wrong day is worse
 * than a question. An hour from 1 to 6 without "am", "morning" or a leading zero is in the afternoon.
 * @param day the day that was spoken of before, for an answer that names an hour only
 */
export function hearTime(text: string, now: Date, day?: Date): HeardTime {
  const plain = blanked(text)
  const lasting = duration.exec(plain)
  const withoutDuration =
    lasting === null ? plain : plain.replace(lasting[0], (all) => ' '.repeat(all.length))
  const found = joined(reader.parse(withoutDuration, now, { forwardDate: true }), withoutDuration)
  const spoken = found.flatMap((one) => one.words)
  const words = lasting === null ? spoken : [...spoken, lasting[0]]
  const rest = spoken.reduce((left, one) => left.replace(one, ' '), withoutDuration)
  const [first, another] = found
  if (first === undefined) {
    const period = weekSpokenOf(plain, now)
    if (period !== undefined) return period
  }
  const left = (unread.exec(rest)?.[0] ?? unreadAfterPreposition.exec(rest)?.[1])?.trim()
  if (left !== undefined) return { doubt: `I am not sure when “${left}” is.`, words }
  if (first === undefined) return { words }
  if (another !== undefined) return { doubt: severalTimes, words }
  const slashed = /\b(\d{1,2})[/.](\d{1,2})\b/.exec(first.words.join(' '))
  if (slashed && slashed[1] !== slashed[2] && Number(slashed[1]) <= 12 && Number(slashed[2]) <= 12) {
    return { doubt: `I am not sure which day “${slashed[0]}” is; name the month, please.`, words }
  }
  const time = timeOf(first, now, day)
  if (time === undefined) return { doubt: severalTimes, words }
  if (lasting === null || time.precision !== 'moment' || time.end !== undefined) return { time, words }
  const length =
    (amounts[lasting[1]?.toLowerCase() ?? ''] ?? Number(lasting[1])) *
    (/^h/i.test(lasting[2] ?? '') ? 1 : 1 / 60)
  return { time: { ...time, end: stamp(new Date(Date.parse(time.start) + length * hourMs)) }, words }
}

/** Quoted words, addresses and issue numbers tell no time. Same length, so that places stay. */
function blanked(text: string): string {
  return text.replace(/["“„«][^"“”„«»]+["”“»]|https?:\/\/\S+|#\d+/g, (all) => ' '.repeat(all.length))
}

interface Found {
  readonly results: readonly chrono.ParsedResult[]
  readonly words: readonly string[]
  /** Two days with "and" or "to" between them. */
  readonly isRange: boolean
}

/** A day here and an hour there are one time: "tomorrow I want to meet Bob at 3". */
function joined(results: readonly chrono.ParsedResult[], text: string): Found[] {
  const [first, second, third] = results
  if (first === undefined || second === undefined || third !== undefined) return results.map(alone)
  const words = [first.text, second.text]
  const kinds = [first, second].map((one) => ({ day: hasDay(one.start), hour: one.start.isCertain('hour') }))
  const [a, b] = kinds
  if (a === undefined || b === undefined) return results.map(alone)
  if (a.day && !a.hour && !b.day && b.hour) return [{ results: [first, second], words, isRange: false }]
  if (!a.day && a.hour && b.day && !b.hour) return [{ results: [second, first], words, isRange: false }]
  const between = text.slice(first.index + first.text.length, second.index)
  if (a.day && b.day && !a.hour && !b.hour && /^\s*(?:and|to|till|until|through|-|–)\s*$/i.test(between)) {
    return [{ results: [first, second], words, isRange: true }]
  }
  return results.map(alone)
}

const alone = (result: chrono.ParsedResult): Found => ({
  results: [result],
  words: [result.text],
  isRange: false,
})

function hasDay(parts: chrono.ParsedComponents): boolean {
  return parts.isCertain('day') || parts.isCertain('weekday') || parts.isCertain('month')
}

function timeOf(
  { results, words, isRange }: Found,
  now: Date,
  day: Date | undefined,
): SpokenTime | undefined {
  const [first, second] = results
  if (first === undefined) return undefined
  const text = words.join(' ')
  if (isRange && second !== undefined) {
    const from = daysOf(first, first.text)
    const until = daysOf(second, second.text)
    return until.start <= from.start ? undefined : span(from.start, until.end, 'day')
  }
  const withHour = second ?? first
  if (!withHour.start.isCertain('hour')) {
    if (first.end) return span(at(first.start.date(), 0), at(first.end.date(), 24), 'day')
    const part = partOfDay(text)
    const { start, end, precision } = daysOf(first, text)
    if (part === undefined) return span(start, end, precision)
    const from = hasDay(first.start) || day === undefined ? start : day
    return span(at(from, part[0]), at(from, part[1]), 'vague')
  }
  const start = momentOf(first, withHour, now, day)
  const { end } = withHour
  if (!end) return { start: stamp(start), end: undefined, precision: 'moment' }
  return span(start, endOf(start, end), 'moment')
}

function momentOf(
  dated: chrono.ParsedResult,
  withHour: chrono.ParsedResult,
  now: Date,
  day: Date | undefined,
): Date {
  const { start } = withHour
  // "in two hours", or an hour of another zone: an instant already.
  if (start.isCertain('timezoneOffset') || isCounted(withHour.text)) return start.date()
  const minute = start.get('minute') ?? 0
  const hour = (start.get('hour') ?? 0) + (isAfternoon(start, withHour.text) ? 12 : 0)
  if (hasDay(dated.start)) return at(dated.start.date(), hour, minute)
  if (/\b(?:today|tonight|this)\b/i.test(dated.text)) return at(now, hour, minute)
  if (day !== undefined) return at(day, hour, minute)
  const today = at(now, hour, minute)
  return today > now
    ? today
    : at(new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1), hour, minute)
}

function isCounted(words: string): boolean {
  return /\b(?:in|within|ago|later|from now)\b.*\b(?:hours?|minutes?|mins?|hrs?)\b|\b(?:hours?|minutes?|mins?|hrs?)\b.*\b(?:ago|later|from now)\b|\bnow\b/i.test(
    words,
  )
}

function isAfternoon(parts: chrono.ParsedComponents, words: string): boolean {
  const hour = parts.get('hour') ?? 0
  if (parts.isCertain('meridiem') || hour < 1 || hour > 11 || /\b0\d|T\d|\bmorning\b/i.test(words))
    return false
  return hour <= 6 || /\b(?:afternoon|evening|tonight|night)\b/i.test(words)
}

function endOf(start: Date, end: chrono.ParsedComponents): Date {
  if (hasDay(end) && end.date() > start && end.isCertain('meridiem')) return end.date()
  const sameDay = at(start, end.get('hour') ?? 0, end.get('minute') ?? 0)
  if (sameDay > start) return sameDay
  const later = new Date(sameDay.getTime() + 12 * hourMs)
  if (!end.isCertain('meridiem') && (end.get('hour') ?? 0) <= 12 && later > start) return later
  return new Date(sameDay.getTime() + 24 * hourMs)
}

function partOfDay(words: string): readonly [number, number] | undefined {
  if (/\bafternoon\b/i.test(words)) return [12, 18]
  if (/\bmorning\b/i.test(words)) return [6, 12]
  if (/\b(?:evening|tonight|night)\b/i.test(words)) return [17, 24]
  return undefined
}

/** Whole days: one, or the week, weekend, month or year that was named. */
function daysOf(
  { start: parts }: chrono.ParsedResult,
  words: string,
): { start: Date; end: Date; precision: SpokenTime['precision'] } {
  const first = at(parts.date(), 0)
  const [year, month] = [first.getFullYear(), first.getMonth()]
  if (/\bweekend\b/i.test(words)) return { start: first, end: addDays(first, 2), precision: 'day' }
  if (/\b(?:this|next|last|past|coming|the|following)\s+week\b/i.test(words)) {
    const from = monday(first)
    return { start: from, end: addDays(from, 7), precision: 'vague' }
  }
  const isMonth = parts.isCertain('month') && !parts.isCertain('day') && !parts.isCertain('weekday')
  if (isMonth || /\b(?:this|next|last|past|coming|the)\s+month\b/i.test(words)) {
    return { start: new Date(year, month, 1), end: new Date(year, month + 1, 1), precision: 'vague' }
  }
  if (/\b(?:this|next|last|past|coming)\s+year\b/i.test(words)) {
    return { start: new Date(year, 0, 1), end: new Date(year + 1, 0, 1), precision: 'vague' }
  }
  return { start: first, end: addDays(first, 1), precision: 'day' }
}

/** "my week", which chrono leaves out: what is still to come of it. */
function weekSpokenOf(text: string, now: Date): HeardTime | undefined {
  const found = /\b(?:the|my) week\b/i.exec(text)
  if (found === null) return undefined
  return { time: span(now, addDays(monday(now), 7), 'vague'), words: [found[0]] }
}

function span(start: Date, end: Date, precision: SpokenTime['precision']): SpokenTime {
  return { start: stamp(start), end: stamp(end), precision }
}

function monday(day: Date): Date {
  return addDays(at(day, 0), -((day.getDay() + 6) % 7))
}

/** By the calendar, not by 24 hours: a day is longer or shorter when clocks change. */
function addDays(day: Date, days: number): Date {
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + days)
}

function at(day: Date, hour: number, minute = 0): Date {
  return new Date(day.getFullYear(), day.getMonth(), day.getDate(), hour, minute)
}

/** RFC 3339 with the offset of this server, so that the hour is still the one that was spoken. */
function stamp(moment: Date): string {
  const offset = -moment.getTimezoneOffset()
  const local = new Date(moment.getTime() + offset * 60_000).toISOString().slice(0, 19)
  const two = (value: number) => String(Math.floor(Math.abs(value))).padStart(2, '0')
  return `${local}${offset < 0 ? '-' : '+'}${two(offset / 60)}:${two(offset % 60)}`
}
