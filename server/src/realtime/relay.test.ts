import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RoomEvent } from '@atom/contract/rooms.ts'
import type { ServerFrame } from '@atom/contract/socket.ts'
import { newId } from '#foundation/ids.ts'
import { createLog } from '#foundation/log.ts'
import type { RoomNews, Timeline } from '#rooms/timeline.ts'
import { Hub, type Outlet } from './hub.ts'
import { Pages } from './pages.ts'
import { Relay } from './relay.ts'

const roomId = newId()

function message(seq: number, text = 'a word'): RoomEvent {
  const actor = { kind: 'account', id: roomId, name: 'Ada' } as const
  return {
    seq,
    id: newId(),
    clientId: `client-${seq}`,
    at: '2026-01-01T00:00:00.000Z',
    type: 'message.created',
    actor,
    text,
  }
}

/** A room with one live socket, whose timeline says what the test says. */
function scene(pace: { gatherMs: number }) {
  const frames: ServerFrame<'room.events'>[] = []
  const hub = new Hub<Outlet>({ events: (_roomId, frame) => frames.push(frame), signal: () => undefined })
  let tell = (_: RoomNews): void => undefined
  const timeline: Pick<Timeline, 'subscribe' | 'since' | 'newest' | 'heads'> = {
    subscribe: (heard) => {
      tell = heard
      return { [Symbol.dispose]: () => undefined }
    },
    since: () => Promise.reject(new Error('nothing had to be read')),
    newest: () => Promise.reject(new Error('nothing had to be read')),
    heads: async () => new Map(),
  }
  const pages = new Pages({ timeline, most: 1 })
  const log = createLog({ level: 'silent' })
  const relay = new Relay({ hub, timeline: timeline as Timeline, pages, log, pace })
  const outlet: Outlet = {
    id: 'socket',
    accountId: newId(),
    emit: () => undefined,
    expelled: () => undefined,
  }
  const follower = hub.follow(outlet, roomId)
  hub.cutOver(follower)
  return {
    relay,
    frames,
    say: (...events: RoomEvent[]) => tell({ roomId, head: events.at(-1)?.seq ?? 0, events }),
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('[RT42] with time to spare every event leaves at the end of the turn it came in; under load those of a few milliseconds leave in one frame', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const pace = { gatherMs: 0 }
  const { frames, say } = scene(pace)
  say(message(1))
  await turn()
  assert.deepEqual(seqs(frames), [[1]])
  say(message(2))
  say(message(3), message(4))
  await turn()
  assert.deepEqual(seqs(frames), [[1], [2, 3, 4]])
  pace.gatherMs = 8
  for (let seq = 5; seq <= 20; seq++) {
    say(message(seq))
    await turn()
  }
  assert.equal(frames.length, 2)
  context.mock.timers.tick(8)
  assert.deepEqual(
    seqs(frames).at(-1),
    Array.from({ length: 16 }, (_, index) => index + 5),
  )
})

test('[RT43] a frame has at most 64 events or 32 KB, and what is told next never comes before it', () => {
  const { relay, frames, say } = scene({ gatherMs: 1_000 })
  for (let seq = 1; seq <= 100; seq++) say(message(seq))
  for (let seq = 101; seq <= 110; seq++) say(message(seq, 'x'.repeat(10_000)))
  relay.flush(roomId)
  assert.deepEqual(
    seqs(frames).map((frame) => frame.length),
    [64, 37, 3, 3, 3],
  )
  assert.deepEqual(
    seqs(frames).flat(),
    Array.from({ length: 110 }, (_, index) => index + 1),
  )
  for (const frame of frames) assert.ok(JSON.stringify(frame).length <= 34 * 1024)
})

function seqs(frames: readonly ServerFrame<'room.events'>[]): number[][] {
  return frames.map(({ events }) => events.map(({ seq }) => seq))
}
