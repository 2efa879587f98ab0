import { limits, type Member, type Room, type RoomEventType, type RoomRole } from '@atom/contract/rooms.ts'
import type { AccountPrincipal, Principal } from '#access/principal.ts'
import type { Database, Queryable, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { MembershipNews } from './membership-news.ts'
import * as store from './membership-store.ts'
import { type MomentCursor, readMomentCursor, writeMomentCursor } from './moment-cursor.ts'
import type { EventDraft, Timeline } from './timeline.ts'

export type MemberKind = store.MemberKind

export interface NewMember {
  readonly kind: MemberKind
  readonly id: string
  readonly name: string
}

/** Who exists in a workspace; whoever knows people and agents lends it to the rooms. */
export interface Directory {
  find(workspaceId: string, kind: MemberKind, id: string): Promise<{ readonly name: string } | undefined>
}

export interface RoomsOptions {
  readonly database: Database
  readonly timeline: Timeline
  readonly directory: Directory
  readonly news: Pick<MembershipNews, 'tell'>
}

/** How a member stands to one room. */
export interface Standing extends store.Standing {
  readonly role: RoomRole
}

export interface NewMemberRef {
  readonly kind: MemberKind
  readonly id: string
}

/** Who does something, as the timeline names them. */
type Doer = Pick<Principal, 'kind' | 'id' | 'workspaceId'>

/** Rooms and who is in them. */
export class Rooms {
  readonly #database: Database
  readonly #timeline: Timeline
  readonly #directory: Directory
  readonly #news: Pick<MembershipNews, 'tell'>

  constructor(options: RoomsOptions) {
    this.#database = options.database
    this.#timeline = options.timeline
    this.#directory = options.directory
    this.#news = options.news
  }

  /** A new room with these members, owned by `createdBy`. In a transaction of the caller's, or in one of its own. */
  async create(
    tx: Transaction | Database,
    room: {
      readonly workspaceId: string
      readonly name: string
      readonly members: readonly NewMember[]
      readonly createdBy: string
    },
  ): Promise<store.RoomRow> {
    if (!('afterCommit' in tx)) return await tx.transaction((own) => this.create(own, room))
    const created = await store.insertRoom(tx, { ...room, id: newId() })
    if (created === undefined) throw new Error('a group room met another one')
    for (const member of room.members) {
      const role = member.id === room.createdBy ? 'owner' : 'member'
      await store.insertMember(tx, created.id, { ...member, role })
    }
    this.#news.tell(tx, created.id, idsOf(room.members), 'in', 0)
    return created
  }

  /** A new room of the caller's, with these others in it. Throws `not_found` for one who is not in the workspace, `room_full`. */
  async found(principal: AccountPrincipal, name: string, others: readonly NewMemberRef[]): Promise<Room> {
    if (others.length + 1 > limits.roomMembers) throw new AtomError('room_full')
    const me = { kind: principal.kind, id: principal.id, name: principal.name }
    const distinct = new Map(others.map((other) => [other.id.toLowerCase(), other]))
    distinct.delete(principal.id)
    const members: NewMember[] = []
    for (const other of distinct.values()) members.push(await this.#known(principal.workspaceId, other))
    const { id } = await this.create(this.#database, {
      workspaceId: principal.workspaceId,
      name: name.trim(),
      members: [me, ...members],
      createdBy: principal.id,
    })
    return await this.get(principal, id)
  }

  /** The one direct room with somebody, made where there is none. Throws `not_found`, `validation_failed` with oneself. */
  async direct(
    principal: AccountPrincipal,
    ref: NewMemberRef,
  ): Promise<{ readonly room: Room; readonly made: boolean }> {
    const other = await this.#known(principal.workspaceId, ref)
    if (other.id === principal.id) {
      throw new AtomError('validation_failed', 'A direct room is with somebody else.')
    }
    const directKey = [`account:${principal.id}`, `${other.kind}:${other.id}`].sort().join(' ')
    const { workspaceId } = principal
    const made = await this.#database.transaction(async (tx) => {
      const room = await store.insertRoom(tx, {
        id: newId(),
        workspaceId,
        name: `${principal.name} and ${other.name}`.slice(0, limits.roomNameLength),
        createdBy: principal.id,
        directKey,
      })
      if (room === undefined) return undefined
      const me = { kind: principal.kind, id: principal.id, name: principal.name }
      for (const member of [me, other]) await store.insertMember(tx, room.id, member)
      this.#news.tell(tx, room.id, idsOf([me, other]), 'in', 0)
      return room.id
    })
    const id = made ?? (await store.directRoom(this.#database, workspaceId, directKey))
    if (id === undefined) throw new Error('a direct room is neither new nor there')
    return { room: await this.get(principal, id), made: made !== undefined }
  }

  /** My rooms, the most recently active first. `cursor` is the `next` of the page before. */
  async list(
    principal: Principal,
    {
      cursor,
      limit = 50,
    }: { readonly cursor?: string | undefined; readonly limit?: number | undefined } = {},
  ): Promise<{ items: Room[]; next: string | null }> {
    const after = cursor === undefined ? undefined : placeOf(cursor)
    const rows = await store.roomsOf(this.#database, principal.workspaceId, principal, {
      ...(after !== undefined && { after }),
      limit: limit + 1,
    })
    const last = rows.length > limit ? rows[limit - 1] : undefined
    return {
      items: rows.slice(0, limit).map(({ room }) => room),
      next: last === undefined ? null : writeMomentCursor({ at: last.activeAt, id: last.room.id }),
    }
  }

  /** Throws `not_found` (also for another workspace's room) or `not_a_member`. */
  async get(principal: Principal, roomId: string): Promise<Room> {
    const [found] = await store.roomsOf(this.#database, principal.workspaceId, principal, {
      roomId,
      limit: 1,
    })
    if (found !== undefined) return found.room
    await this.requireMember(principal, roomId)
    throw new AtomError('not_found', 'There is no such room.')
  }

  /** Gives the room another name. Throws `not_found`, `not_a_member`, `forbidden`. */
  async rename(principal: Principal, roomId: string, name: string): Promise<Room> {
    await this.#change(principal, roomId, 'rename it', async (tx) => {
      await store.renameRoom(tx, roomId, name.trim())
      await this.#timeline.append(tx, [this.#draft(principal, roomId, 'room.changed', { name: name.trim() })])
    })
    return await this.get(principal, roomId)
  }

  /**
   * Ends a room, for its owner: with the commit it is gone for everybody. Nothing of it is kept; `EndedRooms` deletes what was said
   * in it. Throws `not_found`, `not_a_member`, `forbidden`.
   */
  async end(principal: Principal, roomId: string): Promise<void> {
    const { role } = await this.requireMember(principal, roomId)
    if (role !== 'owner') throw new AtomError('forbidden', 'Only the owner of a room can delete it.')
    await this.#database.transaction(async (tx) => {
      const members = await store.memberIds(tx, [roomId])
      await store.deleteRoom(tx, roomId)
      await this.#timeline.end(tx, roomId.toLowerCase())
      this.#news.tell(tx, roomId.toLowerCase(), idsOf(members), 'out', Number.MAX_SAFE_INTEGER)
    })
  }

  /** How the caller has the room for themselves. Throws as `requireMember` does. */
  async setPlace(
    principal: Principal,
    roomId: string,
    place: {
      readonly muted?: boolean | undefined
      readonly pinned?: boolean | undefined
      readonly readSeq?: number | undefined
      readonly unreadFrom?: number | undefined
    },
  ): Promise<Room> {
    await this.requireMember(principal, roomId)
    const { readSeq, ...rest } = place
    if (readSeq !== undefined) await this.markRead(principal, roomId, readSeq)
    await store.setPlace(this.#database, roomId, principal, rest)
    return await this.get(principal, roomId)
  }

  /**
   * Adds somebody of the same workspace; `added` is false when they were in the room already. Throws `not_found` for the
   * room or for them, `not_a_member` for the caller, `forbidden` in a direct room, `room_full`.
   */
  async addMember(
    principal: Principal,
    roomId: string,
    ref: NewMemberRef,
  ): Promise<{ member: Member; added: boolean }> {
    const standing = await this.requireMember(principal, roomId)
    const known = await this.#known(principal.workspaceId, ref)
    return await this.#database.transaction(async (tx) => {
      await store.lockRoom(tx, roomId)
      await this.requireMember(principal, roomId, tx)
      const [there] = await store.members(tx, roomId, [known.id])
      if (there !== undefined) return { member: there, added: false }
      if (standing.kind === 'direct') throw directStays()
      if ((await store.memberCount(tx, roomId)) >= limits.roomMembers) throw new AtomError('room_full')
      await this.#join(tx, principal, roomId, known)
      const [member] = await store.members(tx, roomId, [known.id])
      if (member === undefined) throw new Error('a member is neither new nor there')
      return { member, added: true }
    })
  }

  /** Throws where one of these is no room that the caller can bring somebody into: not theirs, or a direct one. */
  async requireGroups(principal: Principal, roomIds: readonly string[]): Promise<void> {
    const standings = await this.standings(principal, roomIds)
    for (const id of roomIds) {
      const standing = standings.get(id.toLowerCase())
      if (standing === undefined) throw new AtomError('not_found', 'There is no such room.')
      if (standing instanceof AtomError) throw standing
      if (standing.kind === 'direct') throw directStays()
    }
  }

  /**
   * Puts a newcomer into the rooms that somebody invited them into, as far as they could still be added there: a room that has
   * ended since, is full, or that the one who invited has left, is passed over.
   */
  async welcome(
    tx: Transaction,
    workspaceId: string,
    newcomer: NewMember,
    { invitedBy, roomIds }: { readonly invitedBy: string; readonly roomIds: readonly string[] },
  ): Promise<void> {
    const host = { kind: 'account' as const, id: invitedBy, workspaceId }
    // In one order, so that two who arrive at once do not wait for each other.
    for (const roomId of roomIds.toSorted()) {
      await store.lockRoom(tx, roomId)
      const standing = (await store.standings(tx, workspaceId, host, [roomId])).get(roomId)
      if (standing?.role === undefined || standing.kind === 'direct') continue
      if ((await store.memberCount(tx, roomId)) >= limits.roomMembers) continue
      await this.#join(tx, host, roomId, newcomer)
    }
  }

  /** Gives a person of the room another role. Throws `not_found`, `not_a_member`, `forbidden`. */
  async changeRole(principal: Principal, roomId: string, memberId: string, role: RoomRole): Promise<Member> {
    return await this.#change(principal, roomId, 'change roles', async (tx, mine) => {
      const before = await this.#memberOf(tx, roomId, memberId)
      if (before.kind !== 'account') throw new AtomError('forbidden', 'An agent takes part as a member.')
      const all = await store.members(tx, roomId)
      if (mine !== 'owner' && (before.role === 'owner' || role === 'owner')) {
        throw new AtomError('forbidden', 'Only an owner of the room can make or unmake an owner.')
      }
      const owners = all.filter((member) => member.role === 'owner')
      if (before.role === 'owner' && role !== 'owner' && owners.length === 1) {
        throw new AtomError('forbidden', 'A room has an owner. Make somebody else the owner first.')
      }
      if (before.role !== role) {
        await store.setRole(tx, roomId, before.id, role)
        const { kind, id, name } = before
        await this.#timeline.append(tx, [
          this.#draft(principal, roomId, 'member.changed', { member: { kind, id, name }, role }),
        ])
      }
      return { ...before, role }
    })
  }

  /**
   * Takes somebody out of the room, or oneself. Where the last owner leaves, the one who was there longest among the admins,
   * else among the people, owns it. Throws `not_found`, `not_a_member`, `forbidden`.
   */
  async removeMember(principal: Principal, roomId: string, memberId: string): Promise<void> {
    const standing = await this.requireMember(principal, roomId)
    if (standing.kind === 'direct') throw directStays()
    await this.#database.transaction(async (tx) => {
      await store.lockRoom(tx, roomId)
      const leaving = await this.#memberOf(tx, roomId, memberId)
      const isMe = leaving.kind === principal.kind && leaving.id === principal.id
      const mine = isMe ? leaving.role : (await this.#memberOf(tx, roomId, principal.id)).role
      if (!isMe && (mine === 'member' || (leaving.role === 'owner' && mine !== 'owner'))) {
        throw new AtomError('forbidden', 'Ask an owner or admin of the room.')
      }
      await store.removeMember(tx, roomId, leaving)
      const { kind, id, name } = leaving
      const drafts = [this.#draft(principal, roomId, 'member.left', { member: { kind, id, name } })]
      const heir = heirOf(leaving, await store.members(tx, roomId))
      if (heir !== undefined) {
        await store.setRole(tx, roomId, heir.id, 'owner')
        const member = { kind: heir.kind, id: heir.id, name: heir.name }
        drafts.push(this.#draft(principal, roomId, 'member.changed', { member, role: 'owner' }))
      }
      const [left] = await this.#timeline.append(tx, drafts)
      if (left === undefined) throw new Error('an appended event is missing')
      this.#news.tell(tx, roomId.toLowerCase(), [id], 'out', left.seq)
    })
  }

  /** Throws `not_found` (unknown, or another workspace's: nobody learns which) or `not_a_member`. */
  async requireMember(
    principal: Principal,
    roomId: string,
    db: Queryable = this.#database,
  ): Promise<Standing> {
    const standing = (await this.standings(principal, [roomId], db)).get(roomId.toLowerCase())
    if (standing === undefined) throw new AtomError('not_found', 'There is no such room.')
    if (standing instanceof AtomError) throw standing
    return standing
  }

  /** The same for many rooms at once: what `requireMember` would answer or throw, by room id in lower case. */
  async standings(
    principal: Principal,
    roomIds: readonly string[],
    db: Queryable = this.#database,
  ): Promise<Map<string, Standing | AtomError>> {
    const wanted = roomIds.map((id) => id.toLowerCase())
    return judged(wanted, await store.standings(db, principal.workspaceId, principal, wanted))
  }

  /** The same for many callers at once, in one question to the database; in their order. */
  async standingsOfMany(
    callers: readonly { readonly principal: Principal; readonly roomIds: readonly string[] }[],
  ): Promise<Map<string, Standing | AtomError>[]> {
    const asked = callers.map(({ principal, roomIds }) => ({
      workspaceId: principal.workspaceId,
      member: { kind: principal.kind, id: principal.id },
      roomIds: roomIds.map((id) => id.toLowerCase()),
    }))
    const found = await store.standingsOfMany(this.#database, asked)
    return asked.map(({ roomIds }, index) => judged(roomIds, found[index] ?? new Map()))
  }

  /** Rooms of the caller's workspace by id, with their names where the caller is in them; others are absent. */
  names(principal: Principal, roomIds: readonly string[]): Promise<Map<string, string | null>> {
    return store.names(this.#database, principal.workspaceId, principal, roomIds)
  }

  /** Whether a person is in a room now. */
  async hasAccount(accountId: string, roomId: string): Promise<boolean> {
    return (await store.members(this.#database, roomId, [accountId])).length > 0
  }

  /** The agents that are in these rooms now. */
  agentsIn(roomIds: readonly string[]): Promise<{ readonly agentId: string; readonly roomId: string }[]> {
    return store.agentsIn(this.#database, roomIds)
  }

  /** Ids of everybody who is in these rooms. */
  async memberIds(
    roomIds: readonly string[],
  ): Promise<readonly { readonly roomId: string; readonly id: string }[]> {
    return await store.memberIds(this.#database, roomIds)
  }

  /** Remembers how far the caller has read. Throws as `requireMember` does. */
  async markRead(principal: Principal, roomId: string, seq: number): Promise<void> {
    const marked = await store.markRead(this.#database, principal.workspaceId, principal, roomId, seq)
    if (!marked) await this.requireMember(principal, roomId)
  }

  async #known(workspaceId: string, { kind, id }: NewMemberRef): Promise<NewMember> {
    const known = await this.#directory.find(workspaceId, kind, id)
    if (known === undefined) {
      throw new AtomError(
        'not_found',
        `There is no such ${kind === 'account' ? 'person' : 'agent'} in this workspace.`,
      )
    }
    return { kind, id: id.toLowerCase(), name: known.name }
  }

  async #memberOf(tx: Transaction, roomId: string, memberId: string): Promise<Member> {
    const [member] = await store.members(tx, roomId, [memberId])
    if (member === undefined) throw new AtomError('not_found', 'They are not in this room.')
    return member
  }

  /** Something that an owner or admin does to a group, while the room holds still. */
  async #change<T>(
    principal: Principal,
    roomId: string,
    what: string,
    work: (tx: Transaction, role: RoomRole) => Promise<T>,
  ): Promise<T> {
    const { kind } = await this.requireMember(principal, roomId)
    if (kind === 'direct') throw directStays()
    return await this.#database.transaction(async (tx) => {
      await store.lockRoom(tx, roomId)
      const { role } = await this.#memberOf(tx, roomId, principal.id)
      if (role === 'member') throw new AtomError('forbidden', `An owner or admin of the room can ${what}.`)
      return await work(tx, role)
    })
  }

  async #join(tx: Transaction, principal: Doer, roomId: string, member: NewMember): Promise<void> {
    const joined = await store.insertMember(tx, roomId, member)
    if (joined === undefined) return
    const [event] = await this.#timeline.append(tx, [
      this.#draft(principal, roomId, 'member.joined', { member: { ...member } }),
    ])
    if (event === undefined) throw new Error('an appended event is missing')
    this.#news.tell(tx, roomId.toLowerCase(), [member.id], 'in', event.seq)
  }

  #draft(principal: Doer, roomId: string, type: RoomEventType, body: EventDraft['body']): EventDraft {
    return {
      roomId: roomId.toLowerCase(),
      workspaceId: principal.workspaceId,
      type,
      actor: { kind: principal.kind, id: principal.id },
      clientId: newId(),
      body,
    }
  }
}

function idsOf(members: readonly { readonly id: string }[]): string[] {
  return members.map(({ id }) => id)
}

function heirOf(leaving: Member, left: readonly Member[]): Member | undefined {
  if (leaving.role !== 'owner' || left.some((member) => member.role === 'owner')) return undefined
  const people = left.filter((member) => member.kind === 'account')
  return people.find((member) => member.role === 'admin') ?? people[0]
}

function directStays(): AtomError {
  return new AtomError('forbidden', 'A direct room stays between its two members. Make a room for more.')
}

function placeOf(cursor: string): MomentCursor {
  const place = readMomentCursor(cursor)
  if (place !== undefined) return place
  throw new AtomError('validation_failed', 'The cursor is not one of ours; start again without it.')
}

function judged(
  roomIds: readonly string[],
  found: ReadonlyMap<string, store.Standing>,
): Map<string, Standing | AtomError> {
  return new Map(
    roomIds.map((id) => {
      const standing = found.get(id)
      if (standing === undefined) return [id, new AtomError('not_found', 'There is no such room.')]
      const { role } = standing
      return [id, role === undefined ? new AtomError('not_a_member') : { ...standing, role }]
    }),
  )
}
