import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { suite, test } from 'node:test'
import type { Actor, EventPage, RoomEvent } from '@atom/contract/rooms.ts'
import type { RoomSignal } from '@atom/contract/socket.ts'
import fc from 'fast-check'
import { AtomClientError } from '../src/atom-client-error.ts'
import { type Cursor, type FeedWire, type JoinAnswer, RoomFeed } from '../src/realtime/room-feed.ts'
import { RoomReader } from '../src/realtime/room-reader.ts'
import { eventually, until } from './support/until.ts'

const person: Actor = { kind: 'account', id: randomUUID(), name: 'Ada' }
const agent: Actor = { kind: 'agent', id: randomUUID(), name: 'Atom' }
const roomId = randomUUID()

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** The server's half of one room. */
class Timeline {
  epoch = randomUUID() as string
  events: RoomEvent[] = []
  pageSize = 7
  joins = 0
  fetches = 0

  say(text = `message ${this.events.length + 1}`): RoomEvent {
    const event: RoomEvent = {
      ...this.#base(person),
      type: 'message.created',
      id: randomUUID(),
      clientId: randomUUID(),
      text,
    }
    this.events.push(event)
    return event
  }

  amend(targetSeq: number, text: string): RoomEvent {
    const messageId = randomUUID()
    const event: RoomEvent = { ...this.#base(person), type: 'message.edited', targetSeq, messageId, text }
    this.events.push(event)
    return event
  }

  answer(messageId: string, turnId: string, text: string, hash = sha256(text)): RoomEvent {
    const event: RoomEvent = {
      ...this.#base(agent),
      type: 'message.final',
      id: messageId,
      turnId,
      text,
      sha256: hash,
    }
    this.events.push(event)
    return event
  }

  endTurn(turnId: string): RoomEvent {
    const event: RoomEvent = { ...this.#base(agent), type: 'turn.ended', turnId, status: 'interrupted' }
    this.events.push(event)
    return event
  }

  restore(kept: number): void {
    this.events = this.events.slice(0, kept)
    this.epoch = randomUUID()
  }

  join(cursor: Cursor | undefined): JoinAnswer {
    this.joins += 1
    if (cursor !== undefined && cursor.epoch === this.epoch) return this.after(cursor.seq)
    return { ...this.before(undefined), more: false, ...(cursor === undefined ? {} : { reset: true }) }
  }

  after(seq: number): EventPage {
    this.fetches += 1
    const events = this.events.slice(seq, seq + this.pageSize)
    return this.#page(events, seq + events.length < this.events.length)
  }

  before(seq = Number.MAX_SAFE_INTEGER): EventPage {
    const events = this.events.slice(0, seq - 1).slice(-this.pageSize)
    return this.#page(events, (events[0]?.seq ?? 1) > 1)
  }

  wire(): FeedWire {
    return {
      join: async (cursor) => this.join(cursor),
      after: async (seq) => this.after(seq),
      before: async (seq) => this.before(seq),
    }
  }

  #base(actor: Actor) {
    return { seq: this.events.length + 1, at: new Date(0).toISOString(), actor }
  }

  #page(events: RoomEvent[], more: boolean): EventPage {
    return { epoch: this.epoch, head: this.events.length, floor: 1, events, more }
  }
}

function delta(messageId: string, offset: number, text: string, attempt = 1, turnId = 'turn'): RoomSignal {
  return { roomId, kind: 'delta', actor: agent, turnId, messageId, attempt, offset, text }
}

async function live(timeline: Timeline, wire = timeline.wire()): Promise<RoomFeed> {
  const feed = new RoomFeed({ wire })
  feed.connected()
  await until(feed, ({ state }) => state === 'live')
  return feed
}

/** What may happen next between a server and one device. */
type Step =
  | { kind: 'say'; count: number; fate: 'told' | 'dropped' | 'late' | 'doubled' | 'backwards' }
  | { kind: 'drop' }
  | { kind: 'reconnect'; resumed: boolean }
  | { kind: 'restore'; kept: number }
  | { kind: 'older' }
  | { kind: 'breathe' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('say' as const),
      count: fc.integer({ min: 1, max: 12 }),
      fate: fc.constantFrom(
        'told' as const,
        'dropped' as const,
        'late' as const,
        'doubled' as const,
        'backwards' as const,
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('drop' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('reconnect' as const), resumed: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const), kept: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('older' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('breathe' as const) }) },
)

suite('a room’s feed', { concurrency: false }, () => {
  test('[CL11] whatever is dropped, doubled, late or cut off, events are shown once, in order, without a gap', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(40),
        fc.array(step, { minLength: 1, maxLength: 40 }),
        fc.array(fc.nat(9), { minLength: 1, maxLength: 20 }),
        async (already, steps, faults) => {
          const timeline = new Timeline()
          for (let index = 0; index < already; index++) timeline.say()
          let connected = false
          let asked = 0
          let calm = false
          // Every answer takes a moment; some fail as they do in life.
          const troubled = async <T>(needsSocket: boolean, answer: () => T): Promise<T> => {
            const value = needsSocket && !connected ? undefined : answer()
            const fault = faults[asked++ % faults.length] ?? 0
            for (let ticks = 0; ticks < fault % 4; ticks++)
              await new Promise((resolve) => setImmediate(resolve))
            if (needsSocket && !connected) throw new AtomClientError('offline')
            if (fault === 9 && !calm) throw new AtomClientError('timeout', { retryAfterMs: 0 })
            return value ?? answer()
          }
          const feed = new RoomFeed({
            patienceMs: 3,
            retryMs: 0.01,
            wire: {
              join: (cursor) => troubled(true, () => timeline.join(cursor)),
              after: (seq) => troubled(false, () => timeline.after(seq)),
              before: (seq) => troubled(false, () => timeline.before(seq)),
            },
          })
          const histories = new Map([[timeline.epoch, timeline.events]])
          const look = () => {
            const { events, loadedFrom } = feed.getSnapshot()
            const { cursor } = feed
            if (cursor === undefined) return assert.deepEqual(events, [])
            const truth = histories.get(cursor.epoch) ?? []
            assert.deepEqual(events, truth.slice(loadedFrom - 1, cursor.seq))
          }
          feed.subscribe(look)
          const late: [string, RoomEvent[]][] = []
          for (const now of steps) {
            if (now.kind === 'say') {
              const said = Array.from({ length: now.count }, () => timeline.say())
              histories.set(timeline.epoch, timeline.events)
              if (!connected) continue
              if (now.fate === 'told') feed.receive(timeline.epoch, said)
              else if (now.fate === 'doubled') for (const _ of [1, 2]) feed.receive(timeline.epoch, said)
              else if (now.fate === 'backwards')
                for (const event of said.toReversed()) feed.receive(timeline.epoch, [event])
              else if (now.fate === 'late') late.push([timeline.epoch, said])
            } else if (now.kind === 'drop') {
              connected = false
              late.length = 0
              feed.lost()
            } else if (now.kind === 'reconnect') {
              if (connected) feed.lost()
              late.length = 0
              connected = true
              const { cursor } = feed
              if (now.resumed && cursor !== undefined) {
                const reset = cursor.epoch !== timeline.epoch
                feed.connected({
                  epoch: timeline.epoch,
                  head: timeline.events.length,
                  ...(reset && { reset }),
                })
              } else feed.connected()
            } else if (now.kind === 'restore') {
              timeline.restore(now.kept)
              histories.set(timeline.epoch, timeline.events)
              late.length = 0
            } else if (now.kind === 'older') {
              await feed.loadOlder().catch((thrown: unknown) => assert.ok(thrown instanceof AtomClientError))
            } else {
              for (const [epoch, said] of late.splice(0)) feed.receive(epoch, said)
              await new Promise((resolve) => setImmediate(resolve))
            }
            look()
          }
          // In the end the device comes back, and somebody says one more thing.
          feed.lost()
          connected = true
          calm = true
          feed.connected()
          const last = timeline.say()
          histories.set(timeline.epoch, timeline.events)
          feed.receive(timeline.epoch, [last])
          const end = await until(feed, ({ state, head }) => state === 'live' && head === last.seq)
          assert.deepEqual(end.events.at(-1), last)
          look()
          feed.close()
        },
      ),
      { numRuns: 150, endOnFailure: true },
    )
  })

  test('[CL12] nothing after a gap is shown before the gap is closed, and closing it takes one fetch', async () => {
    const timeline = new Timeline()
    timeline.say()
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const feed = await live(timeline, {
      ...timeline.wire(),
      after: async (seq) => {
        await gate
        return timeline.after(seq)
      },
    })
    const [second, third, fourth] = [timeline.say(), timeline.say(), timeline.say()]
    const before = timeline.fetches
    feed.receive(timeline.epoch, [third])
    feed.receive(timeline.epoch, [fourth])
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(feed.getSnapshot().events.length, 1)
    assert.equal(feed.getSnapshot().state, 'stale')
    release()
    const end = await until(feed, ({ events }) => events.length === 4)
    assert.deepEqual(end.events.slice(1), [second, third, fourth])
    assert.equal(end.state, 'live')
    assert.equal(timeline.fetches - before, 1)
    feed.close()
  })

  test('[CL13] an answer grows by its deltas, overlap ignored, and gives way to the committed text', async () => {
    const timeline = new Timeline()
    const feed = await live(timeline)
    const text = () => feed.getSnapshot().drafts.get('m')?.text
    feed.signal(delta('m', 0, 'Hello'))
    feed.signal(delta('m', 5, ', wor'))
    assert.equal(text(), 'Hello, wor')
    feed.signal(delta('m', 0, 'Hello, w'))
    assert.equal(text(), 'Hello, wor')
    feed.signal(delta('m', 7, 'world'))
    assert.equal(text(), 'Hello, world')
    feed.signal(delta('m', 0, 'Anew', 2))
    assert.equal(text(), 'Anew')
    feed.signal(delta('m', 12, ' of the first attempt', 1))
    assert.equal(text(), 'Anew')
    feed.receive(timeline.epoch, [timeline.answer('m', 'turn', 'Anew and whole')])
    const { drafts, events } = feed.getSnapshot()
    assert.equal(drafts.size, 0)
    assert.equal(events.at(-1)?.type, 'message.final')
    feed.signal(delta('m', 0, 'a late ghost', 2))
    assert.equal(feed.getSnapshot().drafts.size, 0)
    feed.close()
  })

  test('[CL13] a delta that does not fit asks once for the text so far, and then goes on', async () => {
    const timeline = new Timeline()
    const feed = await live(timeline)
    const joins = timeline.joins
    feed.signal(delta('m', 40, 'mid'))
    feed.signal(delta('m', 43, 'dle'))
    assert.equal(feed.getSnapshot().drafts.size, 0)
    await eventually(() => timeline.joins > joins)
    assert.equal(timeline.joins, joins + 1)
    feed.signal(delta('m', 0, 'x'.repeat(46)))
    feed.signal(delta('m', 46, '!'))
    assert.equal(feed.getSnapshot().drafts.get('m')?.text, `${'x'.repeat(46)}!`)
    feed.close()
  })

  test('[CL13] a turn that was cut takes its half-written answer with it', async () => {
    const timeline = new Timeline()
    const feed = await live(timeline)
    feed.signal(delta('m', 0, 'I was about to'))
    feed.receive(timeline.epoch, [timeline.endTurn('turn')])
    assert.equal(feed.getSnapshot().drafts.size, 0)
    feed.signal(delta('m', 14, ' say'))
    assert.equal(feed.getSnapshot().drafts.size, 0)
    feed.close()
  })

  test('[CL14] an answer that does not match its checksum is fetched again and put right', async () => {
    const timeline = new Timeline()
    const feed = await live(timeline)
    const truth = timeline.answer('m', 'turn', 'The whole truth')
    assert.ok(truth.type === 'message.final')
    feed.receive(timeline.epoch, [{ ...truth, text: 'The whole tru' }])
    const { events } = await until(feed, (now) => {
      const last = now.events.at(-1)
      return last?.type === 'message.final' && last.text === 'The whole truth'
    })
    assert.deepEqual(events, [truth])
    feed.close()
  })

  test('[CL15] a room that was restored from a backup is read anew, and nothing of the lost timeline stays', async () => {
    const timeline = new Timeline()
    for (let index = 0; index < 5; index++) timeline.say()
    const feed = await live(timeline)
    feed.signal(delta('m', 0, 'of the lost time'))
    timeline.restore(3)
    const said = timeline.say('after the restore')
    feed.receive(timeline.epoch, [said])
    const { events, drafts } = await until(feed, ({ state, head }) => state === 'live' && head === 4)
    assert.deepEqual(events, timeline.events)
    assert.equal(drafts.size, 0)
    feed.close()
  })

  test('[CL16] a reader gets every event after its place once and in order, from long ago into the future', async () => {
    const timeline = new Timeline()
    for (let index = 0; index < 30; index++) timeline.say()
    const feed = await live(timeline)
    assert.equal(feed.getSnapshot().loadedFrom, 24)
    const read: number[] = []
    const stop = new AbortController()
    const reading = (async () => {
      for await (const { seq } of feed.follow(3, stop.signal)) {
        read.push(seq)
        if (seq === 30) for (const _ of [1, 2, 3]) feed.receive(timeline.epoch, [timeline.say()])
        if (seq === 33) stop.abort()
      }
    })()
    await reading
    assert.deepEqual(
      read,
      Array.from({ length: 30 }, (_, index) => index + 4),
    )
    feed.close()
  })

  test('[CL16] a reader is told that the room was restored, never shown a hole', async () => {
    const timeline = new Timeline()
    timeline.say()
    const feed = await live(timeline)
    const reading = (async () => {
      for await (const _ of feed.follow(undefined, new AbortController().signal))
        assert.fail('nothing new was said')
    })()
    timeline.restore(0)
    feed.receive(timeline.epoch, [timeline.say()])
    await assert.rejects(reading, { code: 'timeline_reset' })
    feed.close()
  })

  test('[RM37] a feed whose missing events are no longer kept begins anew with the newest page', async () => {
    const timeline = new Timeline()
    timeline.say()
    let floor = 1
    const feed = await live(timeline, {
      ...timeline.wire(),
      join: async (cursor) => {
        if (cursor === undefined) return timeline.join(cursor)
        return {
          ...timeline.before(undefined),
          more: false,
          ...(cursor.seq < floor - 1 && { reset: true, floor }),
        }
      },
      after: async (seq) => {
        assert.ok(seq < floor - 1)
        return { ...timeline.before(undefined), more: false, reset: true, floor }
      },
    })
    for (let index = 0; index < 20; index++) timeline.say()
    floor = 18
    const last = timeline.events.at(-1)
    assert.ok(last)
    feed.receive(timeline.epoch, [last])
    const { events } = await until(feed, ({ state, head }) => state === 'live' && head === 21)
    assert.deepEqual(events, timeline.events.slice(-7))
    feed.close()
  })

  test('[CL63] a reader that is slow costs no memory: what it has not read yet is read again from its place', async () => {
    const timeline = new Timeline()
    timeline.pageSize = 100
    timeline.say()
    const feed = await live(timeline)
    const reader = new RoomReader({
      feed,
      open: () => ({ [Symbol.dispose]: () => undefined }),
      after: 0,
      signal: undefined,
    })
    assert.equal((await reader.next()).value.seq, 1)
    let most = 0
    for (let index = 0; index < 5_000; index++) {
      feed.receive(timeline.epoch, [timeline.say()])
      most = Math.max(most, feed.getSnapshot().events.length)
    }
    assert.ok(most <= 1_000, `${most} events were held for nobody`)
    for (let seq = 2; seq <= 5_001; seq++) assert.equal((await reader.next()).value.seq, seq)
    assert.deepEqual(reader.cursor, { epoch: timeline.epoch, seq: 5_001 })
    await reader.return()
    // Who looks at the room keeps all of it.
    feed.lookedAt(true)
    for (let index = 0; index < 2_000; index++) feed.receive(timeline.epoch, [timeline.say()])
    assert.ok(feed.getSnapshot().events.length >= 2_000)
    feed.close()
  })

  test('[CL62] trouble that passes is waited out in mid-history', async () => {
    const timeline = new Timeline()
    for (let index = 0; index < 40; index++) timeline.say()
    let troubles = 0
    const feed = new RoomFeed({
      wire: {
        ...timeline.wire(),
        after: async (seq) => {
          troubles += 1
          if (troubles % 2 === 1) throw new AtomClientError(troubles % 4 === 1 ? 'offline' : 'busy')
          return timeline.after(seq)
        },
      },
      retryMs: 2,
    })
    feed.connected()
    await until(feed, ({ state }) => state === 'live')
    const read: number[] = []
    for await (const { seq } of feed.follow(0, new AbortController().signal)) {
      read.push(seq)
      if (seq === 40) break
    }
    assert.deepEqual(
      read,
      Array.from({ length: 40 }, (_, index) => index + 1),
    )
    assert.ok(troubles >= 8)
    feed.close()
  })

  test('[CL64] a reader that is told to stop stops, also while it waits for something to be said', async () => {
    const timeline = new Timeline()
    timeline.say()
    const feed = await live(timeline)
    let open = 0
    const reader = new RoomReader({
      feed,
      open: () => {
        open += 1
        return {
          [Symbol.dispose]: () => {
            open -= 1
          },
        }
      },
      after: undefined,
      signal: undefined,
    })
    const waiting = reader.next()
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(open, 1)
    assert.deepEqual(await reader.return(), { value: undefined, done: true })
    assert.deepEqual(await waiting, { value: undefined, done: true })
    assert.equal(open, 0)
    assert.equal((await reader.next()).done, true)
    feed.close()
  })

  test('[CL65] a cursor of another timeline, or from beyond its end, is a reset and never a silent hole', async () => {
    const timeline = new Timeline()
    for (let index = 0; index < 5; index++) timeline.say()
    const feed = await live(timeline)
    const { signal } = new AbortController()
    for (const after of [{ epoch: randomUUID(), seq: 3 }, { epoch: timeline.epoch, seq: 9 }, 9])
      await assert.rejects(feed.follow(after, signal).next(), { code: 'timeline_reset' })
    // Another device has seen the newest event before this one was told of it.
    timeline.say()
    const ahead = feed.follow({ epoch: timeline.epoch, seq: 6 }, signal).next()
    feed.receive(timeline.epoch, [timeline.events[5] as RoomEvent])
    feed.receive(timeline.epoch, [timeline.say()])
    assert.equal((await ahead).value?.seq, 7)
    feed.close()
  })

  test('[CL17] older pages come before what is held, one at a time, down to the beginning', async () => {
    const timeline = new Timeline()
    for (let index = 0; index < 17; index++) timeline.say()
    const feed = await live(timeline)
    assert.deepEqual([feed.getSnapshot().loadedFrom, feed.getSnapshot().hasOlder], [11, true])
    await Promise.all([feed.loadOlder(), feed.loadOlder()])
    assert.deepEqual([feed.getSnapshot().loadedFrom, feed.getSnapshot().hasOlder], [4, true])
    await feed.loadOlder()
    assert.deepEqual([feed.getSnapshot().loadedFrom, feed.getSnapshot().hasOlder], [1, false])
    assert.deepEqual(feed.getSnapshot().events, timeline.events)
    await feed.loadOlder()
    feed.close()
  })

  test('[CL130] a page of older messages and an event that comes are all that is looked at, however much is held', async () => {
    const timeline = new Timeline()
    timeline.pageSize = 100
    const looked = new Set<RoomEvent>()
    const watch = (event: RoomEvent): RoomEvent =>
      new Proxy(event, {
        get(target, name) {
          looked.add(target)
          return Reflect.get(target, name)
        },
        has(target, name) {
          looked.add(target)
          return Reflect.has(target, name)
        },
      })
    // What is said of the beginning stands at the end.
    const message = timeline.say('before')
    for (let index = 0; index < 4_997; index++) timeline.say()
    timeline.amend(message.seq, 'changed')
    timeline.amend(message.seq, 'changed again')
    const stale = { ...message }
    timeline.events = timeline.events.map(watch)
    timeline.events[0] = watch(stale)
    const feed = await live(timeline)
    feed.lookedAt(true)
    while (feed.getSnapshot().loadedFrom > 101) {
      await feed.loadOlder()
      looked.clear()
    }
    const held = feed.getSnapshot().events.length
    await feed.loadOlder()
    assert.deepEqual([held, feed.getSnapshot().events.length], [4_900, 5_000])
    // The page, and the ends of what is held.
    assert.ok(looked.size <= 110, `${looked.size} for a page of 100`)
    const [first] = feed.getSnapshot().events
    assert.equal(first?.type === 'message.created' && first.text, 'changed again')
    looked.clear()
    feed.receive(timeline.epoch, [watch(timeline.say('one more'))])
    assert.equal(feed.getSnapshot().events.at(-1)?.seq, 5_001)
    assert.ok(looked.size <= 10, `${looked.size} for one that came`)
    feed.close()
  })

  test('[CL18] a room that may not be read says why; trouble that passes does not make it fail', async () => {
    const refusals = [new AtomClientError('busy', { retryAfterMs: 0 }), new AtomClientError('not_a_member')]
    const timeline = new Timeline()
    const feed = new RoomFeed({
      wire: {
        ...timeline.wire(),
        join: async (cursor) => {
          const refusal = refusals.shift()
          if (refusal !== undefined) throw refusal
          return timeline.join(cursor)
        },
      },
    })
    feed.connected()
    const { error } = await until(feed, ({ state }) => state === 'failed')
    assert.equal(error?.code, 'not_a_member')
    // Somebody adds the person, and the next socket finds the door open.
    feed.lost()
    feed.connected()
    assert.equal((await until(feed, ({ state }) => state === 'live')).error, undefined)
    feed.close()
  })

  test('[CL10] a delta in a room of ten thousand events copies none of them, and a burst is told once', async () => {
    const timeline = new Timeline()
    timeline.pageSize = 10_000
    for (let index = 0; index < 10_000; index++) timeline.say()
    const feed = new RoomFeed({ wire: timeline.wire() })
    feed.lookedAt(true)
    feed.connected()
    await until(feed, ({ state }) => state === 'live')
    const before = feed.getSnapshot()
    assert.equal(feed.getSnapshot(), before)
    let told = 0
    feed.subscribe(() => {
      told += 1
    })
    for (let index = 0; index < 500; index++) feed.signal(delta('m', index, 'x'))
    const { drafts, events } = await until(feed, () => told > 0)
    assert.equal(told, 1)
    assert.equal(drafts.get('m')?.text.length, 500)
    assert.equal(events, before.events)
    for (let index = 0; index < 500; index++) feed.receive(timeline.epoch, [timeline.say()])
    await until(feed, () => told > 1)
    assert.equal(told, 2)
    assert.equal(before.events.length, 10_000)
    assert.equal(feed.getSnapshot().events.length, 10_500)
    assert.equal(feed.getSnapshot().drafts, drafts)
    feed.close()
  })
})
