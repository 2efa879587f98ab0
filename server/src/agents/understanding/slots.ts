import * as chrono from 'chrono-node'
import type { ToolSlot } from '#agents/tools/tool.ts'

type Values = Record<string, string>

const quoted = /["“„«]([^"“”„«»]+)["”“»]/
const repository = /(?<![\w/.-])([\w.-]+\/[\w.-]*[\w-])(?![\w/])/
const issueNumber = /#(\d+)\b|\b(?:issues?|tickets?|bugs?|numbers?|no\.?)\s+(?:number\s+)?#?(\d+)\b/i
/** "called X", "titled X", "named X", "with the title X", "create an issue: X" */
const named = /\b(?:called|titled|named|entitled|with (?:the )?(?:title|name))[:\s]+(.+)$/is
/** "saying X", "that says X", "with the comment X", "comment on issue 12: X" */
const said =
  /\b(?:saying(?: that)?|that says|with (?:the )?(?:comment|note|text|words|body|description)|telling (?:them|him|her))[:\s]+(.+)$/is
const afterColon = /^[^:"“]{3,60}:\s+(.+)$/s
const aboutWhat =
  /\b(?:issue|bug|ticket|event|meeting|appointment|call|reminder|entry|block)\b.*?\s(?:about|for|to|that|regarding|because)\s+(.+)$/is
/** What a command begins with before it comes to the point. */
const opening =
  /^(?:please\s+|can you\s+|could you\s+|i want to\s+|i need to\s+|let'?s\s+)*(?:create|open|file|make|report|add|raise|log|write|schedule|book|put|set up|plan|arrange|block|remind me(?: in the calendar)?|new|start|comment on|reply to|respond to|answer|leave|post)\s+(?:to\s+)?(?:me\s+)?(?:an?\s+|the\s+|my\s+|one\s+)?(?:new\s+)?(?:github\s+|google\s+)?(?:calendar\s+)?(?:issue|bug|ticket|event|meeting|appointment|reminder|entry|comment|note)?\b\s*(?:in (?:my|the) calendar\s*)?/i
/** Ends of a title that belong to something else. */
const tail =
  /\s+(?:(?:in|on|to|for|of)\s+(?:the\s+)?(?:repo(?:sitory)?\s+)?[\w.-]+\/[\w.-]+|(?:in|on|to)\s+(?:github|my calendar|the calendar|google))\s*$/i

/** Everything of a tool's slots that stands in the text. */
export function fillSlots(text: string, slots: readonly ToolSlot[], now: Date): Values {
  const values: Values = {}
  const times = slots.some(({ kind }) => kind === 'start' || kind === 'end') ? spanIn(text, now) : undefined
  for (const slot of slots) {
    const value = valueIn(text, slot, slots, times)
    if (value !== undefined) values[slot.name] = value
  }
  return values
}

/** The text as the answer to a question for one slot; undefined where it cannot be read as that. */
export function fillSlot(text: string, slot: ToolSlot, now: Date): Values | undefined {
  const trimmed = text.trim()
  switch (slot.kind) {
    case 'text':
      return { [slot.name]: line(named.exec(trimmed)?.[1] ?? quoted.exec(trimmed)?.[1] ?? trimmed) }
    case 'prose':
      return { [slot.name]: quoted.exec(trimmed)?.[1] ?? trimmed }
    case 'number': {
      const digits = /\d+/.exec(trimmed)?.[0]
      return digits === undefined ? undefined : { [slot.name]: digits }
    }
    case 'repository': {
      const found = repository.exec(trimmed)?.[1] ?? /^[\w.-]+$/.exec(trimmed)?.[0]
      return found === undefined ? undefined : { [slot.name]: found }
    }
    case 'start':
    case 'end': {
      const span = spanIn(trimmed, now)
      const instant = slot.kind === 'start' ? span?.start : (span?.end ?? span?.start)
      return instant === undefined ? undefined : { [slot.name]: instant }
    }
  }
}

/** The text without the parts that are somebody's own words, in which "and then" means nothing. */
export function withoutValues(text: string): string {
  return text
    .replace(quoted, ' ')
    .replace(named, ' ')
    .replace(said, ' ')
    .replace(afterColon, (whole) => whole.split(':')[0] ?? '')
}

function valueIn(
  text: string,
  slot: ToolSlot,
  slots: readonly ToolSlot[],
  times: Span | undefined,
): string | undefined {
  switch (slot.kind) {
    case 'repository':
      return repository.exec(text.replace(/https?:\/\/\S+/g, ' '))?.[1]
    case 'number': {
      const found = issueNumber.exec(text)
      return found?.[1] ?? found?.[2]
    }
    case 'start':
      return times?.start
    case 'end':
      return times?.end
    case 'text':
      return titleIn(text, times)
    case 'prose':
      return slots.some(({ kind }) => kind === 'text') ? described(text) : wordsIn(text)
  }
}

/** A title: in quotes, after "called", after a colon, or what is left when the command is taken away. */
function titleIn(text: string, times: Span | undefined): string | undefined {
  const inQuotes = quoted.exec(text)?.[1]
  if (inQuotes !== undefined) return line(inQuotes)
  const plain = text.replace(said, '').trim()
  const explicit = named.exec(plain)?.[1] ?? afterColon.exec(plain)?.[1]
  const rest = explicit ?? aboutWhat.exec(plain)?.[1] ?? afterOpening(plain)
  if (rest === undefined) return undefined
  const title = line(cutTimes(rest, times).replace(tail, '')).replace(
    /^(?:that|about|to|for|on|of|with)\s+/i,
    (word) => (/^with/i.test(word) ? word : ''),
  )
  return title.length < 2 ? undefined : title.charAt(0).toUpperCase() + title.slice(1)
}

function afterOpening(text: string): string | undefined {
  const found = opening.exec(text)
  const rest = found === null ? '' : text.slice(found[0].length).trim()
  return rest === '' ? undefined : rest
}

/** A body given besides a title. */
function described(text: string): string | undefined {
  return said.exec(text)?.[1]?.trim()
}

/** Words to be passed on: in quotes, after "saying", after a colon, or after the issue's number. */
function wordsIn(text: string): string | undefined {
  const found =
    quoted.exec(text)?.[1] ??
    said.exec(text)?.[1] ??
    afterColon.exec(text)?.[1] ??
    /(?:#\d+|\b(?:issue|ticket|bug)\s+(?:number\s+)?#?\d+)(?:\s+(?:in|of)\s+[\w.-]+\/[\w.-]+)?\s+(?:that|with|:)?\s*(.+)$/is.exec(
      text,
    )?.[1]
  return found?.trim() || undefined
}

interface Span {
  readonly start: string
  readonly end: string | undefined
  /** Where the words of time stand. */
  readonly places: readonly { readonly from: number; readonly to: number; readonly words: string }[]
}

const dayMs = 86_400_000

/** The first time or period that is spoken of. A day without an hour is the whole day; an hour has no end. */
function spanIn(text: string, now: Date): Span | undefined {
  const found = chrono.parse(
    text.replace(/#\d+/g, (digits) => ' '.repeat(digits.length)),
    now,
    { forwardDate: true },
  )
  const [first] = found
  if (first === undefined) return spokenPeriod(text, now)
  const places = found.map(({ index, text: words }) => ({ from: index, to: index + words.length, words }))
  const start = first.start.date()
  if (first.end) return { start: stamp(start), end: stamp(first.end.date()), places }
  if (first.start.isCertain('hour')) return { start: stamp(start), end: undefined, places }
  if (/\bafternoon\b/i.test(first.text))
    return { start: stamp(at(start, 12)), end: stamp(at(start, 18)), places }
  if (/\bmorning\b/i.test(first.text))
    return { start: stamp(at(start, 6)), end: stamp(at(start, 12)), places }
  if (/\b(evening|tonight|night)\b/i.test(first.text))
    return { start: stamp(at(start, 17)), end: stamp(at(start, 24)), places }
  const days = /\bweek\b/i.test(first.text) ? 7 : 1
  const from = days === 7 ? monday(start) : at(start, 0)
  return { start: stamp(from), end: stamp(new Date(from.getTime() + days * dayMs)), places }
}

function spokenPeriod(text: string, now: Date): Span | undefined {
  const found = /\b(?:this|the) week\b/i.exec(text)
  if (found === null) return undefined
  const end = new Date(monday(now).getTime() + 7 * dayMs)
  return {
    start: stamp(now),
    end: stamp(end),
    places: [{ from: found.index, to: found.index + found[0].length, words: found[0] }],
  }
}

function monday(day: Date): Date {
  const start = at(day, 0)
  start.setDate(start.getDate() - ((start.getDay() + 6) % 7))
  return start
}

function at(day: Date, hour: number): Date {
  const moment = new Date(day)
  moment.setHours(hour, 0, 0, 0)
  return moment
}

/** RFC 3339 with the offset of this server, so that the hour is still the one that was spoken. */
function stamp(moment: Date): string {
  const offset = -moment.getTimezoneOffset()
  const local = new Date(moment.getTime() + offset * 60_000).toISOString().slice(0, 19)
  const two = (value: number) => String(Math.floor(Math.abs(value))).padStart(2, '0')
  return `${local}${offset < 0 ? '-' : '+'}${two(offset / 60)}:${two(offset % 60)}`
}

function cutTimes(text: string, times: Span | undefined): string {
  let rest = text
  for (const { words } of times?.places ?? []) rest = rest.replace(words, ' ')
  return rest
    .replace(/\s+(?:on|at|from|until|by|in)\s*$/i, '')
    .replace(/\s+(?:on|at|from)\s+(?=(?:for|to|with|about)\b)/gi, ' ')
}

/** One line, without the punctuation around it. */
function line(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/^[:\-–\s"“„]+|["”\s.]+$/g, '')
}
