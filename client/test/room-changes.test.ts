import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Actor, EventPage, Room, RoomEvent } from '@atom/contract/rooms.ts'
import { amended, isAmendment } from '../src/amendments.ts'
import { AtomClientError } from '../src/atom-client-error.ts'
import { PendingChanges } from '../src/pending-changes.ts'
import { RoomFeed } from '../src/realtime/room-feed.ts'
import { readUpTo, withEvents } from '../src/room-summary.ts'

const ada: Actor = { kind: 'account', id: randomUUID(), name: 'Ada' }
const grace: Actor = { kind: 'account', id: randomUUID(), name: 'Grace' }
const epoch = randomUUID()

type Message = Extract<RoomEvent, { type: 'message.created' }>

function at(seq: number): { seq: number; at: string } {
  return { seq, at: new Date(1_800_000_000_000 + seq * 1_000).toISOString() }
}

function message(seq: number, actor = ada, more: Partial<Message> = {}): Message {
  const id = randomUUID()
  return { ...at(seq), actor, type: 'message.created', id, clientId: id, text: `message ${seq}`, ...more }
}

function about(seq: number, type: 'message.deleted' | 'message.pinned', targetSeq: number, actor = ada) {
  return { ...at(seq), actor, type, targetSeq, messageId: randomUUID() } as const
}

function edit(seq: number, targetSeq: number, text: string, actor = ada) {
  return { ...at(seq), actor, type: 'message.edited', targetSeq, messageId: randomUUID(), text } as const
}

function reaction(seq: number, targetSeq: number, on: boolean, actor = grace, emoji = '👍') {
  const type = on ? 'reaction.added' : 'reaction.removed'
  return { ...at(seq), actor, type, targetSeq, messageId: randomUUID(), emoji } as const
}

function page(events: readonly RoomEvent[], head: number, more: boolean): EventPage {
  return { epoch, head, events: [...events], more, floor: 1 }
}

/** What is told afterwards of one held message, in whatever order its page and the events meet. */
function folded(held: RoomEvent, events: readonly RoomEvent[]): RoomEvent {
  return events.filter(isAmendment).reduce<RoomEvent>((now, event) => amended(now, event), held)
}

test('[CL90] what is said of a message is folded into it, and being told twice changes nothing', () => {
  const events = [
    reaction(2, 1, true),
    edit(3, 1, 'better'),
    reaction(4, 1, true, ada),
    reaction(5, 1, false),
    about(6, 'message.pinned', 1),
  ]
  const once = folded(message(1), events)
  assert.ok(once.type === 'message.created')
  assert.deepEqual([once.text, once.editedAt], ['better', at(3).at])
  assert.deepEqual(once.reactions, [{ emoji: '👍', by: [ada.id] }])
  assert.deepEqual(folded(once, events), once)
  const gone = folded(once, [about(7, 'message.deleted', 1), reaction(8, 1, true), edit(9, 1, 'back?')])
  assert.ok(gone.type === 'message.created')
  assert.deepEqual([gone.text, gone.deletedAt, gone.reactions], ['', at(7).at, undefined])
})

test('[CL90] an older page that was read before a change shows the change all the same', async () => {
  const old = [message(1), message(2)]
  const newest = [message(3), message(4)]
  let release: ((page: EventPage) => void) | undefined
  const feed = new RoomFeed({
    wire: {
      join: async () => page(newest, 4, false),
      after: async () => page([], 4, false),
      before: () =>
        new Promise<EventPage>((resolve) => {
          release = resolve
        }),
    },
  })
  feed.connected()
  while (feed.getSnapshot().events.length === 0) await new Promise(setImmediate)
  const loaded = feed.loadOlder()
  feed.receive(epoch, [edit(5, 2, 'changed meanwhile'), reaction(6, 3, true)])
  release?.(page(old, 4, false))
  await loaded
  const texts = feed.getSnapshot().events.map((event) => ('text' in event ? event.text : event.type))
  assert.deepEqual(texts.slice(0, 2), ['message 1', 'changed meanwhile'])
  const third = feed.getSnapshot().events[2]
  assert.ok(third?.type === 'message.created')
  assert.deepEqual(third.reactions, [{ emoji: '👍', by: [grace.id] }])
  feed.close()
})

test('[CL91] my change is shown at once, stays until its event has come, and goes with a refusal without touching what others did', async () => {
  let drawn = 0
  const changes = new PendingChanges({ me: () => ada.id, changed: () => (drawn += 1) })
  const held = [message(1), message(2, grace)]
  const textOf = (events: readonly RoomEvent[], place: number) => {
    const event = changes.over(events)[place]
    return event?.type === 'message.created' ? event.text : undefined
  }
  let answer: (() => void) | undefined
  const edited = changes.make(1, { kind: 'edit', text: 'mine', mentions: [] }, () => {
    return new Promise<void>((resolve) => {
      answer = resolve
    })
  })
  assert.equal(textOf(held, 0), 'mine')
  assert.equal(held[0]?.text, 'message 1')
  answer?.()
  await edited
  assert.equal(textOf(held, 0), 'mine', 'between the answer and the event the old text must not flash up')
  changes.seen(edit(3, 1, 'mine'))
  assert.equal(changes.over(held), held)

  const refused = changes.make(2, { kind: 'react', emoji: '👍', on: true }, () =>
    Promise.reject(new AtomClientError('too_many_reactions')),
  )
  const others = [held[0], amended(message(2, grace), reaction(4, 2, true, grace, '🎉'))] as RoomEvent[]
  const wished = changes.over(others)[1]
  assert.ok(wished?.type === 'message.created')
  assert.deepEqual(
    wished.reactions?.map(({ emoji }) => emoji),
    ['🎉', '👍'],
  )
  await assert.rejects(refused, { code: 'too_many_reactions' })
  assert.equal(changes.over(others), others)
  assert.ok(drawn > 3)
})

test('[CL92] the list knows from what it sees what is unread, who is named, and what was said last', () => {
  const room: Room = {
    id: randomUUID(),
    name: 'Engine team',
    epoch,
    head: 1,
    kind: 'group',
    floor: 1,
    readSeq: 1,
    role: 'member',
    unread: 0,
    unreadMentions: 0,
    muted: false,
    pinned: false,
    createdAt: at(0).at,
    members: [],
  }
  const events: RoomEvent[] = [
    message(1),
    message(2, grace),
    message(3, grace, { mentions: [ada.id], text: 'x'.repeat(300) }),
    { ...at(4), actor: grace, type: 'room.changed', name: 'Engine room' },
    { ...at(5), actor: grace, type: 'member.changed', member: ada, role: 'admin' },
  ]
  const { room: now, unsure } = withEvents(room, events, ada.id)
  assert.deepEqual([now.head, now.unread, now.unreadMentions], [5, 2, 1])
  assert.deepEqual([now.name, now.role, now.lastMessage?.text.length], ['Engine room', 'admin', 200])
  assert.equal(unsure, false)
  assert.deepEqual(withEvents(now, events, ada.id).room, now)
  const partly = readUpTo(now, 2, events, ada.id)
  assert.deepEqual([partly.readSeq, partly.unread, partly.unreadMentions], [2, 1, 1])
  const all = readUpTo(now, 9, events, ada.id)
  assert.deepEqual([all.readSeq, all.unread, all.unreadMentions], [5, 0, 0])
  assert.equal(withEvents(now, [about(6, 'message.deleted', 3, grace)], ada.id).unsure, true)
})
