import type { PinnedMessage } from '@atom/client'
import { Pin } from 'lucide-react'
import { useCallback } from 'react'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAnswer } from '../shell/use-answer.ts'
import { Button } from '../ui/button.tsx'
import { Empty } from '../ui/empty.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { FoundRow } from './found-row.tsx'
import { MessageLine } from './message-line.tsx'
import { useRoomView } from './room-context.ts'
import { RoomPanel } from './room-panel.tsx'

/** What everybody in the room should find again. */
export function PinsPanel({ onClose }: { onClose: () => void }) {
  const { room, pinned } = useRoomView()
  const ask = useCallback(() => room.pins(), [room])
  // Asked again when somebody pins, or takes a pin off.
  const pins = useAnswer(ask, [...pinned].join())
  return (
    <RoomPanel title="Pinned messages" onClose={onClose}>
      <div className="min-h-0 flex-1 overflow-y-auto p-2">
        {pins.state === 'loading' && (
          <div className="p-2">
            <Loading of="the pinned messages">
              <div className="grid gap-3">
                <Bar className="h-4 w-2/5" />
                <Bar className="h-4 w-4/5" />
              </div>
            </Loading>
          </div>
        )}
        {pins.state === 'failed' && <ProblemNotice error={pins.error} onRetry={pins.reload} />}
        {pins.state === 'ready' && pins.value.length === 0 && (
          <Empty icon={<Pin size={24} aria-hidden />}>
            Nothing is pinned. Pin what everybody here should find again, from the menu of a message.
          </Empty>
        )}
        {pins.state === 'ready' && pins.value.length > 0 && (
          <ul className="grid gap-1">
            {pins.value.map((each) => (
              <Pinned key={each.message.seq} pinned={each} />
            ))}
          </ul>
        )}
      </div>
    </RoomPanel>
  )
}

function Pinned({ pinned: { message, pinnedBy } }: { pinned: PinnedMessage }) {
  const { room, goTo, attempt } = useRoomView()
  return (
    <li className="grid">
      <FoundRow author={message.actor} at={message.at} onOpen={() => goTo(message.seq)}>
        <MessageLine message={message} />
      </FoundRow>
      <span className="flex items-center justify-between pl-10 text-xs text-quiet">
        pinned by {pinnedBy.name}
        <Button
          look="quiet"
          aria-label={`Take the pin off the message of ${message.actor.name}`}
          onClick={() => attempt(room.unpinMessage(message.seq))}
        >
          Take off
        </Button>
      </span>
    </li>
  )
}
