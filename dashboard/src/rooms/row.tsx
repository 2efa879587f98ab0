import { deepEqual } from '@tanstack/react-router'
import { Clock3 } from 'lucide-react'
import { memo, type ReactNode } from 'react'
import { problemWords } from '../shell/problem.tsx'
import { Button } from '../ui/button.tsx'
import { dayTitle } from '../ui/clock-text.ts'
import { RelativeTime, useNow } from '../ui/time.tsx'
import { MessageRow } from './message-row.tsx'
import { PlainText } from './plain-text.tsx'
import { ReplyQuote } from './reply-quote.tsx'
import { useRoomView } from './room-context.ts'
import { Spoken } from './spoken.tsx'
import type { Row } from './timeline.ts'
import { TurnRow } from './turn-row.tsx'

/** One row of the timeline, in the column of 720 px. The same to read is the same row, although it was read anew. */
export const RowView = memo(
  function RowView({ row }: { row: Row }) {
    return <div className="mx-auto w-full max-w-[45rem] px-4">{rowOf(row)}</div>
  },
  (before, { row }) => deepEqual(before.row, row),
)

function rowOf(row: Row): ReactNode {
  switch (row.kind) {
    case 'day':
      return <Day at={row.at} />
    case 'message':
      return <MessageRow row={row} />
    case 'turn':
      return <TurnRow row={row} />
    case 'unread':
      return <UnreadLine />
    case 'note':
      return <Note row={row} />
    case 'outgoing':
      return <Outgoing row={row} />
  }
}

function Day({ at }: { at: string }) {
  const now = useNow()
  return (
    <div className="flex items-center gap-3 pt-6 pb-1 text-xs text-quiet">
      <span className="h-px flex-1 bg-line" />
      <span>{dayTitle(new Date(at), now)}</span>
      <span className="h-px flex-1 bg-line" />
    </div>
  )
}

/** What was not read yet when the person came begins here. */
function UnreadLine() {
  return (
    <div className="flex items-center gap-3 pt-4 text-xs font-medium text-accent-text">
      <span className="h-px flex-1 bg-accent" />
      <span>New</span>
    </div>
  )
}

function Note({ row }: { row: Extract<Row, { kind: 'note' }> }) {
  const { goTo } = useRoomView()
  const { about } = row
  return (
    <p className="py-2 pl-11 text-sm text-quiet">
      {row.text} · <RelativeTime at={row.at} />
      {about !== undefined && (
        <>
          {' · '}
          <button
            type="button"
            onClick={() => goTo(about)}
            className="rounded-control underline underline-offset-2 hover:text-text"
          >
            Show it
          </button>
        </>
      )}
    </p>
  )
}

function Outgoing({ row }: { row: Extract<Row, { kind: 'outgoing' }> }) {
  const { room, me, live, nameOf } = useRoomView()
  const { message } = row
  const failed = message.state === 'failed'
  const words = failed ? problemWords(message.error) : undefined
  return (
    <Spoken name={nameOf(me) ?? 'You'} at={message.at} lead={row.lead} dim={!failed}>
      {message.replyTo !== undefined && <ReplyQuote seq={message.replyTo} />}
      <PlainText text={message.text} />
      {words === undefined ? (
        <p className="flex items-center gap-1.5 text-xs text-quiet">
          <Clock3 size={12} aria-hidden /> {live ? 'Sending…' : 'Waiting for the connection'}
        </p>
      ) : (
        <fieldset aria-label="Message not sent" className="mt-1.5 flex flex-wrap items-center gap-2">
          <p className="w-full text-sm text-bad">
            Not sent: {words.title}. {words.next}
          </p>
          <Button onClick={() => void room.retry(message.clientId)}>Retry</Button>
          <Button look="quiet" onClick={() => void room.discard(message.clientId)}>
            Discard
          </Button>
        </fieldset>
      )}
    </Spoken>
  )
}
