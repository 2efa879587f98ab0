import type { FastifyInstance } from 'fastify'
import { moment, sendRecord } from '../record-page.ts'
import { queryOf } from '../request-parts.ts'
import type { GraphData, Mailbox } from './graph-data.ts'

/** Where `webLink` leads: a mail or a meeting. */
export function graphPages(app: FastifyInstance, data: GraphData): void {
  app.get('/microsoft/owa/', async (request, reply) => {
    const asked = queryOf(request)
    const message = data.anyMessage(asked['ItemID'] ?? '')
    if (message !== undefined) {
      return sendRecord(reply, 'Microsoft', {
        kind: 'Mail',
        title: message.subject,
        text: message.body.content,
        facts: [
          ['From', written(message.from)],
          ['To', message.to.map(written).join(', ')],
          ['Cc', message.cc.map(written).join(', ')],
          ['Sent', moment(message.at)],
        ],
      })
    }
    const meeting = data.anyMeeting(asked['itemid'] ?? '')
    return sendRecord(
      reply,
      'Microsoft',
      meeting && {
        kind: 'Meeting',
        title: meeting.subject,
        text: meeting.body.content,
        facts: [
          ['Begins', moment(meeting.start)],
          ['Ends', moment(meeting.end)],
          ['Place', meeting.location],
          ['Organiser', written(meeting.organizer)],
          ['Invited', meeting.attendees.map(written).join(', ')],
          ['State', meeting.isCancelled ? 'Deleted' : ''],
        ],
      },
    )
  })
}

function written({ name, address }: Mailbox): string {
  return name === address ? address : `${name} (${address})`
}
