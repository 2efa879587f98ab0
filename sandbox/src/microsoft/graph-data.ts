import { createHash, randomUUID } from 'node:crypto'
import type { Effects } from '../effects.ts'
import { type Person, people, personByKey } from '../people.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { Collection, SandboxStore } from '../sandbox-store.ts'
import { type SeedMeeting, seedMeetings, seedMessages } from './microsoft-seed.ts'

export interface Mailbox {
  readonly name: string
  readonly address: string
}

export interface Message {
  readonly id: string
  /** Whose mailbox it is in: a person's key. */
  readonly mailbox: string
  readonly folder: 'inbox' | 'sentitems' | 'drafts'
  readonly from: Mailbox
  readonly to: readonly Mailbox[]
  readonly cc: readonly Mailbox[]
  readonly subject: string
  readonly body: { readonly contentType: 'text' | 'html'; readonly content: string }
  readonly at: string
  readonly isRead: boolean
  readonly importance: 'low' | 'normal' | 'high'
  readonly conversationId: string
}

export interface Meeting {
  readonly id: string
  /** Whose calendar it is on: a person's key. */
  readonly calendar: string
  readonly subject: string
  readonly body: { readonly contentType: 'text' | 'html'; readonly content: string }
  readonly location: string
  /** UTC, ISO 8601. */
  readonly start: string
  readonly end: string
  readonly isAllDay: boolean
  readonly isCancelled: boolean
  readonly showAs: string
  readonly organizer: Mailbox
  readonly attendees: readonly Mailbox[]
  readonly transactionId: string | null
  readonly created: string
  readonly updated: string
  /** Moves along with the real week until somebody changes it: its place in the week. */
  readonly seed: SeedMeeting | null
}

export type MeetingFields = Pick<
  Meeting,
  'subject' | 'body' | 'location' | 'start' | 'end' | 'isAllDay' | 'showAs' | 'attendees'
>

const day = 86_400_000

/** Mail and calendars of the people, as Exchange Online keeps them. */
export class GraphData {
  readonly #store: SandboxStore
  readonly #clock: SandboxClock
  readonly #effects: Effects
  readonly #messages: Collection<Message>
  readonly #meetings: Collection<Meeting>

  constructor(dependencies: { store: SandboxStore; clock: SandboxClock; effects: Effects }) {
    this.#store = dependencies.store
    this.#clock = dependencies.clock
    this.#effects = dependencies.effects
    this.#messages = this.#store.collection('microsoft', 'message')
    this.#meetings = this.#store.collection('microsoft', 'event')
    if (this.#messages.list().length === 0) this.seed()
  }

  messagesOf(person: Person): Message[] {
    return this.#messages.list().filter(({ mailbox }) => mailbox === person.key)
  }

  message(person: Person, id: string): Message | undefined {
    const found = this.#messages.get(id)
    return found?.mailbox === person.key ? found : undefined
  }

  /** Whoever's it is, for the pages that links lead to. */
  anyMessage(id: string): Message | undefined {
    return this.#messages.get(id)
  }

  anyMeeting(id: string): Meeting | undefined {
    const meeting = this.#meetings.get(id)
    return meeting === undefined ? undefined : inThisWeek(meeting, this.#clock.now())
  }

  /** Into the recipients' inboxes here, and into the sender's sent items. */
  send(person: Person, mail: Pick<Message, 'to' | 'cc' | 'subject' | 'body' | 'importance'>): void {
    const at = this.#clock.now().toISOString()
    const conversationId = exchangeId()
    const from = mailboxOf(person)
    const put = (mailbox: string, folder: Message['folder'], isRead: boolean) => {
      const id = exchangeId()
      this.#messages.put(id, { ...mail, id, mailbox, folder, from, at, isRead, conversationId })
    }
    this.#store.transaction(() => {
      put(person.key, 'sentitems', true)
      for (const { address } of [...mail.to, ...mail.cc]) {
        const here = people.find(({ email }) => email === address.toLowerCase())
        if (here !== undefined) put(here.key, 'inbox', false)
      }
      const target = mail.to.map(({ address }) => address).join(', ')
      this.#effect('mail.sent', person, target, mail.subject)
    })
  }

  changeMessage(person: Person, message: Message, change: Partial<Pick<Message, 'isRead' | 'importance'>>) {
    const changed = { ...message, ...change }
    this.#store.transaction(() => {
      this.#messages.put(message.id, changed)
      this.#effect('message.changed', person, message.id, message.subject)
    })
    return changed
  }

  meetingsOf(person: Person): Meeting[] {
    const now = this.#clock.now()
    return this.#meetings
      .list()
      .filter(({ calendar, isCancelled }) => calendar === person.key && !isCancelled)
      .map((meeting) => inThisWeek(meeting, now))
  }

  meeting(person: Person, id: string): Meeting | undefined {
    return this.meetingsOf(person).find((meeting) => meeting.id === id)
  }

  /** Of the same person: the meeting that was made in this transaction, as it stands now. */
  madeIn(person: Person, transactionId: string): Meeting | undefined {
    return this.meetingsOf(person).find((meeting) => meeting.transactionId === transactionId)
  }

  createMeeting(person: Person, fields: MeetingFields, transactionId: string | null): Meeting {
    const now = this.#clock.now().toISOString()
    const meeting: Meeting = {
      ...fields,
      id: exchangeId(),
      calendar: person.key,
      isCancelled: false,
      organizer: mailboxOf(person),
      transactionId,
      created: now,
      updated: now,
      seed: null,
    }
    this.#keep('event.created', person, meeting)
    return meeting
  }

  changeMeeting(person: Person, meeting: Meeting, fields: Partial<MeetingFields>): Meeting {
    const changed = { ...meeting, ...fields, updated: this.#clock.now().toISOString(), seed: null }
    this.#keep('event.changed', person, changed)
    return changed
  }

  deleteMeeting(person: Person, meeting: Meeting): void {
    this.#keep('event.deleted', person, { ...meeting, isCancelled: true })
  }

  /** The first day again. */
  seed(): void {
    const now = this.#clock.now()
    this.#store.transaction(() => {
      this.#messages.clear()
      this.#meetings.clear()
      for (const [index, seed] of seedMessages.entries()) {
        const at = new Date(now.getTime() - seed.hoursAgo * 3_600_000).toISOString()
        const to = seed.to.flatMap((key) => personByKey(key) ?? [])
        const message = {
          from: mailboxFrom(seed.from),
          to: to.map(mailboxOf),
          cc: [],
          subject: seed.subject,
          body: { contentType: 'text' as const, content: seed.body },
          at,
          importance: seed.important === true ? ('high' as const) : ('normal' as const),
          conversationId: exchangeId(`conversation ${seed.conversation}`),
        }
        const sender = personByKey(seed.from)
        for (const { key } of to) {
          const id = exchangeId(`message ${index} ${key}`)
          const isRead = seed.unread !== true
          this.#messages.put(id, { ...message, id, mailbox: key, folder: 'inbox', isRead })
        }
        if (sender !== undefined) {
          const id = exchangeId(`message ${index} ${sender.key}`)
          this.#messages.put(id, { ...message, id, mailbox: sender.key, folder: 'sentitems', isRead: true })
        }
      }
      const created = new Date(now.getTime() - 14 * day).toISOString()
      for (const [index, seed] of seedMeetings.entries()) {
        for (const calendar of seed.attendees) {
          const id = exchangeId(`meeting ${index} ${calendar}`)
          const attendees = seed.attendees
            .filter((key) => key !== seed.organizer)
            .flatMap((key) => personByKey(key) ?? [])
          this.#meetings.put(id, {
            id,
            calendar,
            subject: seed.subject,
            body: { contentType: 'text', content: seed.body ?? '' },
            location: seed.location ?? '',
            start: created,
            end: created,
            isAllDay: false,
            isCancelled: false,
            showAs: 'busy',
            organizer: mailboxFrom(seed.organizer),
            attendees: attendees.map(mailboxOf),
            transactionId: null,
            created,
            updated: created,
            seed,
          })
        }
      }
    })
  }

  #keep(kind: string, person: Person, meeting: Meeting): void {
    this.#store.transaction(() => {
      this.#meetings.put(meeting.id, meeting)
      this.#effect(kind, person, meeting.id, meeting.subject)
    })
  }

  #effect(kind: string, person: Person, target: string, title: string): void {
    this.#effects.add({ provider: 'microsoft', kind, person: person.email, target, title })
  }
}

function inThisWeek(meeting: Meeting, now: Date): Meeting {
  if (meeting.seed === null) return meeting
  const { day: place, from, minutes } = meeting.seed
  const monday = Date.UTC(
    now.getUTCFullYear(),
    now.getUTCMonth(),
    now.getUTCDate() - ((now.getUTCDay() + 6) % 7),
  )
  const start = monday + place * day + (from[0] * 60 + from[1]) * 60_000
  return {
    ...meeting,
    start: new Date(start).toISOString(),
    end: new Date(start + minutes * 60_000).toISOString(),
  }
}

export function mailboxOf({ name, email }: Person): Mailbox {
  return { name, address: email }
}

/** A person's key, or `Name <address>`. */
function mailboxFrom(text: string): Mailbox {
  const person = personByKey(text)
  if (person !== undefined) return mailboxOf(person)
  const [, name = text, address = text] = /^(.*) <(.*)>$/.exec(text) ?? []
  return { name, address }
}

/** As long and as unreadable as Exchange's, and safe in a path. From `name`: always the same. */
function exchangeId(name: string = randomUUID()): string {
  return `AAMkADU0${createHash('sha512').update(name).digest('base64url')}AAA=`
}
