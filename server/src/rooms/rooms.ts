import type { Member, Room } from '@atom/contract/rooms.ts'
import type { AccountPrincipal, Principal } from '#access/principal.ts'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import * as store from './room-store.ts'
import type { Timeline } from './timeline.ts'

export type MemberKind = 'account' | 'agent'

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
}

/** How a caller stands to one room. */
export type Standing = store.Heads

/** Rooms and who is in them. */
export class Rooms {
  readonly #database: Database
  readonly #timeline: Timeline
  readonly #directory: Directory

  constructor(options: RoomsOptions) {
    this.#database = options.database
    this.#timeline = options.timeline
    this.#directory = options.directory
  }

  /** A new room with these members. In a transaction of the caller's, or in one of its own. */
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
    for (const member of room.members) await store.insertMember(tx, created.id, member)
    return created
  }

  /** A new room of the caller's, with these others in it. */
  async found(principal: AccountPrincipal, name: string, others: readonly NewMember[]): Promise<Room> {
    const me = { kind: principal.kind, id: principal.id, name: principal.name }
    const { id } = await this.create(this.#database, {
      workspaceId: principal.workspaceId,
      name: name.trim(),
      members: [me, ...others],
      createdBy: principal.id,
    })
    return await this.get(principal, id)
  }

  /** My rooms, the most recently active first. `cursor` is the `next` of the page before. */
  async list(
    principal: Principal,
    {
      cursor,
      limit = 50,
    }: { readonly cursor?: string | undefined; readonly limit?: number | undefined } = {},
  ): Promise<{ items: Room[]; next: string | null }> {
    const after = cursor === undefined ? undefined : readCursor(cursor)
    const rows = await store.roomsOf(this.#database, principal.workspaceId, principal, {
      ...(after !== undefined && { after }),
      limit: limit + 1,
    })
    const last = rows.length > limit ? rows[limit - 1] : undefined
    return {
      items: rows.slice(0, limit).map(({ room }) => room),
      next: last === undefined ? null : writeCursor({ at: last.activeAt, id: last.room.id }),
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

  /**
   * Adds somebody of the same workspace; `added` is false when they were in the room already. Throws `not_found` for the
   * room or for them, `not_a_member` for the caller.
   */
  async addMember(
    principal: Principal,
    roomId: string,
    { kind, id }: { readonly kind: MemberKind; readonly id: string },
  ): Promise<{ member: Member; added: boolean }> {
    await this.requireMember(principal, roomId)
    const known = await this.#directory.find(principal.workspaceId, kind, id)
    if (known === undefined) {
      throw new AtomError(
        'not_found',
        `There is no such ${kind === 'account' ? 'person' : 'agent'} in this workspace.`,
      )
    }
    return await this.#database.transaction(async (tx) => {
      const joined = await store.insertMember(tx, roomId, { kind, id, name: known.name })
      if (joined === undefined) {
        const member = await store.findMember(tx, roomId, kind, id)
        if (member === undefined) throw new Error('a member is neither new nor there')
        return { member, added: false }
      }
      const actor = { kind, id, name: known.name }
      await this.#timeline.append(tx, [
        {
          roomId,
          workspaceId: principal.workspaceId,
          type: 'member.joined',
          actor: { kind: principal.kind, id: principal.id },
          clientId: `joined-${kind}-${id}-${joined.joinedSeq}`,
          body: { member: actor },
        },
      ])
      return { member: { ...actor, joinedAt: joined.joinedAt.toISOString() }, added: true }
    })
  }

  /** Throws `not_found` (unknown, or another workspace's: nobody learns which) or `not_a_member`. */
  async requireMember(principal: Principal, roomId: string): Promise<Standing> {
    const standing = (await this.standings(principal, [roomId])).get(roomId.toLowerCase())
    if (standing === undefined) throw new AtomError('not_found', 'There is no such room.')
    if (standing instanceof AtomError) throw standing
    return standing
  }

  /** The same for many rooms at once: what `requireMember` would answer or throw, by room id in lower case. */
  async standings(
    principal: Principal,
    roomIds: readonly string[],
  ): Promise<Map<string, Standing | AtomError>> {
    const wanted = roomIds.map((id) => id.toLowerCase())
    const found = await store.standings(this.#database, principal.workspaceId, principal, wanted)
    return new Map(
      wanted.map((id) => {
        const standing = found.get(id)
        if (standing === undefined) return [id, new AtomError('not_found', 'There is no such room.')]
        return [id, standing.member ? standing : new AtomError('not_a_member')]
      }),
    )
  }

  /** Remembers how far the caller has read. Throws as `requireMember` does. */
  async markRead(principal: Principal, roomId: string, seq: number): Promise<void> {
    const marked = await store.markRead(this.#database, principal.workspaceId, principal, roomId, seq)
    if (!marked) await this.requireMember(principal, roomId)
  }
}

function writeCursor(cursor: { readonly at: string; readonly id: string }): string {
  return Buffer.from(`${cursor.at}|${cursor.id}`).toString('base64url')
}

function readCursor(cursor: string): { at: string; id: string } {
  const [at = '', id = ''] = Buffer.from(cursor, 'base64url').toString().split('|')
  if (Number.isNaN(Date.parse(at)) || !/^[0-9a-f-]{36}$/.test(id)) {
    throw new AtomError('validation_failed', 'The cursor is not one of ours; start again without it.')
  }
  return { at, id }
}
