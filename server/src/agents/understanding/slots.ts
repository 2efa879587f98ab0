import type { ToolSlot } from '#agents/tools/tool.ts'
import { type HeardTime, hearTime, severalTimes } from './spoken-time.ts'

type Values = Record<string, string>

const quoted = /["“„«]([^"“”„«»]+)["”“»]|(?<![\w])'([^'\n]{2,})'(?!\w)/
/** A word of letters somewhere in its owner: "24/7" is none. */
const repository = /(?<![\w/.-])((?=[\d._-]*[a-z])[\w.-]+\/[\w.-]*[\w-])(?![\w/])/i
const place = '\\b(?:in|on|of|to|for|from|under|at)\\s+(?:the\\s+|my\\s+)?'
/** "in octo/app", "octo/app#15": what is named as a place, not just mentioned. */
const repositoryAsPlace = new RegExp(
  `(?:${place}(?:(?:github\\s+)?repo(?:sitory)?\\s+)?)${repository.source}|${repository.source}(?=#\\d)`,
  'i',
)
/** "in the repo widget", "in the widget repository" */
const repositoryByName = new RegExp(
  `${place}repo(?:sitory)?\\s+(?:called\\s+|named\\s+)?([\\w.-]*[\\w-])|${place}([\\w.-]*[\\w-])\\s+repo(?:sitory)?\\b`,
  'i',
)
const address = /https:\/\/github\.com\/([\w.-]+\/[\w.-]*[\w-])(?:\/issues\/(\d+))?/i
const issueNumber =
  /#(\d+)\b|\b(?:issues?|tickets?|bugs?|numbers?|no\.?|close|resolve|reply to|comment on)\s+(?:number\s+)?#?(\d+)\b/i
/** "called X", "titled X", "named X", "with the title X" */
const named =
  /(?<!\brepo(?:sitory)?\s+)\b(?:called|titled|named|entitled|with (?:the |a )?(?:title|name)(?: of)?)[:\s]+(.+)$/is
/** "called" before words in quotes, which end where the quotes do. */
const quotedName =
  /\b(?:called|titled|named|entitled|with (?:the |a )?(?:title|name)(?: of)?)[:\s]+(?=["“„«'])/gi
/** "saying X", "that says X", "with the comment X" */
const said =
  /\b(?:saying(?: that)?|that says|(?:with|and) (?:the |a )?(?:comment|note|text|words|body|description)(?: of)?|telling (?:them|him|her))[:\s]+(.+)$/is
const afterColon = /^[^:"“]{3,60}:\s+(.+)$/s
/** "say thanks on issue 4" */
const wordsBeforePlace =
  /^(?:please\s+)?(?:comment|say|reply|write|answer)\s+(.+?)\s+(?:on|to|under|in)\s+(?:the\s+)?(?:github\s+)?(?:issue|ticket|bug|#\d)/is
const aboutWhat =
  /\b(?:issue|bug|ticket|event|meeting|appointment|call|reminder|entry|block)\b.*?\s(?:about|for|to|that|regarding|because)\s+(.+)$/is
/** What a command begins with before it comes to the point. */
const opening =
  /^(?:please\s+|can you\s+|could you\s+|i want to\s+|i need to\s+|let'?s\s+)*(?:create|open|file|make|report|add|raise|log|write|schedule|book|put|set up|plan|arrange|block|remind me(?: in the calendar)?|new|start|comment on|reply to|respond to|answer|leave|post)\s+(?:to\s+)?(?:me\s+)?(?:an?\s+|the\s+|my\s+|one\s+)?(?:new\s+)?(?:github\s+|google\s+)?(?:calendar\s+)?(issue|bug|ticket|event|meeting|appointment|reminder|entry|comment|note)?\b\s*(?:in (?:my|the) calendar\s*)?/i
/** Ends of a title that belong to something else. */
const tail =
  /\s+(?:(?:in|on|to|for|of)\s+(?:the\s+)?(?:repo(?:sitory)?\s+)?[\w.-]+\/[\w.-]+|(?:in|on|to)\s+(?:github|my calendar|the calendar|google))\s*$/i

/** Where a command is looked for; what comes later can only be prose that it passes on. */
export function commandPart(text: string): string {
  return text.slice(0, 2_000)
}

/** Of each: as much as tells what is wanted. */
const [longestWish, longestValue] = [120, 40]

/**
 * What the classifier reads. What is wanted stands at the beginning, and a long comment or title that is only to be passed on
 * would drown it; and the embedding of a sentence costs what its length is.
 */
export function tellingPart(text: string): string {
  const command = commandPart(text)
  const ends = [named, said, afterColon].flatMap((pattern) => {
    const found = pattern.exec(command)
    return found ? [found.index + found[0].length - (found[1]?.length ?? 0) + longestValue] : []
  })
  return command.slice(0, Math.min(longestWish, ...ends))
}

/** What a text says of a tool's slots. */
export interface Filled {
  readonly values: Values
  /** Slots that the text speaks of without saying enough: a sentence each that says why, for the question that follows. */
  readonly doubts: Readonly<Values>
  /** The day of a doubtful time, RFC 3339, where that much was said: "monday morning". */
  readonly day?: string
}

/** Everything of a tool's slots that stands in the text. A value that could be another than the one meant is a doubt. */
export function fillSlots(text: string, slots: readonly ToolSlot[], now: Date): Filled {
  const command = commandPart(text)
  const isTimed = slots.some(isTime)
  const heard = isTimed ? timeIn(command, now) : { words: [] }
  const values: Values = {}
  for (const slot of slots) {
    const value = isTime(slot)
      ? undefined
      : valueIn(slot.kind === 'prose' ? text : command, slot, slots, heard)
    if (value !== undefined) values[slot.name] = value
  }
  return isTimed ? withTime(values, slots, heard) : { values, doubts: {} }
}

/**
 * The text as the answer to a question for one slot; no value where it cannot be read as that.
 * @param day the day that the question is about, RFC 3339
 */
export function fillSlot(
  text: string,
  slot: ToolSlot,
  slots: readonly ToolSlot[],
  now: Date,
  day?: string,
): Filled {
  if (isTime(slot)) {
    const heard = hearTime(commandPart(text), now, day === undefined ? undefined : new Date(day))
    if (slot.kind === 'start') return withTime({}, slots, heard)
    const instant = heard.time?.end ?? heard.time?.start
    return {
      values: instant === undefined ? {} : { [slot.name]: instant },
      doubts: doubtOf(slot, heard.doubt),
    }
  }
  const value = answerIn(slot.kind === 'prose' ? text.trim() : commandPart(text.trim()), slot)
  return { values: value === undefined || value === '' ? {} : { [slot.name]: value }, doubts: {} }
}

function answerIn(text: string, slot: ToolSlot): string | undefined {
  switch (slot.kind) {
    case 'text':
      return fitting(line(named.exec(text)?.[1] ?? quotedIn(text) ?? text))
    case 'prose':
      return quotedIn(text) ?? text
    case 'number':
      return /\d+/.exec(text)?.[0]
    case 'repository':
      return address.exec(text)?.[1] ?? repository.exec(text)?.[1] ?? /^[\w.-]+$/.exec(text)?.[0]
    case 'start':
    case 'end':
      return undefined
  }
}

const isTime = ({ kind }: ToolSlot) => kind === 'start' || kind === 'end'

const doubtOf = (slot: ToolSlot, doubt: string | undefined) =>
  doubt === undefined ? {} : { [slot.name]: doubt }

/** An event needs an hour or whole days; a look into the calendar takes any period. */
function withTime(values: Values, slots: readonly ToolSlot[], { time, doubt }: HeardTime): Filled {
  const start = slots.find(({ kind }) => kind === 'start')
  const end = slots.find(({ kind }) => kind === 'end')
  if (start === undefined || time === undefined || doubt !== undefined) {
    return { values, doubts: start === undefined ? {} : doubtOf(start, doubt) }
  }
  if (start.required && time.precision === 'vague') {
    const isOneDay = time.end?.slice(0, 10) === time.start.slice(0, 10) || /T17:/.test(time.start)
    return {
      values,
      doubts: { [start.name]: isOneDay ? 'I need the hour, too.' : 'I need the day and the hour.' },
      ...(isOneDay && { day: time.start }),
    }
  }
  const ending = end !== undefined && time.end !== undefined ? { [end.name]: time.end } : {}
  return { values: { ...values, [start.name]: time.start, ...ending }, doubts: {} }
}

/** In "called Friday retro on monday at 3" the first day is part of the name, so the time is what is said after it. */
function timeIn(text: string, now: Date): HeardTime {
  const heard = hearTime(text, now)
  const name = quoted.test(text) ? undefined : named.exec(text)?.[1]
  if (heard.doubt !== severalTimes || name === undefined) return heard
  for (const { index } of name.matchAll(/\s(?=(?:on|at|from|for|today|tomorrow|next|this)\s)/gi)) {
    const later = hearTime(name.slice(index), now)
    if (later.words.length > 0) return later
  }
  return heard
}

/** The text without the parts that are somebody's own words, in which "and then" means nothing. */
export function withoutValues(text: string): string {
  return text
    .replace(quotedName, ' ')
    .replace(quoted, ' ')
    .replace(named, ' ')
    .replace(said, ' ')
    .replace(afterColon, (whole) => whole.split(':')[0] ?? '')
}

/** An issue, by its number. */
export function namesNumber(text: string): boolean {
  return issueNumber.test(text)
}

function valueIn(
  text: string,
  slot: ToolSlot,
  slots: readonly ToolSlot[],
  heard: HeardTime,
): string | undefined {
  switch (slot.kind) {
    case 'repository':
      return repositoryIn(text, slots)
    case 'number': {
      const found = issueNumber.exec(text)
      return found?.[1] ?? found?.[2] ?? address.exec(text)?.[2]
    }
    case 'text':
      return titleIn(text, heard.words)
    case 'prose':
      return slots.some(({ kind }) => kind === 'text') ? described(text) : wordsIn(text)
    case 'start':
    case 'end':
      return undefined
  }
}

/** Where words are passed on, a name among them is no place: "create an issue called Add and/or filters". */
function repositoryIn(text: string, slots: readonly ToolSlot[]): string | undefined {
  const command = withoutValues(text)
  const found =
    address.exec(command)?.[1] ??
    firstGroup(repositoryAsPlace.exec(command)) ??
    firstGroup(new RegExp(`(?:${repositoryAsPlace.source})\\s*[.!?]?\\s*$`, 'i').exec(text)) ??
    firstGroup(repositoryByName.exec(command))
  if (found !== undefined) return found
  const isPassingOn = slots.some(({ kind }) => kind === 'text' || kind === 'prose')
  return isPassingOn ? undefined : repository.exec(command)?.[1]
}

const firstGroup = (found: RegExpExecArray | null) => found?.slice(1).find((group) => group !== undefined)

/** A title: in quotes, after "called", after a colon, or what is left when the command and the time are taken away. */
function titleIn(text: string, timeWords: readonly string[]): string | undefined {
  const [first = ''] = text.replace(said, '').trim().split('\n')
  const plain = withoutTimes(first, timeWords)
  const explicit = named.exec(plain)?.[1] ?? afterColon.exec(plain)?.[1]
  const inQuotes = quotedIn(explicit === undefined ? text : (/^\s*["“„«'].*/s.exec(explicit)?.[0] ?? ''))
  if (inQuotes !== undefined) return fitting(line(inQuotes))
  const rest = explicit ?? aboutWhat.exec(plain)?.[1] ?? afterOpening(plain)
  if (rest === undefined) return undefined
  const cut = line(withoutTail(rest))
  const title = cut.replace(/^(?:that|about|to|for|on|of)\s+/i, '')
  if (title.length < 2 || (explicit === undefined && isTimeTalk.test(title))) return undefined
  return fitting(/^\w+:\/\//.test(title) ? title : title.charAt(0).toUpperCase() + title.slice(1))
}

function quotedIn(text: string): string | undefined {
  const found = quoted.exec(text)
  return found?.[1] ?? found?.[2]
}

/** Longer ones are no titles; GitHub ends them at 256 characters. */
const longestTitle = 250
const fitting = (title: string) => (title.length > longestTitle ? undefined : title)

/** What is left of words about a time that could not be read; it is nobody's title. */
const isTimeTalk =
  /^(?:(?:at|by|in|from|until|every|each|next|around|or|on)\b|(?:the )?\d{1,2}(?::\d\d|\s?(?:am|pm)|st|nd|rd|th)\b|(?:january|february|march|april|june|july|august|september|october|november|december)\b)|^(?:end of|eod\b)/i

function withoutTail(text: string): string {
  let rest = text
  for (;;) {
    const shorter = rest.replace(tail, '').replace(/\s+(?:on|at|from|until|by|in|for|every|each)\s*$/i, '')
    if (shorter === rest) return rest
    rest = shorter
  }
}

function afterOpening(text: string): string | undefined {
  const found = opening.exec(text)
  const rest = found === null ? '' : text.slice(found[0].length).trim()
  if (rest === '') return undefined
  // "a meeting with Ann" is called that; "with Ann" is not.
  return /^with\b/i.test(rest) && found?.[1] !== undefined ? `${found[1]} ${rest}` : rest
}

/** A body given besides a title: after "saying", or below the first line. */
function described(text: string): string | undefined {
  const below = text.indexOf('\n')
  return said.exec(text)?.[1]?.trim() ?? ((below === -1 ? '' : text.slice(below).trim()) || undefined)
}

/** Words to be passed on: in quotes, after "saying", after a colon, or after the issue's number. */
function wordsIn(text: string): string | undefined {
  const found =
    quotedIn(text) ??
    said.exec(text)?.[1] ??
    afterColon.exec(text)?.[1] ??
    /(?:#\d+|\b(?:issue|ticket|bug)\s+(?:number\s+)?#?\d+)(?:\s+(?:in|of)\s+[\w.-]+\/[\w.-]+)?\s+(?:that|with|:)?\s*(.+)$/is.exec(
      text,
    )?.[1] ??
    wordsBeforePlace.exec(text)?.[1]
  return found?.trim() || undefined
}

function withoutTimes(text: string, timeWords: readonly string[]): string {
  let rest = text
  for (const words of timeWords) rest = rest.replace(words, ' ')
  return rest
    .replace(/ {2,}/g, ' ')
    .replace(/^ | $/g, '')
    .replace(/\s+(?:on|at|from)\s+(?=(?:for|to|with|about)\b)/gi, ' ')
}

/** One line, without the punctuation around it. */
function line(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/^[:\-–\s]+|[\s.]+$/g, '')
    .replace(/^["“„«]([^"“”„«»]*)["”“»]$/, '$1')
}
