import { operationRoutes } from '@atom/contract/operations.ts'
import { Link } from '@tanstack/react-router'
import { useCallback } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { amountText } from './amount-text.ts'
import { usePolled } from './use-polled.ts'

/** Of one process: of whichever answers where none is named. */
export function BusyRooms({ node }: { node: string | undefined }) {
  const ask = useCallback(
    () => atom.call(operationRoutes.liveRooms, { query: { limit: 10, ...(node !== undefined && { node }) } }),
    [node],
  )
  const rooms = usePolled(ask)
  return (
    <section aria-label="Busiest rooms" className="grid gap-3">
      <h2 className="text-lg font-semibold">Busiest rooms</h2>
      {rooms.value === undefined ? (
        rooms.error === undefined ? (
          <Loading of="the rooms">
            <Bar className="h-20" />
          </Loading>
        ) : (
          <ProblemNotice error={rooms.error} onRetry={rooms.again} />
        )
      ) : rooms.value.items.length === 0 ? (
        <p className="text-quiet">Nobody has a room open now.</p>
      ) : (
        <table className="w-full text-left tabular-nums">
          <thead className="border-b border-line text-sm text-quiet">
            <tr>
              <th className="py-2 pr-3 font-medium">Room</th>
              <th className="px-3 py-2 text-right font-medium">Sockets</th>
              <th className="py-2 pl-3 text-right font-medium">Events per second</th>
            </tr>
          </thead>
          <tbody>
            {rooms.value.items.map((room) => (
              <tr key={room.roomId} className="border-b border-line">
                <td className="w-full max-w-0 truncate py-2 pr-3">
                  {room.name === null ? (
                    <span className="text-quiet" title={room.roomId}>
                      A room that you are not in
                    </span>
                  ) : (
                    <Link
                      to="/rooms/$roomId"
                      params={{ roomId: room.roomId }}
                      className="block truncate font-medium underline decoration-edge underline-offset-2 hover:decoration-current"
                    >
                      {room.name}
                    </Link>
                  )}
                </td>
                <td className="px-3 py-2 text-right">{amountText(room.followers)}</td>
                <td className="py-2 pl-3 text-right">{amountText(room.perSecond)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}
