import { streamRoutes } from '@atom/contract/streams.ts'
import type { EventsGuard } from '#access/guarded-route.ts'
import { cursorOf, type RoomStreams } from './room-streams.ts'

export function roomStreamRoutes(
  guardEvents: EventsGuard,
  { roomStreams }: { readonly roomStreams: RoomStreams },
): void {
  guardEvents(streamRoutes.roomStream, (request) =>
    roomStreams.open(request, {
      roomId: request.params.id,
      cursor: cursorOf(request.lastEventId, request.query),
      signals: request.query.signals === '1',
    }),
  )
}
