import type { RoomMessage } from '@atom/client'
import { CornerDownRight } from 'lucide-react'
import { useCallback, useSyncExternalStore } from 'react'
import { useAnswer } from '../shell/use-answer.ts'
import { MessageLine } from './message-line.tsx'
import { useRoomView } from './room-context.ts'

/** The message that this one answers, in one line; leads to it. */
export function ReplyQuote({ seq }: { seq: number }) {
  const { room, messageAt, goTo } = useRoomView()
  // It may be changed, or come to be held, while this row stays as it is.
  const held = useSyncExternalStore(room.subscribe, () => messageAt(seq))
  return (
    <button
      type="button"
      onClick={() => goTo(seq)}
      className="my-0.5 flex w-full min-w-0 items-center gap-1.5 rounded-control border-l-2 border-edge bg-panel py-0.5 pr-2 pl-2 text-left text-sm text-quiet hover:bg-hover hover:text-text pointer-coarse:min-h-11"
    >
      <CornerDownRight size={14} aria-hidden className="shrink-0" />
      <span className="sr-only">In answer to </span>
      {held === undefined ? <Fetched room={room} seq={seq} /> : <Line message={held} />}
    </button>
  )
}

/** Of a message so far back that it is not held. */
function Fetched({ room, seq }: { room: ReturnType<typeof useRoomView>['room']; seq: number }) {
  const ask = useCallback(() => room.message(seq), [room, seq])
  const answer = useAnswer(ask)
  if (answer.state === 'ready' && answer.value !== undefined) return <Line message={answer.value} />
  return (
    <span>{answer.state === 'loading' ? 'An earlier message' : 'A message that is not kept any more'}</span>
  )
}

function Line({ message }: { message: RoomMessage }) {
  return (
    <>
      <span dir="auto" className="max-w-40 shrink-0 truncate font-medium">
        {message.actor.name}
      </span>
      <span dir="auto" className="min-w-0 truncate">
        {message.deletedAt === undefined ? <MessageLine message={message} /> : 'This message was deleted.'}
      </span>
    </>
  )
}
