import { errorTable, type FrameError } from '@atom/contract/errors.ts'
import { limits, type RoomEvent } from '@atom/contract/rooms.ts'
import {
  type ClientAnswer,
  type ClientFrame,
  type FrameContext,
  socketLimits,
} from '@atom/contract/socket.ts'
import { v7 as uuidv7 } from 'uuid'
import { AtomClientError, asAtomClientError } from '../atom-client-error.ts'
import { ObservableState } from '../observable.ts'
import type { Tabs } from '../tabs.ts'
import { type TraceContext, traceContext } from '../trace-context.ts'
import type { OutboxStorage, OwedMessage } from './outbox-storage.ts'

export interface OutgoingMessage {
  readonly clientId: string
  readonly text: string
  /** `seq` of the message that it answers. */
  readonly replyTo?: number
  /** Ids of the members it names. */
  readonly mentions?: readonly string[]
  readonly state: 'pending' | 'failed'
  /** Why it failed; it waits for `retry` or `discard`. */
  readonly error?: AtomClientError
  /** RFC 3339: when the person sent it. */
  readonly at: string
}

/** What a message says besides its text. */
export interface Addressing {
  readonly replyTo?: number | undefined
  readonly mentions?: readonly string[] | undefined
}

export interface Committed {
  readonly id: string
  readonly seq: number
}

/** The part of the live line that the outbox needs. */
export interface OutboxLine {
  /** May be spoken on by this tab. */
  readonly connected: boolean
  /** Names this tab's lead among those that share one socket. What a tab that hangs still holds must not bind the next one. */
  readonly lease?: string | undefined
  request(
    name: 'message.send',
    body: ClientFrame<'message.send'>,
    withinMs: number,
    context: FrameContext,
  ): Promise<ClientAnswer<'message.send'>>
}

interface Entry {
  readonly message: OwedMessage
  readonly shown: OutgoingMessage
  /** Set once the server has it; shown on until the room's feed has caught up with it. */
  readonly committed?: Committed
}

interface Waiter {
  resolve(committed: Committed): void
  reject(error: AtomClientError): void
}

type Note =
  | { readonly kind: 'changed'; readonly accountId: string; readonly roomId: string }
  | { readonly kind: 'committed'; readonly clientId: string; readonly committed: Committed }

const ackWithinMs = 15_000
/** Room for the frame's own syntax within `socketLimits.frameBytes`, and for texts that grow when escaped as JSON. */
const batchBytes = socketLimits.frameBytes - 8 * 1024
const retryBaseMs = 250
const retryCapMs = 15_000
const nothing: readonly OutgoingMessage[] = []

/** Not the message's fault: it waits for the line to come back as somebody who may speak. */
const lineCodes: ReadonlySet<string> = new Set([
  'offline',
  'aborted',
  'closed',
  'unauthenticated',
  'token_expired',
  'session_revoked',
  'draining',
])

/**
 * What is owed to the server. A message is stored before it is sent for the first time and removed after it was
 * acknowledged, always under the same `clientId`, which the server never commits twice: so it may be sent as often as doubt
 * demands. Each room has its own lane with one batch in flight, which keeps its order. The tab with the live socket sends also
 * what the others, or a tab that was closed, have left; where each tab has one, a lane runs under a lock that they share.
 */
export class Outbox extends ObservableState<{ readonly pendingCount: number }> {
  readonly #storage: OutboxStorage
  readonly #tabs: Tabs
  readonly #line: OutboxLine
  readonly #random: () => number
  readonly #traceparent: TraceContext
  readonly #unhear: () => void
  readonly #entries = new Map<string, Entry>()
  readonly #waiters = new Map<string, Waiter[]>()
  readonly #lanes = new Map<string, { again: boolean }>()
  readonly #shown = new Map<string, readonly OutgoingMessage[]>()
  readonly #watched = new Set<string>()
  /** Committed or discarded since the account came: a storage that was read a moment too early must not bring them back. */
  readonly #settled = new Set<string>()
  #accountId: string | undefined
  #term = new AbortController()

  constructor(parts: {
    storage: OutboxStorage
    tabs: Tabs
    line: OutboxLine
    traceparent?: TraceContext
    random?: () => number
  }) {
    super()
    this.#storage = parts.storage
    this.#tabs = parts.tabs
    this.#line = parts.line
    this.#traceparent = parts.traceparent ?? traceContext(undefined)
    this.#random = parts.random ?? Math.random
    this.#unhear = parts.tabs.hear('outbox', (message) => {
      const note = message as Note
      if (note.kind === 'committed') this.#commit(note.clientId, note.committed)
      else if (note.accountId === this.#accountId) void this.#load()
    })
  }

  /** Takes up what this account left owed. */
  async start(accountId: string): Promise<void> {
    if (this.#accountId === accountId) return
    this.stop()
    this.#accountId = accountId
    await this.#load()
  }

  /** The person has left. What is owed stays in the storage, for the next time. */
  stop(): void {
    this.#term.abort()
    this.#term = new AbortController()
    this.#accountId = undefined
    for (const waiters of this.#waiters.values()) {
      for (const waiter of waiters)
        waiter.reject(
          new AtomClientError('closed', {
            detail: 'Not sent yet. It is kept on this device and goes out when you are back.',
          }),
        )
    }
    this.#waiters.clear()
    this.#entries.clear()
    this.#settled.clear()
    this.#lanes.clear()
    this.#drawAnew()
  }

  close(): void {
    this.#unhear()
    this.stop()
    this.#storage.close()
  }

  get pendingCount(): number {
    return this.getSnapshot().pendingCount
  }

  /**
   * Stores the message, sends it when there is a line, and resolves when the server has committed it.
   *
   * @throws AtomClientError `storage_failed` where it could not be kept; `discarded`; or why the server refused it for good,
   * in which case it stays here as failed
   */
  async send(roomId: string, text: string, to: Addressing = {}): Promise<Committed> {
    const accountId = this.#accountId
    if (accountId === undefined) throw new AtomClientError('unauthenticated')
    const tooLarge = new TextEncoder().encode(text).length > limits.messageBytes
    const refused = tooLarge
      ? new AtomClientError('message_too_large', {
          detail: `A message has at most ${limits.messageBytes / 1024} KiB. Shorten it, or send it in parts.`,
        })
      : undefined
    const traceparent = this.#traceparent()
    let message: OwedMessage
    try {
      message = await this.#storage.add({
        clientId: uuidv7(),
        accountId,
        roomId,
        text,
        ...addressing(to),
        at: new Date().toISOString(),
        ...(traceparent === undefined ? {} : { traceparent }),
        // Kept nevertheless: nobody's long text is thrown away because it was too long.
        ...(refused ? { error: { code: refused.code, detail: refused.detail } } : {}),
      })
    } catch (thrown) {
      throw new AtomClientError('storage_failed', { cause: thrown })
    }
    this.#tabs.tell('outbox', { kind: 'changed', accountId, roomId } satisfies Note)
    if (this.#accountId !== accountId) throw new AtomClientError('closed')
    this.#put(message)
    if (refused) throw refused
    const committed = new Promise<Committed>((resolve, reject) => {
      this.#wait(message.clientId, { resolve, reject })
    })
    this.#wake(roomId)
    return await committed
  }

  /** Sends a failed message once more, under its old `clientId`. @throws message_too_large, which no repetition changes */
  async retry(clientId: string): Promise<void> {
    const entry = this.#entries.get(clientId)
    if (entry?.message.error === undefined) return
    if (entry.message.error.code === 'message_too_large')
      throw new AtomClientError('message_too_large', { detail: entry.message.error.detail })
    const { error: _, ...message } = entry.message
    await this.#storage.update(message)
    this.#tellChanged(message)
    this.#put(message)
    this.#wake(message.roomId)
  }

  /** Gives a failed message up. One that is on its way cannot be taken back. */
  async discard(clientId: string): Promise<void> {
    const entry = this.#entries.get(clientId)
    if (entry?.message.error === undefined) return
    this.#settled.add(clientId)
    await this.#storage.remove(clientId)
    this.#tellChanged(entry.message)
    this.#forget(clientId)
    for (const waiter of this.#release(clientId)) waiter.reject(new AtomClientError('discarded'))
  }

  /** Mine in this room that its feed does not hold yet, in order; the same array until something has changed. */
  ofRoom(roomId: string): readonly OutgoingMessage[] {
    let shown = this.#shown.get(roomId)
    if (shown === undefined) {
      const own = [...this.#entries.values()].filter(({ message }) => message.roomId === roomId)
      shown =
        own.length === 0
          ? nothing
          : own.sort((a, b) => a.message.order - b.message.order).map((entry) => entry.shown)
      this.#shown.set(roomId, shown)
    }
    return shown
  }

  /** Somebody shows this room's feed and will say what is `seen`; until then an acknowledged message is shown on. */
  watchRoom(roomId: string, watched: boolean): void {
    if (watched) {
      this.#watched.add(roomId)
      return
    }
    this.#watched.delete(roomId)
    for (const [clientId, entry] of this.#entries) {
      if (entry.message.roomId === roomId && entry.committed) this.#forget(clientId)
    }
  }

  /** The feed of a room shows this: an own message in it is committed, whatever became of its acknowledgement. */
  seen(event: RoomEvent): void {
    if (event.type !== 'message.created' || event.actor.id !== this.#accountId) return
    const { clientId, id, seq } = event
    if (!this.#entries.has(clientId)) return
    this.#commit(clientId, { id, seq })
    this.#forget(clientId)
    void this.#storage.remove(clientId).catch(() => this.#load())
  }

  /** There is a line: everything that is owed goes out. */
  flush(): void {
    for (const roomId of new Set([...this.#entries.values()].map(({ message }) => message.roomId)))
      this.#wake(roomId)
  }

  protected override compose(): { readonly pendingCount: number } {
    let pendingCount = 0
    for (const { message, committed } of this.#entries.values()) {
      if (message.error === undefined && committed === undefined) pendingCount += 1
    }
    return { pendingCount }
  }

  #wake(roomId: string): void {
    const lane = this.#lanes.get(roomId)
    if (lane !== undefined) {
      lane.again = true
      return
    }
    const accountId = this.#accountId
    if (accountId === undefined || !this.#line.connected) return
    const mine = { again: false }
    this.#lanes.set(roomId, mine)
    const { signal } = this.#term
    const { lease } = this.#line
    void this.#tabs
      .exclusively(`outbox:${accountId}:${roomId}${lease === undefined ? '' : `:${lease}`}`, () =>
        this.#drain(accountId, roomId, signal),
      )
      .catch((thrown: unknown) => {
        // The storage failed while reading. What is owed is still there; the next line or message wakes the lane again.
        console.error('Atom: the outbox could not be read', thrown)
      })
      .finally(() => {
        if (this.#lanes.get(roomId) !== mine) return
        this.#lanes.delete(roomId)
        if (mine.again) this.#wake(roomId)
      })
  }

  /** Sends what the storage holds for the room, in order, until nothing is left or the line is away. */
  async #drain(accountId: string, roomId: string, signal: AbortSignal): Promise<void> {
    let failures = 0
    let alone = false
    while (this.#line.connected && !signal.aborted) {
      // The storage, not the memory of this tab: another tab may have sent some, or left some.
      const owed = (await this.#storage.list(accountId)).filter(
        (message) => message.roomId === roomId && message.error === undefined,
      )
      const batch = alone ? owed.slice(0, 1) : firstBatch(owed)
      if (batch.length === 0 || signal.aborted) return
      const outcome = await this.#sendBatch(roomId, batch)
      if (signal.aborted) return
      if (outcome === 'away') return
      if (outcome === 'refused_whole') {
        // Whether one of them is at fault or all are: one by one, each gets its own answer.
        if (batch.length > 1) alone = true
        continue
      }
      if (outcome === 'done') {
        failures = 0
        continue
      }
      const jitter = this.#random() * Math.min(retryCapMs, retryBaseMs * 2 ** failures)
      failures += 1
      await sleep(outcome.afterMs + jitter, signal)
    }
  }

  async #sendBatch(
    roomId: string,
    batch: readonly OwedMessage[],
  ): Promise<'done' | 'away' | 'refused_whole' | { afterMs: number }> {
    let answer: ClientAnswer<'message.send'>
    try {
      const items = batch.map(({ clientId, text, replyTo, mentions }) => ({
        clientId,
        text,
        ...(replyTo === undefined ? {} : { replyTo }),
        ...(mentions === undefined ? {} : { mentions: [...mentions] }),
      }))
      answer = await this.#line.request('message.send', { roomId, items }, ackWithinMs, contextOf(batch))
    } catch (thrown) {
      const error = asAtomClientError(thrown)
      if (lineCodes.has(error.code)) return 'away'
      if (error.retryable) return { afterMs: error.retryAfterMs ?? 0 }
      const [only] = batch
      if (batch.length === 1 && only !== undefined) await this.#fail(only, error)
      return 'refused_whole'
    }
    const results = 'results' in answer ? answer.results : [{ ok: true as const, ...answer }]
    let wait: { afterMs: number } | undefined
    for (const [place, message] of batch.entries()) {
      const result = results[place]
      // An answer with too few results leaves the rest owed: they are asked about again.
      if (result === undefined) wait = { afterMs: 0 }
      else if (result.ok) await this.#acknowledge(message, { id: result.id, seq: result.seq })
      else if (result.error.retryable || lineCodes.has(result.error.code))
        wait = { afterMs: Math.max(wait?.afterMs ?? 0, result.error.retryAfterMs ?? 0) }
      else await this.#fail(message, AtomClientError.fromFrame(result.error))
    }
    return wait ?? 'done'
  }

  async #acknowledge(message: OwedMessage, committed: Committed): Promise<void> {
    // The person is told first: a failing storage must not make a committed message look owed.
    this.#commit(message.clientId, committed)
    this.#tabs.tell('outbox', { kind: 'committed', clientId: message.clientId, committed } satisfies Note)
    await this.#storage.remove(message.clientId)
  }

  async #fail(message: OwedMessage, error: AtomClientError): Promise<void> {
    const failed = { ...message, error: { code: error.code, detail: error.detail } }
    await this.#storage.update(failed)
    this.#tellChanged(failed)
    if (this.#accountId !== message.accountId || this.#settled.has(message.clientId)) return
    this.#put(failed)
    for (const waiter of this.#release(message.clientId)) waiter.reject(error)
  }

  #commit(clientId: string, committed: Committed): void {
    for (const waiter of this.#release(clientId)) waiter.resolve(committed)
    this.#settled.add(clientId)
    const entry = this.#entries.get(clientId)
    if (entry === undefined) return
    if (!this.#watched.has(entry.message.roomId)) {
      this.#forget(clientId)
      return
    }
    if (entry.committed !== undefined) return
    const { error: _, ...message } = entry.message
    this.#entries.set(clientId, { message, shown: shown(message), committed })
    this.#drawAnew(message.roomId)
  }

  /** Reads the storage again, after another tab has changed it. */
  async #load(): Promise<void> {
    const accountId = this.#accountId
    if (accountId === undefined) return
    const { signal } = this.#term
    const before = [...this.#entries.keys()]
    const stored = new Map(
      (await this.#storage.list(accountId)).map((message) => [message.clientId, message]),
    )
    if (signal.aborted) return
    // An entry comes to memory after it came to the storage: one that is missing there was settled by another tab.
    for (const clientId of before) {
      if (!stored.has(clientId) && this.#entries.get(clientId)?.committed === undefined)
        this.#forget(clientId)
    }
    for (const message of stored.values()) {
      if (!this.#settled.has(message.clientId)) this.#put(message)
    }
    this.flush()
  }

  #put(message: OwedMessage): void {
    this.#entries.set(message.clientId, { message, shown: shown(message) })
    this.#drawAnew(message.roomId)
  }

  #forget(clientId: string): void {
    const entry = this.#entries.get(clientId)
    if (entry === undefined) return
    this.#entries.delete(clientId)
    this.#drawAnew(entry.message.roomId)
  }

  #drawAnew(roomId?: string): void {
    if (roomId === undefined) this.#shown.clear()
    else this.#shown.delete(roomId)
    this.changed()
  }

  #tellChanged({ accountId, roomId }: OwedMessage): void {
    this.#tabs.tell('outbox', { kind: 'changed', accountId, roomId } satisfies Note)
  }

  #wait(clientId: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(clientId)
    if (waiters === undefined) this.#waiters.set(clientId, [waiter])
    else waiters.push(waiter)
  }

  #release(clientId: string): readonly Waiter[] {
    const waiters = this.#waiters.get(clientId) ?? []
    this.#waiters.delete(clientId)
    return waiters
  }
}

function shown(message: OwedMessage): OutgoingMessage {
  const { clientId, text, at, error } = message
  const said = { clientId, text, at, ...addressing(message) }
  if (error === undefined) return { ...said, state: 'pending' }
  const code = error.code in errorTable ? (error.code as FrameError['code']) : 'internal'
  return { ...said, state: 'failed', error: new AtomClientError(code, { detail: error.detail }) }
}

function addressing({ replyTo, mentions }: Addressing): Pick<OwedMessage, 'replyTo' | 'mentions'> {
  return {
    ...(replyTo === undefined ? {} : { replyTo }),
    ...(mentions === undefined || mentions.length === 0 ? {} : { mentions }),
  }
}

function contextOf(batch: readonly OwedMessage[]): FrameContext {
  if (batch.every(({ traceparent }) => traceparent === undefined)) return {}
  return { traceparent: batch.map(({ traceparent }) => traceparent ?? null) }
}

/** As many as fit one frame. JSON escapes may make a text longer than its UTF-8, so it is measured as it will travel. */
function firstBatch(owed: readonly OwedMessage[]): readonly OwedMessage[] {
  const encoder = new TextEncoder()
  let bytes = 0
  let count = 0
  for (const { text, mentions = [] } of owed.slice(0, socketLimits.batchItems)) {
    bytes += encoder.encode(JSON.stringify([text, mentions])).length + 120
    if (count > 0 && bytes > batchBytes) break
    count += 1
  }
  return owed.slice(0, count)
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}
