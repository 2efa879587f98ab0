import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { FrameError } from '@atom/contract/errors.ts'
import { limits, type RoomEvent } from '@atom/contract/rooms.ts'
import type { ClientAnswer, ClientFrame } from '@atom/contract/socket.ts'
import fc from 'fast-check'
import { AtomClientError } from '../src/atom-client-error.ts'
import { Outbox, type OutboxLine } from '../src/realtime/outbox.ts'
import { memoryStorage } from '../src/realtime/outbox-storage.ts'
import { loneTab } from '../src/tabs.ts'
import { sharedTabs } from './support/shared-tabs.ts'
import { eventually } from './support/until.ts'

/** What may happen to one batch. */
type Fate = 'ok' | 'lost_before' | 'lost_after' | 'busy' | 'half_busy' | 'line_drops'
type Send = ClientFrame<'message.send'>

const busy: FrameError = { code: 'busy', detail: '', retryable: true, retryAfterMs: 0 }

/** The server's half: never commits a clientId twice, and answers a double with the place it has. */
class Ledger {
  readonly committed: { roomId: string; clientId: string; text: string }[] = []
  deliveries = 0

  commit(roomId: string, clientId: string, text: string): { id: string; seq: number } {
    this.deliveries += 1
    let place = this.committed.findIndex((one) => one.clientId === clientId)
    if (place < 0) place = this.committed.push({ roomId, clientId, text }) - 1
    return { id: `id-${clientId}`, seq: place + 1 }
  }

  texts(roomId: string): string[] {
    return this.committed.filter((one) => one.roomId === roomId).map(({ text }) => text)
  }
}

class Line implements OutboxLine {
  connected = true
  inFlight = new Map<string, number>()
  mostInFlight = 0
  readonly ledger: Ledger
  readonly fates: Fate[]

  constructor(ledger: Ledger, fates: Fate[] = []) {
    this.ledger = ledger
    this.fates = fates
  }

  async request(_: 'message.send', body: Send): Promise<ClientAnswer<'message.send'>> {
    assert.ok('items' in body)
    const { roomId, items } = body
    const flying = (this.inFlight.get(roomId) ?? 0) + 1
    this.inFlight.set(roomId, flying)
    this.mostInFlight = Math.max(this.mostInFlight, flying)
    try {
      await new Promise((resolve) => setImmediate(resolve))
      if (!this.connected) throw new AtomClientError('offline')
      const fate = this.fates.shift() ?? 'ok'
      if (fate === 'busy') throw AtomClientError.fromFrame(busy)
      if (fate === 'lost_before') throw new AtomClientError('timeout')
      if (fate === 'line_drops') {
        this.connected = false
        throw new AtomClientError('offline')
      }
      const results = items.map(({ clientId, text }, index) =>
        fate === 'half_busy' && index >= items.length / 2
          ? { ok: false as const, error: busy }
          : { ok: true as const, ...this.ledger.commit(roomId, clientId, text) },
      )
      if (fate === 'lost_after') throw new AtomClientError('timeout')
      return { results }
    } finally {
      this.inFlight.set(roomId, (this.inFlight.get(roomId) ?? 1) - 1)
    }
  }
}

function alone(line: OutboxLine, storage = memoryStorage()): Outbox {
  return new Outbox({ storage, tabs: loneTab(), line, random: () => 0 })
}

suite('the outbox', { concurrency: false }, () => {
  test('[CL5] whatever happens on the way, each message is committed once and each room keeps its order', async () => {
    const fate = fc.constantFrom<Fate>('ok', 'lost_before', 'lost_after', 'busy', 'half_busy', 'line_drops')
    await fc.assert(
      fc.asyncProperty(
        fc.array(fate, { maxLength: 30 }),
        fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 80 }),
        fc.array(fc.boolean(), { minLength: 80, maxLength: 80 }),
        async (fates, rooms, pauses) => {
          const ledger = new Ledger()
          const line = new Line(ledger, fates)
          const outbox = alone(line)
          await outbox.start('me')
          // The line comes back by itself, as it does in life.
          const revive = setInterval(() => {
            if (line.connected) return
            line.connected = true
            outbox.flush()
          }, 1)
          try {
            const sent: Promise<{ id: string; seq: number }>[] = []
            for (const [index, room] of rooms.entries()) {
              sent.push(outbox.send(room, `${index}`))
              if (pauses[index]) await new Promise((resolve) => setImmediate(resolve))
            }
            const answers = await Promise.all(sent)
            for (const room of new Set(rooms)) {
              assert.deepEqual(
                ledger.texts(room),
                rooms.flatMap((of, index) => (of === room ? [`${index}`] : [])),
              )
            }
            for (const [index, { seq }] of answers.entries())
              assert.equal(ledger.committed[seq - 1]?.text, `${index}`)
            assert.equal(line.mostInFlight, 1)
            assert.equal(outbox.pendingCount, 0)
          } finally {
            clearInterval(revive)
            outbox.close()
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  test('[CL6] a message is stored before it is sent for the first time', async () => {
    const storage = memoryStorage()
    const line = new Line(new Ledger())
    let storedAtFirstSend: number | undefined
    const request = line.request.bind(line)
    line.request = async (name, body) => {
      storedAtFirstSend ??= (await storage.list('me')).length
      return await request(name, body)
    }
    const outbox = alone(line, storage)
    await outbox.start('me')
    await outbox.send('a', 'kept first')
    assert.equal(storedAtFirstSend, 1)
    await eventually(() => outbox.ofRoom('a').length === 0)
    outbox.close()
  })

  test('[CL6] what a closed tab left unsent goes out with the next one, under the id it had', async () => {
    const storage = memoryStorage()
    const ledger = new Ledger()
    const away = new Line(ledger)
    away.connected = false
    const closed = alone(away, storage)
    await closed.start('me')
    const promised = closed.send('a', 'written in the train')
    await eventually(() => closed.ofRoom('a').length === 1)
    const [before] = closed.ofRoom('a')
    closed.stop()
    await assert.rejects(promised, { code: 'closed' })

    const next = alone(new Line(ledger), storage)
    await next.start('me')
    await eventually(() => ledger.committed.length === 1)
    assert.deepEqual(ledger.committed, [
      { roomId: 'a', clientId: before?.clientId, text: 'written in the train' },
    ])
    next.close()
  })

  test('[CL6] nobody’s unsent message is sent by the person who signs in next', async () => {
    const storage = memoryStorage()
    const ledger = new Ledger()
    const line = new Line(ledger)
    line.connected = false
    const outbox = alone(line, storage)
    await outbox.start('me')
    const promised = outbox.send('a', 'mine')
    await eventually(() => outbox.pendingCount === 1)
    const rejected = assert.rejects(promised, { code: 'closed' })
    line.connected = true
    await outbox.start('you')
    outbox.flush()
    await rejected
    await outbox.send('a', 'yours')
    assert.deepEqual(ledger.texts('a'), ['yours'])
    assert.deepEqual(outbox.ofRoom('a'), [])
    outbox.close()
  })

  test('[CL7] several tabs share one outbox: each message goes over the line once, whichever tab has one', async () => {
    const browser = sharedTabs()
    const storage = memoryStorage()
    const ledger = new Ledger()
    const lines = [new Line(ledger), new Line(ledger), new Line(ledger)]
    const offline = lines[2]
    if (offline !== undefined) offline.connected = false
    const outboxes = lines.map((line) => new Outbox({ storage, tabs: browser.open(), line, random: () => 0 }))
    for (const outbox of outboxes) await outbox.start('me')
    const count = 90
    await Promise.all(
      Array.from({ length: count }, (_, index) => {
        const outbox = outboxes[index % 3]
        assert.ok(outbox)
        return outbox.send('a', `${index}`)
      }),
    )
    assert.equal(ledger.committed.length, count)
    assert.equal(ledger.deliveries, count)
    assert.deepEqual(
      ledger.texts('a'),
      Array.from({ length: count }, (_, index) => `${index}`),
    )
    await eventually(() => outboxes.every((outbox) => outbox.pendingCount === 0))
    for (const outbox of outboxes) outbox.close()
  })

  test('[CL8] a message that is refused for good waits as failed with its reason, alone, until retried or discarded', async () => {
    const ledger = new Ledger()
    const line = new Line(ledger)
    const request = line.request.bind(line)
    const refusal = { current: true }
    line.request = async (name, body) => {
      assert.ok('items' in body)
      if (refusal.current && body.items.some(({ text }) => text.startsWith('bad')))
        throw AtomClientError.fromFrame({ code: 'frame_malformed', detail: 'no', retryable: false })
      return await request(name, body)
    }
    const outbox = alone(line)
    await outbox.start('me')
    const outcomes = await Promise.allSettled(
      ['one', 'bad two', 'three', 'bad four'].map((text) => outbox.send('a', text)),
    )
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled', 'rejected'],
    )
    assert.deepEqual(ledger.texts('a'), ['one', 'three'])
    const [two, four] = outbox.ofRoom('a')
    assert.ok(two && four)
    assert.deepEqual([two.state, two.error?.code, two.error?.detail], ['failed', 'frame_malformed', 'no'])
    assert.equal(outbox.pendingCount, 0)

    await outbox.discard(four.clientId)
    refusal.current = false
    await outbox.retry(two.clientId)
    await eventually(() => outbox.ofRoom('a').length === 0)
    assert.deepEqual(ledger.texts('a'), ['one', 'three', 'bad two'])
    assert.equal(ledger.committed.at(-1)?.clientId, two.clientId)
    outbox.close()
  })

  test('[CL8] a text over the limit is not sent and not lost', async () => {
    const ledger = new Ledger()
    const outbox = alone(new Line(ledger))
    await outbox.start('me')
    const text = 'ä'.repeat(limits.messageBytes / 2 + 1)
    await assert.rejects(outbox.send('a', text), { code: 'message_too_large' })
    const [kept] = outbox.ofRoom('a')
    assert.ok(kept)
    assert.deepEqual([kept.text, kept.state, kept.error?.code], [text, 'failed', 'message_too_large'])
    await assert.rejects(outbox.retry(kept.clientId), { code: 'message_too_large' })
    assert.deepEqual(ledger.committed, [])
    outbox.close()
  })

  test('[CL9] what the room shows is committed, even where its acknowledgement never comes', async () => {
    const storage = memoryStorage()
    const line = new Line(new Ledger())
    line.request = () => new Promise(() => undefined)
    const outbox = alone(line, storage)
    await outbox.start('me')
    outbox.watchRoom('a', true)
    const promised = outbox.send('a', 'hello')
    await eventually(() => outbox.ofRoom('a').length === 1)
    const [mine] = outbox.ofRoom('a')
    assert.ok(mine)
    const event = (actor: string): RoomEvent => ({
      type: 'message.created',
      seq: 7,
      at: '',
      actor: { kind: 'account', id: actor, name: '' },
      id: 'the id',
      clientId: mine.clientId,
      text: 'hello',
    })
    outbox.seen(event('somebody who chose the same clientId'))
    assert.equal(outbox.ofRoom('a').length, 1)
    outbox.seen(event('me'))
    assert.deepEqual(await promised, { id: 'the id', seq: 7 })
    assert.deepEqual(outbox.ofRoom('a'), [])
    await eventually(() => outbox.pendingCount === 0)
    assert.deepEqual(await storage.list('me'), [])
    outbox.close()
  })

  test('[CL9] an acknowledged message stays in sight until the room’s own timeline shows it', async () => {
    const outbox = alone(new Line(new Ledger()))
    await outbox.start('me')
    outbox.watchRoom('a', true)
    await outbox.send('a', 'hello')
    assert.deepEqual(
      outbox.ofRoom('a').map(({ text, state }) => [text, state]),
      [['hello', 'pending']],
    )
    assert.equal(outbox.pendingCount, 0)
    outbox.watchRoom('a', false)
    assert.deepEqual(outbox.ofRoom('a'), [])
    outbox.close()
  })

  test('[CL10] a list of what is outgoing stays the same object until something in it has changed', async () => {
    const line = new Line(new Ledger())
    line.connected = false
    const outbox = alone(line)
    await outbox.start('me')
    const sent = outbox.send('a', 'one')
    await eventually(() => outbox.ofRoom('a').length === 1)
    const before = outbox.ofRoom('a')
    const other = outbox.send('b', 'elsewhere')
    await eventually(() => outbox.ofRoom('b').length === 1)
    assert.equal(outbox.ofRoom('a'), before)
    line.connected = true
    outbox.flush()
    await Promise.all([sent, other])
    assert.notEqual(outbox.ofRoom('a'), before)
    outbox.close()
  })
})
