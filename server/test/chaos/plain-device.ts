import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { RoomEvent } from '@atom/contract/rooms.ts'
import type {
  Acknowledgement,
  ClientFrame,
  ClientFrameName,
  RoomSignal,
  ServerFrame,
} from '@atom/contract/socket.ts'
import { io, type Socket } from 'socket.io-client'
import { type Attempt, type Change, type Device, type DeviceParts, pinOf, Witness } from './device.ts'
import type { FaultyLine } from './faulty-line.ts'
import { textDigest } from './history.ts'
import type { MessageStates } from './message-states.ts'
import type { ChaosRoom, Person } from './person.ts'
import type { Seeded } from './seeded.ts'

interface Followed {
  readonly room: ChaosRoom
  wanted: boolean
  /** The server said that its person is out: nothing more should come before it has been joined anew. */
  out: boolean
  /** Up to where everything is held. */
  cursor: number
  /** Number of the following that is in force on this socket; undefined: none. */
  follow: number | undefined
  joining: boolean
  fetching: boolean
  snapshotAskedAt: number
}

interface Owed {
  readonly room: ChaosRoom
  readonly clientId: string
  readonly text: string
  readonly mentions: readonly string[] | undefined
  onItsWay: boolean
}

/** How long an acknowledgement may take before the line counts as dead. */
const ackWithinMs = 8_000
const framesOnTheWay = 8
const retryMs = 250

/**
 * An ordinary `socket.io-client` with its own reconnection, and what the contract says about cursors, acknowledgements and
 * pieces of answers; nothing of the SDK.
 */
export class PlainDevice implements Device {
  readonly name: string
  readonly person: Person
  readonly line: FaultyLine
  readonly #parts: DeviceParts
  readonly #random: Seeded
  readonly #witness: Witness
  readonly #followed = new Map<string, Followed>()
  readonly #owed = new Map<string, Owed>()
  readonly #orders = new Map<string, number>()
  #socket: Socket
  #follows = 0
  #onTheWay = 0
  /** One more with every socket: what an older one had under way is void. */
  #generation = 0
  #ready = false
  /** The cursors of the handshake of this socket. */
  #sent = new Map<string, number>()
  #ended = false

  constructor(parts: DeviceParts & { readonly random: Seeded; readonly known: readonly ChaosRoom[] }) {
    this.name = parts.name
    this.person = parts.person
    this.line = parts.line
    this.#parts = parts
    this.#random = parts.random
    this.#witness = new Witness(parts)
    // Every room of the run, so that what should never come is recognised when it comes.
    for (const room of parts.known) {
      this.#followed.set(room.id, {
        room,
        wanted: false,
        out: false,
        cursor: 0,
        follow: undefined,
        joining: false,
        fetching: false,
        snapshotAskedAt: 0,
      })
    }
    this.#socket = this.#open()
  }

  get rooms(): ReadonlySet<ChaosRoom> {
    return new Set([...this.#followed.values()].filter(({ wanted }) => wanted).map(({ room }) => room))
  }

  get owed(): number {
    return this.#owed.size
  }

  follow(room: ChaosRoom): void {
    const followed = this.#of(room)
    followed.wanted = true
    if (this.#ready) void this.#join(followed)
  }

  unfollow(room: ChaosRoom): void {
    const followed = this.#of(room)
    followed.wanted = false
    followed.follow = undefined
    if (this.#ready) void this.#ask('room.leave', { roomId: room.id })
  }

  say(room: ChaosRoom, text: string, mentions?: readonly string[]): void {
    const clientId = randomUUID()
    const order = (this.#orders.get(room.id) ?? 0) + 1
    this.#orders.set(room.id, order)
    this.#owed.set(clientId, { room, clientId, text, mentions, onItsWay: false })
    this.#parts.history.add({
      is: 'publish',
      ...this.#witness.of(room),
      clientId,
      text: textDigest(text),
      order,
      // Pipelined: one that has to be sent again is overtaken by those behind it.
      ordered: false,
    })
    this.#flush()
  }

  messages(room: ChaosRoom): MessageStates {
    return this.#witness.messages(room)
  }

  async change(room: ChaosRoom, change: Change): Promise<Attempt> {
    const { kind, seq, clientId, text, emoji } = change
    if (kind === 'pin' || kind === 'unpin') return await pinOf(this, room, kind, seq)
    if (!this.#ready) return { how: 'lost' }
    const roomId = room.id
    const answer =
      kind === 'edit'
        ? await this.#ask('message.edit', { roomId, seq, clientId, text })
        : kind === 'delete'
          ? await this.#ask('message.delete', { roomId, seq })
          : await this.#ask('message.react', { roomId, seq, emoji, on: kind === 'react' })
    if (answer === undefined) return { how: 'lost' }
    if (answer.ok)
      return { how: 'done', ...('seq' in answer && typeof answer.seq === 'number' && { seq: answer.seq }) }
    if (isFinal(answer.error)) return { how: 'refused', code: answer.error.code }
    return { how: 'lost', afterMs: answer.error.retryAfterMs ?? retryMs }
  }

  async read(room: ChaosRoom, seq: number): Promise<boolean> {
    if (!this.#ready) return false
    return (await this.#ask('room.read', { roomId: room.id, seq }))?.ok === true
  }

  stop(room: ChaosRoom): void {
    const turnId = this.#witness.turn(room)
    if (turnId !== undefined && this.#ready) void this.#ask('turn.cancel', { turnId })
  }

  /** Cursors and what is owed are kept, as a page keeps them in its storage. */
  reload(): void {
    this.#witness.forget()
    this.#drop()
    this.#socket.disconnect()
    this.#socket = this.#open()
  }

  renew(): void {
    const socket = this.#socket
    void this.person
      .renew(this.line.url)
      .then(() => this.person.token(this.line.url))
      .then((token) => {
        if (this.#ready && this.#socket === socket) void this.#ask('auth.refresh', { token })
      })
  }

  networkIsBack(): void {
    // Socket.IO's own reconnection looks again within seconds.
  }

  cursor(room: ChaosRoom): number {
    return this.#of(room).cursor
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    this.#generation++
    this.#socket.disconnect()
  }

  #of(room: ChaosRoom): Followed {
    const followed = this.#followed.get(room.id)
    if (followed === undefined) throw new Error(`${room.name} is not of this run`)
    return followed
  }

  #open(): Socket {
    const socket = io(this.line.url, {
      transports: ['websocket'],
      forceNew: true,
      reconnectionDelay: 100,
      reconnectionDelayMax: 1_500,
      timeout: 5_000,
      auth: (tell: (auth: object) => void) => {
        void this.person.token(this.line.url).then((token) => {
          this.#sent = new Map()
          const cursors: Record<string, { epoch: string; seq: number }> = {}
          for (const { room, wanted, cursor } of this.#followed.values()) {
            if (!wanted || cursor === 0) continue
            this.#sent.set(room.id, cursor)
            cursors[room.id] = { epoch: room.epoch, seq: cursor }
          }
          tell({ token, deviceId: `device-${this.name}`, v: 1, cursors })
        })
      },
    })
    const mine = () => this.#socket === socket && !this.#ended
    socket.on('hello', (hello: ServerFrame<'hello'>) => mine() && this.#hello(hello))
    socket.on('room.events', (frame: ServerFrame<'room.events'>) => mine() && this.#events(frame))
    socket.on('room.signal', (signal: RoomSignal) => mine() && this.#signal(signal))
    socket.on('room.left', ({ roomId }: ServerFrame<'room.left'>) => mine() && this.#left(roomId))
    socket.on('auth.expiring', () => mine() && this.renew())
    socket.on('disconnect', (reason) => {
      if (!mine()) return
      this.#parts.history.add({ is: 'socket', device: this.name, state: 'away', reason })
      this.#drop()
      this.#comeBack(socket)
    })
    socket.on('connect_error', (error: Error & { data?: { code?: string } }) => {
      if (!mine()) return
      const reason = error.data?.code ?? error.message
      this.#parts.history.add({ is: 'socket', device: this.name, state: 'refused', reason })
      if (error.data?.code === 'token_expired') void this.person.renew(this.line.url)
      this.#comeBack(socket)
    })
    return socket
  }

  /** Socket.IO stays away by itself where the server said no; what was said here passes. */
  #comeBack(socket: Socket): void {
    setTimeout(() => {
      if (this.#socket === socket && !this.#ended && !socket.active) socket.connect()
    }, 500)
  }

  #drop(): void {
    this.#generation++
    this.#ready = false
    this.#onTheWay = 0
    for (const owed of this.#owed.values()) owed.onItsWay = false
    for (const followed of this.#followed.values()) {
      followed.follow = undefined
      followed.joining = false
      followed.fetching = false
    }
  }

  #hello(hello: ServerFrame<'hello'>): void {
    this.#drop()
    this.#ready = true
    this.#parts.history.add({ is: 'socket', device: this.name, state: 'connected' })
    for (const followed of this.#followed.values()) {
      if (!followed.wanted) continue
      const { room } = followed
      const entry = hello.rooms[room.id]
      const after = this.#sent.get(room.id)
      if (entry?.ok !== true || after === undefined) {
        void this.#join(followed)
        continue
      }
      if (entry.reset === true) this.#parts.history.add({ is: 'reset', ...this.#witness.of(room) })
      this.#begin(followed, after)
    }
    this.#flush()
  }

  #left(roomId: string): void {
    const followed = this.#followed.get(roomId)
    if (followed === undefined) return
    followed.out = true
    followed.follow = undefined
    this.#parts.history.add({ is: 'left', ...this.#witness.of(followed.room) })
    // Perhaps let in again already; its person has not put the room away.
    if (followed.wanted) void this.#join(followed)
  }

  #begin(followed: Followed, after: number): void {
    followed.out = false
    followed.follow = ++this.#follows
    this.#parts.history.add({
      is: 'follow',
      ...this.#witness.of(followed.room),
      follow: followed.follow,
      after,
    })
  }

  #events({ roomId, events }: ServerFrame<'room.events'>): void {
    const followed = this.#followed.get(roomId)
    if (followed === undefined) return
    const { room, follow, wanted, out } = followed
    if (follow !== undefined) {
      const seqs = events.map(({ seq }) => seq)
      this.#parts.history.add({ is: 'frame', ...this.#witness.of(room), follow, seqs })
    }
    // What was on its way when the device stepped out of the room is nothing to it. In a room where it never was, it should
    // not have come at all, and goes into the history; as in one that it was told to be out of.
    if (out && !wanted) for (const event of events) this.#witness.event(room, event)
    else if (wanted || followed.cursor === 0) this.#take(followed, events)
  }

  #take(followed: Followed, events: readonly RoomEvent[]): void {
    for (const event of events) {
      if (event.seq <= followed.cursor) continue
      if (event.seq > followed.cursor + 1 && followed.wanted) {
        void this.#fetch(followed)
        return
      }
      followed.cursor = event.seq
      this.#witness.event(followed.room, event)
    }
  }

  #signal(signal: RoomSignal): void {
    const followed = this.#followed.get(signal.roomId)
    if (followed === undefined) return
    if (!followed.wanted || followed.out) {
      if (followed.cursor === 0 || followed.out) {
        this.#parts.history.add({ is: 'signal', ...this.#witness.of(followed.room), kind: signal.kind })
      }
      return
    }
    if (signal.kind !== 'delta') return
    const { messageId, attempt, offset, text } = signal
    if (this.#witness.piece(messageId, attempt, offset, text)) return
    // Joining again brings the text so far. Not with every piece.
    if (performance.now() - followed.snapshotAskedAt < 500) return
    followed.snapshotAskedAt = performance.now()
    void this.#join(followed)
  }

  /** Joins from the cursor on; tries again for as long as this socket lives and the room is wanted. */
  async #join(followed: Followed): Promise<void> {
    if (followed.joining) return
    followed.joining = true
    const generation = this.#generation
    const { room } = followed
    while (generation === this.#generation && followed.wanted) {
      const after = followed.cursor
      const answer = await this.#ask('room.join', { roomId: room.id, after, epoch: room.epoch }, (heard) => {
        if (!heard.ok || !followed.wanted) return
        if (heard.reset === true) this.#parts.history.add({ is: 'reset', ...this.#witness.of(room) })
        this.#begin(followed, after)
        this.#events({ roomId: room.id, epoch: heard.epoch, events: heard.events })
      })
      // It may have been taken out again right behind the answer.
      if (answer?.ok === true && !followed.out) break
      const waitMs = answer?.ok === false ? answer.error.retryAfterMs : undefined
      if (generation === this.#generation) await delay(waitMs ?? retryMs)
    }
    if (generation === this.#generation) followed.joining = false
  }

  /** Closes a gap, should the server ever have left one. */
  async #fetch(followed: Followed): Promise<void> {
    if (followed.fetching) return
    followed.fetching = true
    const generation = this.#generation
    for (let more = true; more && generation === this.#generation; ) {
      const answer = await this.#ask('room.fetch', { roomId: followed.room.id, after: followed.cursor })
      if (generation !== this.#generation) return
      if (answer?.ok === true) {
        this.#take(followed, answer.events)
        more = answer.more
      } else await delay(answer?.error.retryAfterMs ?? retryMs)
    }
    if (generation === this.#generation) followed.fetching = false
  }

  /** Sends what is owed, oldest first, several frames at a time. */
  #flush(): void {
    if (!this.#ready) return
    const waiting = [...this.#owed.values()].filter(({ onItsWay }) => !onItsWay)
    while (this.#onTheWay < framesOnTheWay) {
      const first = waiting.shift()
      if (first === undefined) return
      const batch = [first]
      const most = this.#random.chance(0.5) ? this.#random.between(2, 16) : 1
      while (batch.length < most && waiting[0]?.room === first.room) batch.push(...waiting.splice(0, 1))
      void this.#send(first.room, batch)
    }
  }

  async #send(room: ChaosRoom, batch: readonly Owed[]): Promise<void> {
    const generation = this.#generation
    this.#onTheWay++
    for (const owed of batch) owed.onItsWay = true
    const items = batch.map(({ clientId, text, mentions }) => ({
      clientId,
      text,
      ...(mentions !== undefined && { mentions: [...mentions] }),
    }))
    const [only] = items
    const answer = await this.#ask('message.send', {
      roomId: room.id,
      ...(items.length === 1 && only !== undefined ? only : { items }),
    } as ClientFrame<'message.send'>)
    if (generation !== this.#generation) return
    this.#onTheWay--
    let waitMs = 0
    for (const [place, owed] of batch.entries()) {
      owed.onItsWay = false
      const result = answer?.ok === true && 'results' in answer ? answer.results[place] : answer
      if (result === undefined) waitMs = Math.max(waitMs, retryMs)
      else if (result.ok && 'seq' in result) this.#acknowledged(owed, result)
      else if (!result.ok && isFinal(result.error)) this.#refused(owed, result.error.code)
      else if (!result.ok) waitMs = Math.max(waitMs, result.error.retryAfterMs ?? retryMs)
    }
    if (waitMs > 0) await delay(waitMs)
    if (generation === this.#generation) this.#flush()
  }

  #acknowledged({ room, clientId }: Owed, { id, seq }: { readonly id: string; readonly seq: number }): void {
    this.#owed.delete(clientId)
    this.#parts.history.add({ is: 'ack', ...this.#witness.of(room), clientId, id, seq })
  }

  #refused({ room, clientId }: Owed, code: string): void {
    this.#owed.delete(clientId)
    this.#parts.history.add({ is: 'refused', ...this.#witness.of(room), clientId, code })
  }

  /**
   * Undefined: no answer came, and the line was given up.
   *
   * @param heard called at once, before frames that came right behind the answer
   */
  #ask<N extends ClientFrameName>(
    name: N,
    body: ClientFrame<N>,
    heard: (answer: Acknowledgement<N>) => void = () => undefined,
  ): Promise<Acknowledgement<N> | undefined> {
    const socket = this.#socket
    const generation = this.#generation
    return new Promise((resolve) => {
      socket.timeout(ackWithinMs).emit(name, body, (failed: Error | null, answer: Acknowledgement<N>) => {
        const mine = generation === this.#generation && this.#socket === socket
        if (failed === null) {
          if (mine) heard(answer)
          resolve(answer)
          return
        }
        // A line that swallows questions is dead, whatever the operating system believes of it.
        if (mine) socket.io.engine.close()
        resolve(undefined)
      })
    })
  }
}

/** No repetition changes it, nor a new token, nor another server. */
function isFinal(error: { readonly code: string; readonly retryable: boolean }): boolean {
  return !error.retryable && !['token_expired', 'unauthenticated', 'draining'].includes(error.code)
}
