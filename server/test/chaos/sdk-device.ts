import { setTimeout as delay } from 'node:timers/promises'
import { AtomClient, AtomClientError, memoryStorage, type OutboxStorage, type Room } from '@atom/client'
import type { Happening, Surroundings } from '@atom/client/surroundings.ts'
import { type Attempt, type Change, type Device, type DeviceParts, pinOf, Witness } from './device.ts'
import type { FaultyLine } from './faulty-line.ts'
import { textDigest } from './history.ts'
import { type ChangedMessages, type MessageStates, named } from './message-states.ts'
import { type ChaosRoom, type Person, password } from './person.ts'

const retryMs = 300

/** One loaded page: what does not survive a reload. */
interface Page {
  readonly client: AtomClient
  readonly closed: AbortController
  /** By room: what keeps it open. */
  readonly open: Map<string, AbortController>
  /** Somebody is signed in. */
  readonly ready: Promise<void>
}

/** A device that runs `@atom/client`, as a program in Node does. */
export class SdkDevice implements Device {
  readonly name: string
  readonly person: Person
  readonly line: FaultyLine
  readonly #parts: DeviceParts
  readonly #witness: Witness
  readonly #storage: OutboxStorage
  readonly #known: ReadonlyMap<string, ChaosRoom>
  readonly #cursors = new Map<string, number>()
  readonly #owed = new Set<string>()
  readonly #wanted = new Set<ChaosRoom>()
  readonly #heard = new Set<(happening: Happening) => void>()
  #page: Page

  constructor(parts: DeviceParts & { readonly known: readonly ChaosRoom[] }) {
    this.name = parts.name
    this.person = parts.person
    this.line = parts.line
    this.#parts = parts
    this.#witness = new Witness(parts)
    this.#known = new Map(parts.known.map((room) => [room.id, room]))
    this.#storage = this.#recorded(memoryStorage())
    this.#page = this.#load()
  }

  get rooms(): ReadonlySet<ChaosRoom> {
    return this.#wanted
  }

  get owed(): number {
    return this.#owed.size
  }

  follow(room: ChaosRoom): void {
    this.#wanted.add(room)
    this.#enter(this.#page, room)
  }

  unfollow(room: ChaosRoom): void {
    this.#wanted.delete(room)
    this.#page.open.get(room.id)?.abort()
    this.#page.open.delete(room.id)
  }

  say(room: ChaosRoom, text: string, mentions?: readonly string[]): void {
    const { client, ready } = this.#page
    void ready
      .then(() => client.rooms.room(room.id).send(text, mentions === undefined ? {} : { mentions }))
      .then(
        ({ id, seq }) => {
          const clientId = clientIdOf(this.#storage, text)
          if (clientId !== undefined)
            this.#parts.history.add({ is: 'ack', ...this.#witness.of(room), clientId, id, seq })
        },
        (thrown: unknown) => {
          const code = thrown instanceof AtomClientError ? thrown.code : String(thrown)
          // The page was closed: what it owed is in the storage, and the next page sends it.
          if (code === 'closed' || code === 'unauthenticated') return
          const clientId = clientIdOf(this.#storage, text) ?? text
          this.#parts.history.add({ is: 'refused', ...this.#witness.of(room), clientId, code })
        },
      )
  }

  messages(room: ChaosRoom): MessageStates {
    return this.#witness.messages(room)
  }

  async change(room: ChaosRoom, { kind, seq, text, emoji }: Change): Promise<Attempt> {
    if (kind === 'pin' || kind === 'unpin') return await pinOf(this, room, kind, seq)
    const { client, ready, closed } = this.#page
    await Promise.race([ready, delay(retryMs)])
    const live = client.rooms.room(room.id)
    try {
      if (kind === 'edit') await live.edit(seq, { text })
      else if (kind === 'delete') await live.delete(seq)
      else if (kind === 'react') await live.react(seq, emoji)
      else await live.unreact(seq, emoji)
      return { how: 'done' }
    } catch (thrown) {
      if (!(thrown instanceof AtomClientError)) throw thrown
      const { code, retryable, retryAfterMs: afterMs } = thrown
      const passes =
        retryable || ['closed', 'aborted', 'offline', 'timeout', 'unauthenticated'].includes(code)
      if (passes || closed.signal.aborted) return { how: 'lost', ...(afterMs !== undefined && { afterMs }) }
      return { how: 'refused', code }
    }
  }

  /** The SDK tells it in its own time, and again with the next socket. */
  async read(room: ChaosRoom, seq: number): Promise<boolean> {
    this.#page.client.rooms.room(room.id).markRead(seq)
    return false
  }

  /** The messages of a room that were changed, as the SDK shows them to a page, from the first one that is loaded. */
  shows(
    room: ChaosRoom,
    nameOf: (id: string) => string,
  ): { readonly from: number; readonly messages: ChangedMessages } {
    const { events, pinned } = this.#page.client.rooms.room(room.id).getSnapshot()
    const messages: Record<string, ChangedMessages[string]> = {}
    for (const event of events) {
      if (event.type !== 'message.created' && event.type !== 'message.final') continue
      const edited = event.type === 'message.created' && event.editedAt !== undefined
      const deleted = event.deletedAt !== undefined
      const reactions = (event.reactions ?? []).flatMap(({ emoji, by }) => by.map((id) => `${emoji} ${id}`))
      const isPinned = pinned.has(event.seq)
      if (!edited && !deleted && !isPinned && reactions.length === 0) continue
      const text = textDigest(event.text)
      messages[event.seq] = { text, deleted, pinned: isPinned, reactions: named(reactions, nameOf) }
    }
    return { from: events[0]?.seq ?? Number.MAX_SAFE_INTEGER, messages }
  }

  stop(room: ChaosRoom): void {
    const turnId = this.#witness.turn(room)
    // Whether it came too late, or not at all, is no part of the promise.
    if (turnId !== undefined) void this.#page.client.agents.cancelTurn(turnId).catch(() => undefined)
  }

  reload(): void {
    this.#witness.forget()
    this.#close()
    this.#page = this.#load()
    for (const room of this.#wanted) this.#enter(this.#page, room)
  }

  renew(): void {
    const { session } = this.#page.client
    session
      .accessToken()
      .then((token) => {
        session.distrust(token)
        return session.accessToken()
      })
      // Without a network there is none now; whoever needs one next asks again.
      .catch(() => undefined)
  }

  networkIsBack(): void {
    for (const heard of this.#heard) heard('online')
  }

  cursor(room: ChaosRoom): number {
    return this.#cursors.get(room.id) ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close()
  }

  #close(): void {
    this.#page.closed.abort()
    for (const open of this.#page.open.values()) open.abort()
    this.#page.client.close()
  }

  #load(): Page {
    const closed = new AbortController()
    const surroundings: Surroundings = {
      online: () => true,
      watch: (heard) => {
        this.#heard.add(heard)
        return () => void this.#heard.delete(heard)
      },
    }
    const client = new AtomClient({
      baseUrl: this.line.url,
      transport: 'body',
      // A page that is loaded again reads what the one before has left.
      storage: { ...this.#storage, close: () => undefined },
      surroundings,
    })
    let before = ''
    client.realtime.subscribe(() => {
      const { state, reason } = client.realtime.getSnapshot()
      if (`${state} ${reason}` === before) return
      before = `${state} ${reason}`
      this.#parts.history.add({
        is: 'socket',
        device: this.name,
        state,
        ...(reason !== undefined && { reason }),
      })
    })
    return { client, closed, open: new Map(), ready: this.#signIn(client, closed.signal) }
  }

  /** Resolves when somebody is signed in, however long the network takes; never where the page was closed before. */
  async #signIn(client: AtomClient, closed: AbortSignal): Promise<void> {
    for (;;) {
      if (closed.aborted) return await new Promise<never>(() => undefined)
      try {
        await client.session.login({ email: this.person.email, password })
        return
      } catch (thrown) {
        const error = thrown instanceof AtomClientError ? thrown : undefined
        await delay(Math.min(error?.retryAfterMs ?? retryMs, 3_000))
      }
    }
  }

  #enter(page: Page, room: ChaosRoom): void {
    if (page.open.has(room.id)) return
    const open = new AbortController()
    page.open.set(room.id, open)
    void this.#read(page, room, open)
  }

  /** Every event of the room in order, from where this device was, for as long as it wants them. */
  async #read(page: Page, room: ChaosRoom, open: AbortController): Promise<void> {
    await page.ready
    while (!open.signal.aborted && !page.closed.signal.aborted) {
      const live = page.client.rooms.room(room.id)
      const unsubscribe = live.subscribe(() => this.#look(live))
      try {
        const after = this.cursor(room)
        for await (const event of live.feed({ after, signal: open.signal })) {
          if (open.signal.aborted || page.closed.signal.aborted) return
          this.#cursors.set(room.id, event.seq)
          this.#witness.event(room, event)
        }
      } catch (thrown) {
        if (open.signal.aborted || page.closed.signal.aborted) return
        const code = thrown instanceof AtomClientError ? thrown.code : String(thrown)
        if (code === 'timeline_reset') this.#parts.history.add({ is: 'reset', ...this.#witness.of(room) })
      } finally {
        unsubscribe()
      }
      await delay(retryMs)
    }
  }

  #look(live: Room): void {
    for (const { messageId, attempt, text } of live.getSnapshot().drafts.values())
      this.#witness.draft(messageId, attempt, text)
  }

  /** The same storage, with what goes in and out written down. */
  #recorded(inner: OutboxStorage): OutboxStorage & { readonly texts: Map<string, string> } {
    const texts = new Map<string, string>()
    const rooms = new Map<string, ChaosRoom>()
    return {
      texts,
      add: async (message) => {
        const stored = await inner.add(message)
        const room = this.#known.get(message.roomId)
        if (room === undefined) throw new Error('a message of another run')
        texts.set(message.text, message.clientId)
        rooms.set(message.clientId, room)
        this.#owed.add(message.clientId)
        this.#parts.history.add({
          is: 'publish',
          ...this.#witness.of(room),
          clientId: message.clientId,
          text: textDigest(message.text),
          order: stored.order,
          ordered: true,
        })
        return stored
      },
      update: async (message) => {
        await inner.update(message)
        // Refused for good: it waits for the person, and nobody sends it. The page that asked may be gone.
        const room = rooms.get(message.clientId)
        if (message.error === undefined || room === undefined || !this.#owed.delete(message.clientId)) return
        const { clientId, error } = message
        this.#parts.history.add({ is: 'refused', ...this.#witness.of(room), clientId, code: error.code })
      },
      remove: async (clientId) => {
        await inner.remove(clientId)
        const room = rooms.get(clientId)
        if (room === undefined || !this.#owed.delete(clientId)) return
        this.#parts.history.add({ is: 'settled', ...this.#witness.of(room), clientId })
      },
      list: (accountId) => inner.list(accountId),
      close: () => inner.close(),
    }
  }
}

/** Texts of a run are all different. */
function clientIdOf(storage: OutboxStorage, text: string): string | undefined {
  return (storage as OutboxStorage & { readonly texts: ReadonlyMap<string, string> }).texts.get(text)
}
