import { randomBytes } from 'node:crypto'
import type { Effects } from '../effects.ts'
import { type Person, personByKey } from '../people.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { Collection, SandboxStore } from '../sandbox-store.ts'
import { type SeedEvent, seedEvents } from './google-seed.ts'

/** As in the Calendar API: a day, or a moment with its offset. */
export type EventTime =
  | { readonly date: string }
  | { readonly dateTime: string; readonly timeZone?: string | undefined }

export interface Attendee {
  readonly email: string
  readonly displayName?: string | undefined
  readonly responseStatus: 'needsAction' | 'accepted' | 'declined' | 'tentative'
  readonly optional?: boolean | undefined
}

export interface CalendarEvent {
  readonly id: string
  /** Whose primary calendar it is on: a person's key. */
  readonly calendar: string
  readonly status: 'confirmed' | 'tentative' | 'cancelled'
  readonly summary: string | undefined
  readonly description: string | undefined
  readonly location: string | undefined
  readonly start: EventTime
  readonly end: EventTime
  readonly organizer: string
  readonly attendees: readonly Attendee[]
  readonly transparency: 'opaque' | 'transparent'
  readonly created: string
  readonly updated: string
  readonly sequence: number
  /** Part of the seeded weeks: moves along with the real week, until somebody changes it. */
  readonly seeded: boolean
}

export type EventFields = Pick<
  CalendarEvent,
  'summary' | 'description' | 'location' | 'start' | 'end' | 'attendees' | 'transparency' | 'status'
>

const week = 7 * 86_400_000

/** The primary calendars, one per person. */
export class CalendarData {
  readonly timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone
  readonly #store: SandboxStore
  readonly #clock: SandboxClock
  readonly #effects: Effects
  readonly #events: Collection<CalendarEvent>

  constructor(dependencies: { store: SandboxStore; clock: SandboxClock; effects: Effects }) {
    this.#store = dependencies.store
    this.#clock = dependencies.clock
    this.#effects = dependencies.effects
    this.#events = this.#store.collection('google', 'event')
    this.#followTheWeek()
  }

  eventsOf(calendar: string): CalendarEvent[] {
    return this.#events.list().filter((event) => event.calendar === calendar)
  }

  event(calendar: string, id: string): CalendarEvent | undefined {
    return this.#events.get(`${calendar}/${id}`)
  }

  /** Undefined where the id is taken, be it by a deleted event. */
  insert(person: Person, id: string | undefined, fields: EventFields): CalendarEvent | undefined {
    const chosen = id ?? randomBytes(16).toString('hex').slice(0, 26)
    if (this.event(person.key, chosen) !== undefined) return undefined
    const now = this.#clock.now().toISOString()
    const event: CalendarEvent = {
      ...fields,
      id: chosen,
      calendar: person.key,
      organizer: person.key,
      created: now,
      updated: now,
      sequence: 0,
      seeded: false,
    }
    this.#keep('event.created', person, event)
    return event
  }

  change(person: Person, event: CalendarEvent, fields: Partial<EventFields>): CalendarEvent {
    const changed: CalendarEvent = {
      ...event,
      ...fields,
      updated: this.#clock.now().toISOString(),
      sequence: event.sequence + 1,
      seeded: false,
    }
    this.#keep('event.changed', person, changed)
    return changed
  }

  delete(person: Person, event: CalendarEvent): void {
    const updated = this.#clock.now().toISOString()
    this.#keep('event.deleted', person, { ...event, status: 'cancelled', updated, seeded: false })
  }

  /** The first day again. */
  seed(): void {
    const monday = mondayOf(this.#clock.now())
    this.#store.transaction(() => {
      this.#events.clear()
      for (const seed of seedEvents) {
        for (const key of seed.attendees) this.#put(seededEvent(seed, key, monday))
      }
      this.#store.keepSetting('google.week', monday.toISOString())
    })
  }

  /** The seeded weeks are this one and the next, also when the sandbox is opened again a month later. */
  #followTheWeek(): void {
    const monday = mondayOf(this.#clock.now())
    const kept = this.#store.setting('google.week')
    if (kept === undefined) {
      this.seed()
      return
    }
    if (Math.abs(monday.getTime() - Date.parse(kept)) < week / 2) return
    this.#store.transaction(() => {
      const untouched = new Map(
        this.#events.list().map((event) => [`${event.calendar}/${event.id}`, event.seeded]),
      )
      for (const seed of seedEvents) {
        for (const key of seed.attendees) {
          if (untouched.get(`${key}/${seed.id}`) === true) this.#put(seededEvent(seed, key, monday))
        }
      }
      this.#store.keepSetting('google.week', monday.toISOString())
    })
  }

  #keep(kind: string, person: Person, event: CalendarEvent): void {
    this.#store.transaction(() => {
      this.#put(event)
      this.#effects.add({
        provider: 'google',
        kind,
        person: person.email,
        target: event.id,
        title: event.summary ?? '',
      })
    })
  }

  #put(event: CalendarEvent): void {
    this.#events.put(`${event.calendar}/${event.id}`, event)
  }
}

/** When it begins, in milliseconds since 1970; a day begins at midnight UTC. */
export function moment(time: EventTime): number {
  return Date.parse('date' in time ? `${time.date}T00:00:00Z` : time.dateTime)
}

function mondayOf(now: Date): Date {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - ((now.getDay() + 6) % 7))
}

function seededEvent(seed: SeedEvent, calendar: string, monday: Date): CalendarEvent {
  const at = (minutes: number) =>
    new Date(
      monday.getFullYear(),
      monday.getMonth(),
      monday.getDate() + seed.day,
      seed.from?.[0] ?? 0,
      (seed.from?.[1] ?? 0) + minutes,
    )
  const time = (minutes: number): EventTime =>
    seed.from === undefined ? { date: localDay(at(minutes)) } : { dateTime: withOffset(at(minutes)) }
  const created = new Date(monday.getTime() - 2 * week).toISOString()
  return {
    id: seed.id,
    calendar,
    status: 'confirmed',
    summary: seed.summary,
    description: seed.description,
    location: seed.location,
    start: time(0),
    end: seed.from === undefined ? time(24 * 60) : time(seed.minutes ?? 60),
    organizer: seed.organizer,
    attendees:
      seed.attendees.length < 2
        ? []
        : seed.attendees.map((key) => ({
            email: personByKey(key)?.email ?? key,
            displayName: personByKey(key)?.name,
            responseStatus: key === 'katherine' && seed.day % 3 === 1 ? 'needsAction' : 'accepted',
          })),
    transparency: 'opaque',
    created,
    updated: created,
    sequence: 0,
    seeded: true,
  }
}

function localDay(date: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
}

/** RFC 3339 in local time, e.g. `2026-11-23T09:30:00+01:00`. */
function withOffset(date: Date): string {
  const east = -date.getTimezoneOffset()
  const two = (value: number) => String(Math.trunc(value)).padStart(2, '0')
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  const offset = `${east < 0 ? '-' : '+'}${two(Math.abs(east) / 60)}:${two(Math.abs(east) % 60)}`
  return `${localDay(date)}T${clock}${east === 0 ? 'Z' : offset}`
}
