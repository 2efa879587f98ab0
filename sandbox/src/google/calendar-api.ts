import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationServer } from '../authorization-server.ts'
import { type Person, personByKey } from '../people.ts'
import type { RateLimits } from '../rate-limits.ts'
import { bearerOf, objectOf, paramOf } from '../request-parts.ts'
import { inZone } from '../wall-clock.ts'
import {
  type Attendee,
  type CalendarData,
  type CalendarEvent,
  type EventFields,
  type EventTime,
  moment,
} from './calendar-data.ts'
import { googleAnswer, googleProblem } from './google-answers.ts'

interface Call {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly person: Person
  readonly query: URLSearchParams
}

const auth = 'https://www.googleapis.com/auth/'
const readsLists = ['calendar', 'calendar.readonly', 'calendar.calendarlist.readonly']
const readsEvents = ['calendar', 'calendar.readonly', 'calendar.events', 'calendar.events.readonly']
const writesEvents = ['calendar', 'calendar.events']

/**
 * A slice of the Calendar API v3 (https://developers.google.com/workspace/calendar/api/v3/reference): the calendar list and
 * the events of the primary calendar. Every event stands alone: there are no recurrences.
 */
export function calendarApi(
  app: FastifyInstance,
  dependencies: { server: AuthorizationServer; data: CalendarData; limits: RateLimits; url: () => string },
): void {
  const { server, data, limits } = dependencies

  const door = (scopes: readonly string[], handler: (call: Call) => FastifyReply) => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const token = bearerOf(request)
      const owner = token === undefined ? undefined : await server.owner(token)
      if (owner === undefined) {
        reply.header('www-authenticate', 'Bearer realm="https://accounts.google.com/", error="invalid_token"')
        const message =
          token === undefined
            ? 'Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.'
            : 'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.'
        return googleProblem(reply, 401, 'authError', message, {
          status: 'UNAUTHENTICATED',
          location: 'Authorization',
          locationType: 'header',
        })
      }
      if (limits.take('google', token ?? '', 'core', true).exceeded) {
        return googleProblem(reply, 403, 'rateLimitExceeded', 'Rate Limit Exceeded')
      }
      if (!scopes.some((scope) => owner.scopes.includes(`${auth}${scope}`))) {
        const message = 'Request had insufficient authentication scopes.'
        return googleProblem(reply, 403, 'insufficientPermissions', message, { status: 'PERMISSION_DENIED' })
      }
      const query = new URL(request.url, dependencies.url()).searchParams
      return handler({ request, reply, person: owner.person, query })
    }
  }
  const onCalendar =
    (handler: (call: Call) => FastifyReply) =>
    (call: Call): FastifyReply => {
      const id = paramOf(call.request, 'calendar')
      return id === 'primary' || id.toLowerCase() === call.person.email
        ? handler(call)
        : googleProblem(call.reply, 404, 'notFound', 'Not Found')
    }
  const onEvent = (handler: (call: Call, event: CalendarEvent) => FastifyReply) =>
    onCalendar((call) => {
      const event = data.event(call.person.key, paramOf(call.request, 'event'))
      return event === undefined
        ? googleProblem(call.reply, 404, 'notFound', 'Not Found')
        : handler(call, event)
    })
  const view = (event: CalendarEvent) => eventView(event, dependencies.url())

  const calendar = '/google/calendar/v3'
  const events = `${calendar}/calendars/:calendar/events`

  app.get(
    `${calendar}/users/me/calendarList`,
    door(readsLists, ({ reply, person }) =>
      googleAnswer(reply, {
        kind: 'calendar#calendarList',
        etag: etag(person.key),
        items: [calendarListEntry(person, data.timeZone)],
      }),
    ),
  )
  app.get(
    `${calendar}/calendars/:calendar`,
    door(
      readsLists,
      onCalendar(({ reply, person }) =>
        googleAnswer(reply, {
          kind: 'calendar#calendar',
          etag: etag(person.key),
          id: person.email,
          summary: person.email,
          timeZone: data.timeZone,
        }),
      ),
    ),
  )

  app.get(
    events,
    door(
      readsEvents,
      onCalendar(({ reply, person, query }) => {
        const wrong = wrongQuery(query)
        if (wrong !== undefined) return googleProblem(reply, 400, wrong[0], wrong[1])
        const chosen = selected(data.eventsOf(person.key), query)
        const size = Math.min(2500, Number(query.get('maxResults') ?? 250))
        const from = Number(Buffer.from(query.get('pageToken') ?? '', 'base64url').toString() || 0)
        const page = chosen.slice(from, from + size)
        return googleAnswer(reply, {
          kind: 'calendar#events',
          etag: etag(`${person.key}${chosen.length}`),
          summary: person.email,
          description: '',
          updated:
            chosen
              .map(({ updated }) => updated)
              .sort()
              .at(-1) ?? new Date(0).toISOString(),
          timeZone: data.timeZone,
          accessRole: 'owner',
          defaultReminders: [{ method: 'popup', minutes: 10 }],
          ...(from + size < chosen.length
            ? { nextPageToken: Buffer.from(String(from + size)).toString('base64url') }
            : undefined),
          items: page.map(view),
        })
      }),
    ),
  )

  app.post(
    events,
    door(
      writesEvents,
      onCalendar(({ request, reply, person }) => {
        const body = objectOf(request)
        if (body === undefined) return googleProblem(reply, 400, 'parseError', 'Parse Error')
        const fields = fieldsFrom(body, data.timeZone)
        if (typeof fields === 'string') return googleProblem(reply, 400, 'invalid', fields)
        const { start, end } = fields
        if (start === undefined) return googleProblem(reply, 400, 'required', 'Missing start time.')
        if (end === undefined) return googleProblem(reply, 400, 'required', 'Missing end time.')
        if ('date' in start !== 'date' in end) {
          return googleProblem(
            reply,
            400,
            'invalid',
            'Start and end times must either both be date or both be dateTime.',
          )
        }
        if (moment(end) < moment(start) || ('date' in start && moment(end) === moment(start))) {
          return googleProblem(reply, 400, 'timeRangeEmpty', 'The specified time range is empty.')
        }
        const { id } = body
        if (id !== undefined && (typeof id !== 'string' || !/^[a-v0-9]{5,1024}$/.test(id))) {
          return googleProblem(reply, 400, 'invalid', 'Invalid resource id value.')
        }
        const event = data.insert(person, id, {
          summary: undefined,
          description: undefined,
          location: undefined,
          attendees: [],
          transparency: 'opaque',
          status: 'confirmed',
          ...fields,
          start,
          end,
        })
        return event === undefined
          ? googleProblem(reply, 409, 'duplicate', 'The requested identifier already exists.')
          : googleAnswer(reply, view(event))
      }),
    ),
  )

  app.get(
    `${events}/:event`,
    // A deleted event is still there for who knows its id, as cancelled.
    door(
      readsEvents,
      onEvent(({ reply }, event) => googleAnswer(reply, view(event))),
    ),
  )

  for (const method of ['PATCH', 'PUT'] as const) {
    app.route({
      method,
      url: `${events}/:event`,
      handler: door(
        writesEvents,
        onEvent(({ request, reply, person }, event) => {
          const body = objectOf(request)
          if (body === undefined) return googleProblem(reply, 400, 'parseError', 'Parse Error')
          const fields = fieldsFrom(body, data.timeZone)
          if (typeof fields === 'string') return googleProblem(reply, 400, 'invalid', fields)
          const { start = event.start, end = event.end } = fields
          if (method === 'PUT' && (fields.start === undefined || fields.end === undefined)) {
            return googleProblem(reply, 400, 'required', 'Missing end time.')
          }
          if (moment(end) < moment(start)) {
            return googleProblem(reply, 400, 'timeRangeEmpty', 'The specified time range is empty.')
          }
          const cleared = { summary: undefined, description: undefined, location: undefined, attendees: [] }
          return googleAnswer(
            reply,
            view(data.change(person, event, method === 'PUT' ? { ...cleared, ...fields } : fields)),
          )
        }),
      ),
    })
  }

  app.delete(
    `${events}/:event`,
    door(
      writesEvents,
      onEvent(({ reply, person }, event) => {
        if (event.status === 'cancelled') {
          return googleProblem(reply, 410, 'deleted', 'Resource has been deleted')
        }
        data.delete(person, event)
        return reply.status(204).send()
      }),
    ),
  )
}

/** Google's complaint about the query of `events.list`: reason and message. */
function wrongQuery(query: URLSearchParams): readonly [string, string] | undefined {
  for (const name of ['timeMin', 'timeMax', 'updatedMin']) {
    const value = query.get(name)
    // Without an offset Google refuses, and says no more than this.
    if (value !== null && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value)) {
      return ['badRequest', 'Bad Request']
    }
  }
  const [from, to] = [query.get('timeMin'), query.get('timeMax')]
  if (from !== null && to !== null && Date.parse(to) <= Date.parse(from)) {
    return ['timeRangeEmpty', 'The specified time range is empty.']
  }
  if (query.get('orderBy') === 'startTime' && query.get('singleEvents') !== 'true') {
    return ['invalid', 'The requested ordering is not available for the particular query.']
  }
  const size = query.get('maxResults')
  return size !== null && !/^[1-9]\d*$/.test(size)
    ? ['invalidParameter', 'Invalid value for maxResults']
    : undefined
}

function selected(events: readonly CalendarEvent[], query: URLSearchParams): CalendarEvent[] {
  const from = Date.parse(query.get('timeMin') ?? '') || Number.NEGATIVE_INFINITY
  const to = Date.parse(query.get('timeMax') ?? '') || Number.POSITIVE_INFINITY
  const changedSince = Date.parse(query.get('updatedMin') ?? '') || Number.NEGATIVE_INFINITY
  const words = (query.get('q') ?? '')
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
  const chosen = events.filter(
    (event) =>
      (query.get('showDeleted') === 'true' || event.status !== 'cancelled') &&
      moment(event.end) > from &&
      moment(event.start) < to &&
      Date.parse(event.updated) >= changedSince &&
      words.every((word) => textOf(event).includes(word)),
  )
  const key =
    query.get('orderBy') === 'updated' ? ({ updated }: CalendarEvent) => Date.parse(updated) : undefined
  return chosen.sort((one, other) =>
    key === undefined ? moment(one.start) - moment(other.start) : key(one) - key(other),
  )
}

function textOf({ summary, description, location, attendees }: CalendarEvent): string {
  const people = attendees.map(({ email, displayName }) => `${email} ${displayName ?? ''}`)
  return [summary, description, location, ...people].join('\n').toLowerCase()
}

/** The fields a body sets; a sentence where one is malformed. */
function fieldsFrom(
  body: Readonly<Record<string, unknown>>,
  timeZone: string,
): Partial<EventFields> | string {
  const text = (name: 'summary' | 'description' | 'location') =>
    name in body ? { [name]: typeof body[name] === 'string' ? body[name] : undefined } : undefined
  const start = 'start' in body ? timeFrom(body['start'], timeZone) : undefined
  const end = 'end' in body ? timeFrom(body['end'], timeZone) : undefined
  if ('start' in body && start === undefined) return 'Invalid start time.'
  if ('end' in body && end === undefined) return 'Invalid end time.'
  const { status, transparency, attendees } = body
  return {
    ...text('summary'),
    ...text('description'),
    ...text('location'),
    ...(start === undefined ? undefined : { start }),
    ...(end === undefined ? undefined : { end }),
    ...(Array.isArray(attendees) ? { attendees: attendees.flatMap(attendeeFrom) } : undefined),
    ...(status === 'confirmed' || status === 'tentative' ? { status } : undefined),
    ...(transparency === 'transparent' || transparency === 'opaque' ? { transparency } : undefined),
  }
}

/** A date, or a dateTime that has an offset or comes with a time zone. */
function timeFrom(value: unknown, fallbackZone: string): EventTime | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const date: unknown = Reflect.get(value, 'date')
  if (typeof date === 'string') {
    return /^\d{4}-\d\d-\d\d$/.test(date) && !Number.isNaN(Date.parse(date)) ? { date } : undefined
  }
  const dateTime: unknown = Reflect.get(value, 'dateTime')
  const zone: unknown = Reflect.get(value, 'timeZone')
  if (typeof dateTime !== 'string' || Number.isNaN(Date.parse(dateTime))) return undefined
  const timeZone = typeof zone === 'string' ? zone : undefined
  if (/(Z|[+-]\d\d:\d\d)$/.test(dateTime)) return { dateTime, timeZone }
  const resolved = inZone(dateTime, timeZone ?? fallbackZone)
  return resolved === undefined ? undefined : { dateTime: resolved, timeZone }
}

function attendeeFrom(value: unknown): Attendee[] {
  const email: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'email') : undefined
  if (typeof email !== 'string') return []
  return [{ email, responseStatus: 'needsAction' }]
}

function eventView(event: CalendarEvent, url: string) {
  const organizer = personByKey(event.organizer)
  const self = personByKey(event.calendar)
  const who = organizer && {
    email: organizer.email,
    displayName: organizer.name,
    ...(organizer === self ? { self: true } : undefined),
  }
  return {
    kind: 'calendar#event',
    etag: etag(`${event.id}${event.sequence}${event.updated}`),
    id: event.id,
    status: event.status,
    htmlLink: `${url}/google/calendar/event?eid=${eventLink(event)}`,
    created: event.created,
    updated: event.updated,
    summary: event.summary,
    description: event.description,
    location: event.location,
    creator: who,
    organizer: who,
    start: event.start,
    end: event.end,
    ...(event.transparency === 'transparent' ? { transparency: 'transparent' } : undefined),
    iCalUID: `${event.id}@google.com`,
    sequence: event.sequence,
    ...(event.attendees.length === 0
      ? undefined
      : {
          attendees: event.attendees.map((attendee) => ({
            ...attendee,
            ...(attendee.email === organizer?.email ? { organizer: true } : undefined),
            ...(attendee.email === self?.email ? { self: true } : undefined),
          })),
        }),
    reminders: { useDefault: true },
    eventType: 'default',
  }
}

/** The `eid` of Google's links: id and calendar. */
function eventLink(event: CalendarEvent): string {
  return Buffer.from(`${event.id} ${personByKey(event.calendar)?.email}`).toString('base64url')
}

function calendarListEntry(person: Person, timeZone: string) {
  return {
    kind: 'calendar#calendarListEntry',
    etag: etag(person.key),
    id: person.email,
    summary: person.email,
    timeZone,
    colorId: '14',
    backgroundColor: '#9fe1e7',
    foregroundColor: '#000000',
    selected: true,
    accessRole: 'owner',
    defaultReminders: [{ method: 'popup', minutes: 10 }],
    primary: true,
  }
}

function etag(of: string): string {
  return `"${createHash('sha256').update(of).digest('base64url').slice(0, 16)}"`
}
