import { streamRoutes } from '@atom/contract/streams.ts'
import type { EventsGuard } from '#access/guarded-route.ts'
import type { TurnStreams } from './turn-streams.ts'

export function turnStreamRoutes(
  guardEvents: EventsGuard,
  { turnStreams }: { readonly turnStreams: TurnStreams },
): void {
  guardEvents(streamRoutes.turnStream, (request) =>
    turnStreams.open(request, request.params.id, request.lastEventId),
  )
}
