import type { Actor, Member, Room, RoomEvent } from '@atom/contract/rooms.ts'
import { isMessage } from './amendments.ts'

/** Of a message in a list, as the server cuts it. */
const previewLength = 200
/** Stands for more, as the server counts. */
const mostUnread = 1_000

/**
 * A room as a list shows it, after these events. `unsure` where they do not say enough and the server must be asked: a deleted
 * message may have been counted, and may have been the newest.
 */
export function withEvents(
  room: Room,
  events: readonly RoomEvent[],
  me: string,
): { readonly room: Room; readonly unsure: boolean } {
  const next = { ...room }
  let unsure = false
  for (const event of events) {
    if (event.seq <= next.head) continue
    next.head = event.seq
    if (isMessage(event)) {
      next.lastMessage = {
        seq: event.seq,
        at: event.at,
        actor: event.actor,
        text: event.text.slice(0, previewLength),
      }
      if (event.actor.id === me || event.seq <= next.readSeq || event.deletedAt !== undefined) continue
      next.unread = Math.min(mostUnread, next.unread + 1)
      const names = event.type === 'message.created' && (event.mentions?.includes(me) ?? false)
      if (names || next.kind === 'direct') next.unreadMentions = Math.min(mostUnread, next.unreadMentions + 1)
      continue
    }
    switch (event.type) {
      case 'message.edited':
        if (next.lastMessage?.seq === event.targetSeq) {
          next.lastMessage = { ...next.lastMessage, text: event.text.slice(0, previewLength) }
        }
        if (event.targetSeq > next.readSeq && event.actor.id !== me) unsure = true
        break
      case 'message.deleted':
        if (event.targetSeq > next.readSeq || next.lastMessage?.seq === event.targetSeq) unsure = true
        break
      case 'room.changed':
        if (next.kind === 'group') next.name = event.name
        break
      case 'member.joined':
        next.members = joined(next.members, event.member, event.at, event.seq)
        break
      case 'member.left':
        next.members = next.members.filter(({ id }) => id !== event.member.id)
        break
      case 'member.changed':
        next.members = next.members.map((member) =>
          member.id === event.member.id ? { ...member, role: event.role } : member,
        )
        if (event.member.id === me) next.role = event.role
        break
    }
  }
  return { room: next, unsure }
}

/** Everything up to `seq` is read, as far as what is held says how much that leaves. */
export function readUpTo(room: Room, seq: number, held: readonly RoomEvent[], me: string): Room {
  const readSeq = Math.max(room.readSeq, Math.min(seq, room.head))
  if (readSeq >= room.head) return { ...room, readSeq, unread: 0, unreadMentions: 0 }
  let unread = 0
  let unreadMentions = 0
  for (let at = held.length - 1; at >= 0; at -= 1) {
    const event = held[at]
    if (event === undefined || event.seq <= readSeq) break
    if (!isMessage(event) || event.actor.id === me || event.deletedAt !== undefined) continue
    unread += 1
    const names = event.type === 'message.created' && (event.mentions?.includes(me) ?? false)
    if (names || room.kind === 'direct') unreadMentions += 1
  }
  return {
    ...room,
    readSeq,
    unread: Math.min(room.unread, unread),
    unreadMentions: Math.min(room.unreadMentions, unreadMentions),
  }
}

/** Members with how far each has read, or has it, from a signal. */
export function withMarks(
  room: Room,
  mark: 'readSeq' | 'deliveredSeq',
  marks: readonly { readonly id: string; readonly seq: number }[],
): Room {
  const seqs = new Map(marks.map(({ id, seq }) => [id, seq]))
  return {
    ...room,
    members: room.members.map((member) => {
      const seq = seqs.get(member.id) ?? 0
      if (seq <= member[mark]) return member
      // Who has read it has it.
      return { ...member, [mark]: seq, deliveredSeq: Math.max(member.deliveredSeq, seq) }
    }),
  }
}

function joined(members: readonly Member[], member: Actor, at: string, seq: number): Member[] {
  if (member.kind === 'system' || members.some(({ id }) => id === member.id)) return [...members]
  return [...members, { ...member, joinedAt: at, role: 'member', readSeq: seq, deliveredSeq: seq }]
}
