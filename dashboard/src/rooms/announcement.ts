import type { RoomEvent } from '@atom/contract/rooms.ts'

/** What a screen reader is told of an event, or undefined where it is no news. Own messages are none. */
export function announcement(event: RoomEvent, me: string): string | undefined {
  switch (event.type) {
    case 'message.created':
      return event.actor.id === me ? undefined : `${event.actor.name}: ${shorten(event.text)}`
    case 'turn.started':
      return `${event.actor.name} is answering`
    case 'message.final':
      return `${event.actor.name} answered: ${shorten(event.text)}`
    case 'approval.requested':
      return `Approval needed: ${event.approval.title}`
    case 'approval.decided':
      return `The request was ${event.decision}`
    case 'turn.ended':
      return event.status === 'succeeded' ? undefined : `The answer ${endings[event.status]}`
    default:
      return undefined
  }
}

const endings = {
  failed: 'failed',
  cancelled: 'was stopped',
  interrupted: 'was interrupted',
  needs_attention: 'needs your attention',
} as const

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length <= 200 ? line : `${line.slice(0, 199)}…`
}
