import type { FastifyInstance } from 'fastify'
import { html, sendPage } from '../page.ts'
import { people } from '../people.ts'
import { queryOf } from '../request-parts.ts'
import { type CalendarData, type EventTime, moment } from './calendar-data.ts'

const note = 'Sandbox: a stand-in for Google on this machine'

/** Where `htmlLink` leads: one event, to look at. */
export function calendarPages(app: FastifyInstance, data: CalendarData): void {
  app.get('/google/calendar/event', async (request, reply) => {
    const [id = '', email = ''] = Buffer.from(queryOf(request)['eid'] ?? '', 'base64url')
      .toString('utf8')
      .split(' ')
    const person = people.find((each) => each.email === email)
    const event = person === undefined ? undefined : data.event(person.key, id)
    if (person === undefined || event === undefined) {
      return sendPage(reply, {
        title: 'Not found · Google sandbox',
        note,
        status: 404,
        body: html`<h1>There is no such event</h1><p>The sandbox has no event at this address.</p>`,
      })
    }
    return sendPage(reply, {
      title: `${event.summary ?? '(No title)'} · ${person.name}’s calendar`,
      note,
      wide: true,
      body: html`<p class="quiet">${person.name}’s calendar</p>
<h1>${event.summary ?? '(No title)'}</h1>
<div class="meta">${event.status === 'cancelled' ? html`<span class="state closed">Deleted</span>` : undefined}<span>${span(event.start, event.end)}</span>${
        event.location === undefined ? undefined : html`<span>${event.location}</span>`
      }</div>
${event.description === undefined ? undefined : html`<div class="text">${event.description}</div>`}
${
  event.attendees.length === 0
    ? undefined
    : html`<h2>Invited</h2><table><thead><tr><th scope="col">Person</th><th scope="col">Answer</th></tr></thead><tbody>${event.attendees.map(
        ({ email: invited, displayName, responseStatus }) =>
          html`<tr><td>${displayName ?? invited}</td><td>${answers[responseStatus]}</td></tr>`,
      )}</tbody></table>`
}`,
    })
  })
}

const answers = {
  needsAction: 'Not answered',
  accepted: 'Comes',
  declined: 'Does not come',
  tentative: 'Maybe',
} as const

function span(start: EventTime, end: EventTime): string {
  const day = { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' } as const
  if ('date' in start) return new Date(moment(start)).toLocaleDateString('en-GB', { ...day, timeZone: 'UTC' })
  const hour = { hour: '2-digit', minute: '2-digit' } as const
  const [from, to] = [new Date(moment(start)), new Date(moment(end))]
  const until =
    from.toDateString() === to.toDateString()
      ? to.toLocaleTimeString('en-GB', hour)
      : to.toLocaleString('en-GB', { ...day, ...hour })
  return `${from.toLocaleDateString('en-GB', day)}, ${from.toLocaleTimeString('en-GB', hour)} – ${until}`
}
