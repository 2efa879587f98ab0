import { roomRoutes as routes } from '@atom/contract/rooms.ts'
import type { Guard } from '#access/guarded-route.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Messages } from './messages.ts'
import type { NewMember, Rooms } from './rooms.ts'
import type { Timeline } from './timeline.ts'

export interface RoomDoors {
  readonly rooms: Rooms
  readonly messages: Messages
  readonly timeline: Timeline
  /** Who is in a new room besides its creator: the workspace's default agent. */
  readonly companions: (principal: AccountPrincipal) => Promise<readonly NewMember[]>
}

export function roomRoutes(guard: Guard, { rooms, messages, timeline, companions }: RoomDoors): void {
  guard(routes.rooms, async ({ principal, query }) => ({
    status: 200,
    body: await rooms.list(principal, query),
  }))

  guard(routes.createRoom, async ({ principal, body }) => ({
    status: 201,
    body: await rooms.found(principal, body.name, await companions(principal)),
  }))

  guard(routes.room, async ({ principal, params }) => ({
    status: 200,
    body: await rooms.get(principal, params.id),
  }))

  guard(routes.addMember, async ({ principal, params, body }) => {
    const { member, added } = await rooms.addMember(principal, params.id, body)
    return { status: added ? 201 : 200, body: member }
  })

  guard(routes.sendMessage, async ({ principal, params, body }) => {
    const { duplicate, ...message } = await messages.send(principal, params.id, body)
    return { status: duplicate ? 200 : 201, body: message }
  })

  guard(routes.events, async ({ principal, params, query }) => {
    await rooms.requireMember(principal, params.id)
    const { after, epoch, before, limit } = query
    if (after !== undefined)
      return { status: 200, body: await timeline.since(params.id, after, limit, epoch) }
    return { status: 200, body: await timeline.before(params.id, before ?? Number.MAX_SAFE_INTEGER, limit) }
  })
}
