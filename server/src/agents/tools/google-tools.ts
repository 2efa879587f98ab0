import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { ask, judge, line, send, webAddress } from './provider-answer.ts'
import { defineTool, type ProviderAccount, type Tool, ToolUncertain } from './tool.ts'

// Google Calendar API v3: https://developers.google.com/workspace/calendar/api/v3/reference/events

const provider = 'google'
const writeScopes = [
  'https://www.googleapis.com/auth/calendar.events',
  'https://www.googleapis.com/auth/calendar',
] as const
const readScopes = [
  ...writeScopes,
  'https://www.googleapis.com/auth/calendar.events.readonly',
  'https://www.googleapis.com/auth/calendar.readonly',
] as const
const rowsShown = 10
const pageSize = 50
const hour = 3_600_000
const day = 24 * hour
const calendar = '/calendar/v3/calendars/primary/events'

const closed = { additionalProperties: false }
const Instant = Type.String({ format: 'date-time', description: 'RFC 3339 with offset' })

const EventTime = Type.Object({ dateTime: Type.Optional(Type.String()), date: Type.Optional(Type.String()) })
const CalendarEvent = Type.Object({
  id: Type.String(),
  status: Type.Optional(Type.String()),
  summary: Type.Optional(Type.String()),
  location: Type.Optional(Type.String()),
  htmlLink: Type.Optional(Type.String()),
  start: Type.Optional(EventTime),
  end: Type.Optional(EventTime),
})
type CalendarEvent = Static<typeof CalendarEvent>
const EventList = Type.Object({
  items: Type.Optional(Type.Array(CalendarEvent)),
  nextPageToken: Type.Optional(Type.String()),
})

/** RFC 3339 keeps the wall clock and its offset apart from the instant; both are what a person means by "at three". */
const parts = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/i
const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const

function spoken(dateTime: string): string {
  const match = parts.exec(dateTime)
  if (!match) return line(dateTime, 40)
  const [, date = '', time = ''] = match
  return `${weekdays[new Date(`${date}T00:00:00Z`).getUTCDay()]} ${date}, ${time}`
}

function whenOf(event: CalendarEvent): string {
  if (event.start?.date !== undefined) {
    const weekday = weekdays[new Date(`${event.start.date}T00:00:00Z`).getUTCDay()] ?? ''
    return `${weekday} ${line(event.start.date, 20)}, all day`
  }
  const from = spoken(event.start?.dateTime ?? '')
  const until = parts.exec(event.end?.dateTime ?? '')?.[2]
  return until === undefined ? from : `${from}–${until}`
}

function isMidnight(dateTime: string): boolean {
  return parts.exec(dateTime)?.[2] === '00:00'
}

/** Both ends at midnight of one clock: whole days, which Google keeps as dates (the end is the day after the last). */
function spanOf(args: { start: string; end?: string | undefined }) {
  if (args.end !== undefined && isMidnight(args.start) && isMidnight(args.end) && args.end > args.start)
    return { start: { date: args.start.slice(0, 10) }, end: { date: args.end.slice(0, 10) } }
  return { start: { dateTime: args.start }, end: { dateTime: args.end ?? later(args.start, hour) } }
}

/** The instant `ms` later, on the same clock. */
function later(dateTime: string, ms: number): string {
  const offset = parts.exec(dateTime)?.[3]?.toUpperCase() ?? 'Z'
  const sign = offset.startsWith('-') ? -1 : 1
  const shift =
    offset === 'Z' ? 0 : sign * (Number(offset.slice(1, 3)) * hour + Number(offset.slice(4, 6)) * 60_000)
  const local = new Date(Date.parse(dateTime) + ms + shift).toISOString().slice(0, 19)
  return `${local}${offset}`
}

const listEvents = defineTool({
  name: 'google_list_events',
  title: 'List calendar events',
  description:
    'Lists events of the person’s primary calendar between two instants; the next seven days where none are given.',
  effect: 'read',
  provider,
  scopes: readScopes,
  input: Type.Object({ start: Type.Optional(Instant), end: Type.Optional(Instant) }, closed),
  slots: [
    { name: 'start', label: 'From', kind: 'start', required: false, question: 'From when?' },
    { name: 'end', label: 'Until', kind: 'end', required: false, question: 'Until when?' },
  ],
  examples: [
    "what's on my calendar tomorrow",
    'what is on tomorrow',
    'show my calendar for next week',
    'do I have any meetings today',
    'list my appointments on friday',
    'what does my day look like',
    'when is my next meeting',
    'am I free tomorrow afternoon',
    'my agenda for monday please',
    'which events do I have this week',
    'what am I doing on the 25th',
    'show upcoming events',
  ],
  sentence: (args) =>
    args.start === undefined ? 'List your coming events' : `List your events from ${spoken(args.start)}`,
  async call(account, args) {
    const from = args.start ?? account.now.toISOString()
    const until = args.end ?? later(from, args.start === undefined ? 7 * day : day)
    const query = new URLSearchParams({
      timeMin: from,
      timeMax: until,
      singleEvents: 'true',
      orderBy: 'startTime',
      maxResults: String(pageSize),
    })
    const { value } = await ask(
      account,
      'Google',
      { method: 'GET', path: `${calendar}?${query}` },
      EventList,
      'your calendar',
    )
    const events = (value.items ?? []).filter((event) => event.status !== 'cancelled')
    return { events, complete: value.nextPageToken === undefined, from, until }
  },
  present({ events, complete, from, until }) {
    const { length } = events
    const span = `between ${spoken(from)} and ${spoken(until)}`
    return {
      summary:
        length === 0
          ? `Nothing in your calendar ${span}`
          : `${complete ? '' : 'More than '}${length} ${length === 1 ? 'event' : 'events'} ${span}`,
      rows: events.slice(0, rowsShown).map((event) => {
        const url = webAddress(event.htmlLink)
        return {
          title: line(event.summary ?? '(no title)'),
          detail: `${whenOf(event)}${event.location ? `, ${line(event.location, 80)}` : ''}`,
          ...(url !== undefined && { url }),
        }
      }),
      ...(complete && { total: length }),
    }
  },
})

const createEvent = defineTool({
  name: 'google_create_event',
  title: 'Create a calendar event',
  description:
    'Creates an event in the person’s primary calendar. Without an end it takes one hour; from midnight to midnight it takes whole days.',
  effect: 'idempotent',
  provider,
  scopes: writeScopes,
  input: Type.Object(
    {
      title: Type.String({ minLength: 1, maxLength: 500, pattern: '\\S' }),
      start: Instant,
      end: Type.Optional(Instant),
    },
    closed,
  ),
  slots: [
    {
      name: 'title',
      label: 'Title',
      kind: 'text',
      required: true,
      question: 'What should the event be called?',
    },
    { name: 'start', label: 'Starts', kind: 'start', required: true, question: 'When does it start?' },
    { name: 'end', label: 'Ends', kind: 'end', required: false, question: 'When does it end?' },
  ],
  examples: [
    'create an event called Lunch with Ann tomorrow at 12',
    'schedule a meeting on friday at 3pm',
    'put "Dentist" in my calendar on tuesday 9 to 10',
    'add an appointment tomorrow at 4',
    'book an hour on monday morning for planning',
    'new calendar event: team dinner on thursday at 19:00',
    'block tomorrow 2pm to 4pm for focus time',
    'set up a call with Bob next wednesday at 10',
    'plan a review meeting for the 28th at 11',
    'remind me in the calendar to pay rent on december 1st',
    'make an event',
    'arrange a sync on thursday afternoon at 2',
  ],
  sentence: (args) => `Create the event “${line(args.title, 80)}” on ${spoken(args.start)}`,
  prepare: async (_account, args) => {
    if (args.end === undefined || Date.parse(args.end) > Date.parse(args.start))
      return { args: { ...args, end: args.end ?? later(args.start, hour) } }
    return {
      ask: { slot: 'end', question: 'It would end before it starts. When does it end?', suggestions: [] },
    }
  },
  async call(account, args, key) {
    // Lower-case base32hex, 5 to 1024 characters (events.insert, `id`): the digits of a UUID are that already. With an id of
    // our own, a repetition is answered with 409 and nothing happens twice.
    const id = key.replaceAll('-', '').toLowerCase()
    const request = {
      method: 'POST',
      path: calendar,
      body: { id, summary: args.title, ...spanOf(args) },
    } as const
    const answer = await send(account, 'Google', request)
    if (answer.status === 409) return readEvent(account, id)
    judge(account, 'Google', request, answer, 'your calendar')
    if (!Value.Check(CalendarEvent, answer.body))
      throw new ToolUncertain('Google gave an answer that Atom cannot read.')
    return answer.body
  },
  present(event) {
    const title = line(event.summary ?? '')
    const url = webAddress(event.htmlLink)
    return {
      summary: `Created the event “${title}” on ${whenOf(event)}`,
      ...(url !== undefined && { link: { title, url } }),
    }
  },
})

async function readEvent(account: ProviderAccount, id: string): Promise<CalendarEvent> {
  const { value } = await ask(
    account,
    'Google',
    { method: 'GET', path: `${calendar}/${id}` },
    CalendarEvent,
    'the event',
  )
  return value
}

/** What Atom can do on Google. */
export const googleTools: readonly Tool[] = [listEvents, createEvent]
