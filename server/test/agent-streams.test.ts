import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { Room } from '@atom/contract/rooms.ts'
import { newId } from '#foundation/ids.ts'
import { EventReader } from './support/event-reader.ts'
import { PlainClient, until } from './support/live.ts'
import { ScriptedModel, say } from './support/scripted-model.ts'
import { HeldAnswer, Installation, type NodeApart } from './support/streaming-node.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** Somebody at one server: joins the room, holds what is told of the answer, and joins again where a piece is missing. */
class Viewer implements Disposable {
  readonly client: PlainClient
  readonly held = new HeldAnswer()
  readonly #roomId: string

  private constructor(url: string, token: string, roomId: string) {
    this.client = new PlainClient(url, { token })
    this.#roomId = roomId
    this.client.socket.on('room.signal', (signal) => {
      if (signal.kind === 'delta' && !this.held.take(signal)) void this.join()
    })
  }

  static async at(url: string, token: string, room: Room): Promise<Viewer> {
    const viewer = new Viewer(url, token, room.id)
    await viewer.join()
    return viewer
  }

  async join(): Promise<void> {
    await this.client.ask('room.join', { roomId: this.#roomId, after: 0 })
  }

  event<T extends string>(type: T) {
    return this.client.events.find((event) => event.type === type)
  }

  async whole(): Promise<{ text: string; sha256: string; status: string }> {
    const final = await until(() => this.event('message.final'), 'message.final', 40_000)
    const ended = await until(() => this.event('turn.ended'), 'turn.ended', 40_000)
    assert.ok(final.type === 'message.final' && ended.type === 'turn.ended')
    return { text: final.text, sha256: final.sha256, status: ended.status }
  }

  [Symbol.dispose](): void {
    this.client[Symbol.dispose]()
  }
}

/** One server apart, asked something, in the middle of its answer; it alone can have taken the turn. */
async function midAnswer(installation: Installation, begun: readonly string[], leaseMs?: number) {
  const apart: NodeApart = await installation.apart(leaseMs)
  const { token, room } = await Installation.found(apart.url)
  const asker = await Viewer.at(apart.url, token, room)
  await asker.client.ask('message.send', { roomId: room.id, clientId: newId(), text: 'tell me' })
  for (const piece of begun) apart.say(piece)
  await until(() => asker.held.text === begun.join(''), 'the beginning of the answer', 40_000)
  const started = asker.event('turn.started')
  assert.ok(started?.type === 'turn.started')
  return { apart, token, room, asker, turnId: started.turnId }
}

// Longer than a notification, with everything that a cut could break.
const beginning = ['Smile 😀 ', 'ä\n"quoted" ', '한국어 '.repeat(2_500), 'x'.repeat(12_001), '😀'.repeat(700)]
const ending = [' and ', 'the rest 🏁', ' of it.']

test('[AG76] [AG77] an answer is the same text, byte for byte, at another server in mid-stream, by socket and as events from any offset', async () => {
  await using installation = await Installation.prepare()
  const { apart, token, room, asker, turnId } = await midAnswer(installation, beginning)
  using _asker = asker
  const here = await installation.here([new ScriptedModel(() => [say('not mine')])])
  const cameAt = performance.now()
  using joined = await Viewer.at(here, token, room)
  const address = `/v1/agents/turns/${turnId}/stream`
  await using there = await EventReader.open(here + address, { token })
  await using atHome = await EventReader.open(apart.url + address, { token })
  const soFar = beginning.join('')
  await until(() => joined.held.text === soFar, 'the text so far')
  console.log(
    `${soFar.length} characters were there ${Math.round(performance.now() - cameAt)} ms after coming`,
  )
  const textOf = (reader: EventReader) => {
    const held = new HeldAnswer()
    for (const { data, id } of reader.named('delta')) {
      assert.ok(
        held.take(data as { attempt: number; offset: number; text: string }),
        'pieces follow on each other',
      )
      assert.equal(id, `${held.attempt}:${held.text.length}`)
    }
    return held.text
  }
  await until(() => textOf(there) === soFar && textOf(atHome) === soFar, 'the text so far as events')
  // From the middle, also of a pair.
  const attempt = joined.held.attempt
  for (const offset of [1, 7, 9_000, soFar.length - 1]) {
    await using resumed = await EventReader.open(here + address, {
      token,
      lastEventId: `${attempt}:${offset}`,
    })
    const rest = () => resumed.named('delta').map(({ data }) => data['text'])
    await until(() => rest().join('') === soFar.slice(offset), `the rest from ${offset}`)
  }
  for (const piece of ending) apart.say(piece)
  apart.say(undefined)
  const { text, sha256: told, status } = await joined.whole()
  assert.equal(status, 'succeeded')
  assert.equal(text, [...beginning, ...ending].join(''))
  assert.equal(told, sha256(text))
  for (const reader of [there, atHome]) {
    await reader.ended()
    assert.equal(sha256(textOf(reader)), told)
    assert.equal(reader.named('final')[0]?.data['sha256'], told)
    assert.equal(reader.named('ended')[0]?.data['status'], 'succeeded')
    assert.deepEqual(reader.events.at(-1)?.data, { reason: 'over' })
  }
  for (const viewer of [asker, joined]) {
    await until(() => viewer.held.text === text, 'the last pieces')
    assert.deepEqual(viewer.client.problems, [])
  }
  // Long over: from an offset, and from the beginning.
  await using late = await EventReader.open(here + address, { token, lastEventId: `${attempt}:20` })
  await late.ended()
  assert.equal(
    late
      .named('delta')
      .map(({ data }) => data['text'])
      .join(''),
    text.slice(20),
  )
  await using whole = await EventReader.open(here + address, { token })
  await whole.ended()
  assert.equal(textOf(whole), text)
  await using wrong = await EventReader.open(here + address, { token, lastEventId: 'nonsense' })
  assert.equal(wrong.status, 400)
})

test('[AG78] an answer whose server is killed goes on at another one: begun anew for everybody, and it ends', async () => {
  await using installation = await Installation.prepare()
  const { apart, token, room, asker, turnId } = await midAnswer(
    installation,
    ['Half an ', 'answer 😀'],
    1_000,
  )
  using _asker = asker
  const here = await installation.here([new ScriptedModel(() => [say('The whole '), say('answer.')])], 1_000)
  using viewer = await Viewer.at(here, token, room)
  await using stream = await EventReader.open(`${here}/v1/agents/turns/${turnId}/stream`, { token })
  await until(() => viewer.held.text === 'Half an answer 😀', 'the half answer')
  await until(() => stream.named('delta').length > 0, 'the half answer as events')
  const before = viewer.held.attempt
  await apart.kill()
  const { text, sha256: told, status } = await viewer.whole()
  assert.equal(status, 'succeeded')
  assert.equal(text, 'The whole answer.')
  assert.equal(told, sha256(text))
  await until(() => viewer.held.text === text, 'the answer anew')
  assert.ok(viewer.held.attempt > before)
  await stream.ended()
  const held = new HeldAnswer()
  for (const { data } of stream.named('delta'))
    held.take(data as { attempt: number; offset: number; text: string })
  assert.equal(sha256(held.text), told)
  assert.equal(stream.named('ended').length, 1)
})

test('[AG79] an answer is stopped from another device, at another server, after a reload', async () => {
  await using installation = await Installation.prepare()
  const { token, room, asker, turnId } = await midAnswer(installation, ['It goes ', 'on and on '])
  const here = await installation.here([new ScriptedModel(() => [say('not mine')])])
  // The page is gone; another one comes, elsewhere.
  asker[Symbol.dispose]()
  using reloaded = await Viewer.at(here, token, room)
  await until(() => reloaded.held.text === 'It goes on and on ', 'the text so far')
  assert.ok((await reloaded.client.ask('turn.cancel', { turnId })).ok)
  const { text, sha256: told, status } = await reloaded.whole()
  assert.equal(status, 'cancelled')
  assert.equal(told, sha256(text))
  assert.ok(text.startsWith('It goes on and on '), text)
  await until(() => reloaded.held.text === text, 'the last pieces')
})
