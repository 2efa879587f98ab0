import { Clock3 } from 'lucide-react'
import { memo, type ReactNode } from 'react'
import { problemWords } from '../shell/problem.tsx'
import { Avatar } from '../ui/avatar.tsx'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { dayTitle } from '../ui/clock-text.ts'
import { RelativeTime, TimeOfDay, useNow } from '../ui/time.tsx'
import { PlainText } from './plain-text.tsx'
import { useRoomView } from './room-context.ts'
import type { Row } from './timeline.ts'
import { TurnRow } from './turn-row.tsx'

/** One row of the timeline, in the column of 720 px. */
export const RowView = memo(function RowView({ row }: { row: Row }) {
  return <div className="mx-auto w-full max-w-[45rem] px-4">{rowOf(row)}</div>
})

function rowOf(row: Row): ReactNode {
  switch (row.kind) {
    case 'day':
      return <Day at={row.at} />
    case 'message':
      return (
        <Spoken name={row.author.name} at={row.at} lead={row.lead}>
          <PlainText text={row.text} />
        </Spoken>
      )
    case 'turn':
      return <TurnRow row={row} />
    case 'note':
      return (
        <p className="py-2 pl-11 text-sm text-quiet">
          {row.text} · <RelativeTime at={row.at} />
        </p>
      )
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

/** Picture, name, time and words: the same for everybody, set apart by name only. */
function Spoken({
  name,
  at,
  lead,
  dim = false,
  children,
}: {
  name: string
  at: string
  lead: boolean
  dim?: boolean
  children: ReactNode
}) {
  return (
    <article aria-label={`${name} said`} className={classNames('flex gap-3', lead ? 'pt-4' : 'pt-1')}>
      {lead ? <Avatar name={name} /> : <span className="w-8 shrink-0" />}
      <div className={classNames('min-w-0 flex-1', dim && 'text-quiet')}>
        {lead && (
          <div className="flex items-baseline gap-2">
            <span className="truncate font-semibold">{name}</span>
            <span className="shrink-0 text-xs text-quiet">
              <TimeOfDay at={at} />
            </span>
          </div>
        )}
        {children}
      </div>
    </article>
  )
}

function Outgoing({ row }: { row: Extract<Row, { kind: 'outgoing' }> }) {
  const { room, me, live, nameOf } = useRoomView()
  const { message } = row
  const failed = message.state === 'failed'
  const words = failed ? problemWords(message.error) : undefined
  return (
    <Spoken name={nameOf(me) ?? 'You'} at={message.at} lead={row.lead} dim={!failed}>
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
