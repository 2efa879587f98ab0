import { roomRoutes as routes } from '@atom/contract/rooms.ts'
import type { Guard } from '#access/guarded-route.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Amendments } from './amendments.ts'
import type { Messages } from './messages.ts'
import type { Receipts } from './receipts.ts'
import type { NewMemberRef, Rooms } from './rooms.ts'
import type { Search } from './search.ts'
import type { Timeline } from './timeline.ts'

export interface RoomDoors {
  readonly rooms: Rooms
  readonly messages: Messages
  readonly timeline: Timeline
  readonly amendments: Amendments
  readonly search: Search
  readonly receipts: Pick<Receipts, 'settled' | 'moved'>
  /** Who is in a new room besides its creator where nobody is named: the workspace's default agent. */
  readonly companions: (principal: AccountPrincipal) => Promise<readonly NewMemberRef[]>
}

export function roomRoutes(
  guard: Guard,
  { rooms, messages, timeline, amendments, search, receipts, companions }: RoomDoors,
): void {
  guard(routes.rooms, async ({ principal, query }) => {
    await receipts.settled(principal.id)
    return { status: 200, body: await rooms.list(principal, query) }
  })

  guard(routes.createRoom, async ({ principal, body }) => {
    if ('direct' in body) {
      const { room, made } = await rooms.direct(principal, body.direct)
      return { status: made ? 201 : 200, body: room }
    }
    const others = body.members ?? (await companions(principal))
    return { status: 201, body: await rooms.found(principal, body.name, others) }
  })

  guard(routes.room, async ({ principal, params }) => {
    await receipts.settled(principal.id)
    return { status: 200, body: await rooms.get(principal, params.id) }
  })

  guard(routes.changeRoom, async ({ principal, params, body }) => ({
    status: 200,
    body: await rooms.rename(principal, params.id, body.name),
  }))

  guard(routes.deleteRoom, async ({ principal, params }) => {
    await rooms.end(principal, params.id)
    return { status: 204, body: null }
  })

  guard(routes.myPlace, async ({ principal, params, body }) => {
    await receipts.settled(principal.id)
    const room = await rooms.setPlace(principal, params.id, body)
    const back = body.unreadFrom !== undefined
    if (back || body.readSeq !== undefined) receipts.moved(principal, room, back)
    return { status: 200, body: room }
  })

  guard(routes.addMember, async ({ principal, params, body }) => {
    const { member, added } = await rooms.addMember(principal, params.id, body)
    return { status: added ? 201 : 200, body: member }
  })

  guard(routes.changeMember, async ({ principal, params, body }) => ({
    status: 200,
    body: await rooms.changeRole(principal, params.id, params.memberId, body.role),
  }))

  guard(routes.removeMember, async ({ principal, params }) => {
    await rooms.removeMember(principal, params.id, params.memberId)
    return { status: 204, body: null }
  })

  guard(routes.sendMessage, async ({ principal, params, body }) => {
    const { duplicate, ...message } = await messages.send(principal, params.id, body)
    return { status: duplicate ? 200 : 201, body: message }
  })

  guard(routes.editMessage, async ({ principal, params, body }) => ({
    status: 200,
    body: await amendments.edit(principal, params.id, params.seq, body),
  }))

  guard(routes.deleteMessage, async ({ principal, params }) => {
    await amendments.delete(principal, params.id, params.seq)
    return { status: 204, body: null }
  })

  guard(routes.react, async ({ principal, params }) => {
    await amendments.react(principal, params.id, params.seq, params.emoji, true)
    return { status: 204, body: null }
  })

  guard(routes.unreact, async ({ principal, params }) => {
    await amendments.react(principal, params.id, params.seq, params.emoji, false)
    return { status: 204, body: null }
  })

  guard(routes.pins, async ({ principal, params }) => ({
    status: 200,
    body: { items: await amendments.pins(principal, params.id) },
  }))

  guard(routes.pin, async ({ principal, params }) => {
    await amendments.pin(principal, params.id, params.seq, true)
    return { status: 204, body: null }
  })

  guard(routes.unpin, async ({ principal, params }) => {
    await amendments.pin(principal, params.id, params.seq, false)
    return { status: 204, body: null }
  })

  guard(routes.search, async ({ principal, query }) => ({
    status: 200,
    body: await search.find(principal, query),
  }))

  guard(routes.events, async ({ principal, params, query }) => {
    const { after, epoch, before, limit } = query
    const body =
      after === undefined
        ? await timeline.before(params.id, before ?? Number.MAX_SAFE_INTEGER, limit)
        : await timeline.since(params.id, after, limit, epoch)
    // Asked when it was read: of two who are taken out and read at the same moment, none sees what came after.
    await rooms.requireMember(principal, params.id)
    return { status: 200, body }
  })
}
