import type { FrameError } from '@atom/contract/errors.ts'
import type {
  ClientAnswer,
  ClientFrame,
  ClientFrameName,
  FrameContext,
  ServerFrame,
} from '@atom/contract/socket.ts'
import { socketLimits } from '@atom/contract/socket.ts'
import { v7 as uuidv7 } from 'uuid'
import { AtomClientError, asAtomClientError } from '../atom-client-error.ts'
import type { Tabs } from '../tabs.ts'
import type { HeardFrame } from './socket.ts'
import {
  type Cursors,
  type Line,
  type LineEnd,
  type LineParts,
  type LineState,
  SocketLine,
} from './socket-line.ts'

type Trouble = { readonly code: AtomClientError['code'] } & Omit<FrameError, 'code'>

/** What the tab with the socket says to the others. A higher `term` is a later lead; words of an earlier one count no more. */
type LeadersWord = { readonly term: number } & (
  | { readonly kind: 'lead'; readonly deviceId: string }
  | {
      readonly kind: 'welcome'
      readonly to: string
      readonly deviceId: string
      readonly state: LineState
      readonly hello?: ServerFrame<'hello'>
    }
  | { readonly kind: 'state'; readonly state: LineState }
  | { readonly kind: 'hello'; readonly hello: ServerFrame<'hello'> }
  | { readonly kind: 'lost' }
  | { readonly kind: 'frame'; readonly frame: HeardFrame }
  | { readonly kind: 'rejoined'; readonly roomId: string; readonly epoch: string; readonly head: number }
  | { readonly kind: 'here' }
  | { readonly kind: 'answer'; readonly to: string; readonly ask: number; readonly answer: unknown }
  | { readonly kind: 'refusal'; readonly to: string; readonly ask: number; readonly error: Trouble }
)

/** What the others say to the tab with the socket. */
type FollowersWord = { readonly from: string } & (
  | { readonly kind: 'come' }
  | { readonly kind: 'bye' }
  | { readonly kind: 'ping' }
  | { readonly kind: 'poke'; readonly about: 'retry' | 'look' | 'due' }
  | {
      readonly kind: 'ask'
      readonly ask: number
      readonly name: ClientFrameName
      readonly body: ClientFrame<ClientFrameName>
      readonly withinMs: number
      readonly context?: FrameContext
    }
)

interface Asked {
  resolve(answer: unknown): void
  reject(error: AtomClientError): void
}

/** A leading tab that has been silent for a beat is asked for a sign of life; one that gives none loses the lead. */
const beatMs = 2_000
const patienceMs = 4_000
/** Its own limit is kept by the tab that has the socket; this one only catches what it never says. */
const asksGraceMs = 2_000

/**
 * One socket for all tabs of a browser. One tab leads and has it; the others ask through it and hear what it hears. Each tab
 * holds its own cursors, so whatever happens on the way between the tabs is mended like a broken line: a tab that is told
 * `connected` joins its rooms from where it is, events that come twice are dropped by their `seq`, missing ones are fetched.
 *
 * The browser gives the lead to the next tab when a tab ends. From a tab that hangs or was frozen it is taken; what that tab
 * still does when it wakes up counts no more, and its socket gives way to the next one's, which has the same device id.
 */
export class SharedLine implements Line {
  readonly #parts: LineParts
  readonly #end: LineEnd
  readonly #tabs: Tabs
  readonly #waitForLead: NonNullable<Tabs['lead']>
  readonly #topic: string
  /** No two tabs lose patience at the same moment. */
  readonly #patienceMs = patienceMs * (1 + Math.random() / 2)
  readonly #tab = uuidv7()
  readonly #over = Promise.withResolvers<void>()
  readonly #known = Promise.withResolvers<void>()
  readonly #unhear: () => void
  readonly #unwatch: () => void
  readonly #asks = new Map<number, Asked>()
  #lastAsk = 0
  #closed = false
  #deviceId: string
  #term = 0
  #isFrozen = false
  /** Ends the wait for the lead, and the lead itself. Aborted: this tab takes no part. */
  #stay = new AbortController()
  #leading: Leading | undefined
  /** Of the socket that the leading tab has; undefined where there is none, or where this tab leads. */
  #hello: ServerFrame<'hello'> | undefined
  #everConnected = false
  #heardAt = Date.now()
  #pingedAt: number | undefined
  #beat: ReturnType<typeof setTimeout> | undefined
  #dueTimer: ReturnType<typeof setTimeout> | undefined

  /** @param topic one per server and person */
  constructor(
    parts: LineParts & {
      readonly deviceId: string
      readonly tabs: Tabs
      readonly lead: NonNullable<Tabs['lead']>
      readonly topic: string
    },
  ) {
    this.#parts = parts
    this.#end = parts.end
    this.#tabs = parts.tabs
    this.#waitForLead = parts.lead
    this.#topic = parts.topic
    this.#deviceId = parts.deviceId
    this.#end.become({ state: 'connecting' })
    this.#unhear = this.#tabs.hear(this.#topic, (message) => {
      if (this.#closed || this.#stay.signal.aborted) return
      const word = message as LeadersWord | FollowersWord
      if ('term' in word) this.#obey(word)
      else this.#leading?.serve(word)
    })
    this.#unwatch = parts.surroundings.watch((happening) => {
      if (happening === 'frozen') {
        this.#isFrozen = true
        this.#rest()
      }
      if (happening === 'thawed') {
        this.#isFrozen = false
        void this.#arrive()
      }
    })
    this.#stay.abort()
    // Held for as long as this tab lives: whoever waits for it learns of its end.
    this.#tabs
      .exclusively(`tab:${this.#tab}`, () => {
        this.#known.resolve()
        return this.#over.promise
      })
      .catch((thrown: unknown) => this.#disagreed(thrown))
    void this.#arrive()
  }

  get connected(): boolean {
    return this.#leading?.line.connected ?? this.#hello !== undefined
  }

  /** Names the lead, where this tab has it. */
  get lease(): string | undefined {
    return this.#leading === undefined ? undefined : `${this.#leading.term}:${this.#tab}`
  }

  async request<N extends ClientFrameName>(
    name: N,
    body: ClientFrame<N>,
    withinMs: number,
    context: FrameContext = {},
  ): Promise<ClientAnswer<N>> {
    if (this.#leading !== undefined) return await this.#leading.ask(this.#tab, name, body, withinMs, context)
    if (this.#hello === undefined) throw new AtomClientError('offline')
    this.#lastAsk += 1
    const ask = this.#lastAsk
    const answered = new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => asked.reject(new AtomClientError('timeout')), withinMs + asksGraceMs)
      const asked: Asked = {
        resolve: (answer) => {
          clearTimeout(timer)
          this.#asks.delete(ask)
          resolve(answer)
        },
        reject: (error) => {
          clearTimeout(timer)
          this.#asks.delete(ask)
          reject(error)
        },
      }
      this.#asks.set(ask, asked)
    })
    this.#say({ kind: 'ask', from: this.#tab, ask, name, body, withinMs, context })
    return (await answered) as ClientAnswer<N>
  }

  retryNow(): void {
    if (this.#leading !== undefined) this.#leading.line.retryNow()
    else this.#say({ kind: 'poke', from: this.#tab, about: 'retry' })
  }

  lookAgain(): void {
    if (this.#leading !== undefined) this.#leading.line.lookAgain()
    else this.#say({ kind: 'poke', from: this.#tab, about: 'look' })
  }

  close(): void {
    if (this.#closed) return
    this.#rest()
    this.#closed = true
    this.#over.resolve()
    this.#unhear()
    this.#unwatch()
  }

  #say(word: LeadersWord | FollowersWord): void {
    this.#tabs.tell(this.#topic, word)
  }

  /** Not a word before the others can tell that this tab lives: one that does not hold its lock yet looks like one that has ended. */
  async #arrive(): Promise<void> {
    await this.#known.promise
    if (this.#stay.signal.aborted && !this.#isFrozen && !this.#closed) this.#begin()
  }

  /** The browser refuses to arbitrate (a page that is being torn down, a forbidden store): nothing to fall back on here. */
  #disagreed(thrown: unknown): void {
    console.error('Atom: the tabs could not agree on one socket', thrown)
    if (!this.#closed) this.#end.become({ state: 'failed', reason: 'closed' })
  }

  /** Waits for the lead, and follows meanwhile. */
  #begin(): void {
    this.#stay = new AbortController()
    this.#heardAt = Date.now()
    this.#pingedAt = undefined
    void this.#run(this.#stay.signal, false)
    this.#say({ kind: 'come', from: this.#tab })
    this.#watch()
  }

  /** Gives the lead back and hears nothing any more, without ending. */
  #rest(): void {
    if (this.#stay.signal.aborted) return
    this.#say({ kind: 'bye', from: this.#tab })
    this.#stay.abort()
    clearTimeout(this.#beat)
    clearTimeout(this.#dueTimer)
    this.#stepDown()
    this.#release()
  }

  async #run(signal: AbortSignal, take: boolean): Promise<void> {
    try {
      await this.#waitForLead(this.#topic, { signal, take }, (taken) =>
        this.#lead(AbortSignal.any([signal, taken])),
      )
    } catch (thrown) {
      this.#disagreed(thrown)
      return
    }
    if (signal.aborted || signal !== this.#stay.signal) return
    // It was taken, because this tab had seemed dead: it follows from now on, and waits for its turn again.
    this.#begin()
  }

  async #lead(over: AbortSignal): Promise<void> {
    if (over.aborted) return
    clearTimeout(this.#beat)
    clearTimeout(this.#dueTimer)
    this.#release()
    // Two leads never have the same number, even where this tab has heard of none before.
    this.#term = Math.max(this.#term + 1, Date.now())
    const leading = new Leading({
      ...this.#parts,
      term: this.#term,
      tab: this.#tab,
      deviceId: this.#deviceId,
      again: this.#everConnected,
      say: (word) => this.#say(word),
      gone: (tab, dropped) => void this.#tabs.exclusively(`tab:${tab}`, async () => dropped()),
      rejoined: (roomId, epoch, head) => void this.#catchUp(roomId, epoch, head),
    })
    this.#leading = leading
    this.#everConnected = true
    await new Promise<void>((resolve) => {
      over.addEventListener('abort', () => resolve(), { once: true })
    })
    if (this.#leading === leading) this.#stepDown()
  }

  #stepDown(): void {
    const leading = this.#leading
    if (leading === undefined) return
    this.#leading = undefined
    leading.line.close()
    if (!this.#closed) this.#end.become({ state: 'suspended', reason: 'offline' })
  }

  #obey(word: LeadersWord): void {
    if (word.term < this.#term) return
    if (word.term > this.#term) {
      this.#term = word.term
      this.#stepDown()
      this.#release()
      if (word.kind !== 'welcome' || word.to !== this.#tab) this.#say({ kind: 'come', from: this.#tab })
    }
    if (this.#leading !== undefined) return
    this.#heardAt = Date.now()
    this.#pingedAt = undefined
    switch (word.kind) {
      case 'lead':
        this.#deviceId = word.deviceId
        break
      case 'welcome':
        if (word.to !== this.#tab) break
        this.#deviceId = word.deviceId
        if (word.hello !== undefined) this.#connected(word.hello)
        if (word.hello === undefined || word.state.state === 'draining') this.#show(word.state)
        break
      case 'state':
        this.#show(word.state)
        break
      case 'hello':
        this.#connected(word.hello)
        break
      case 'lost':
        this.#release()
        break
      case 'frame':
        if (this.#hello !== undefined) this.#end.frame(word.frame)
        break
      case 'rejoined':
        if (this.#hello !== undefined) void this.#catchUp(word.roomId, word.epoch, word.head)
        break
      case 'answer':
        if (word.to === this.#tab) this.#asks.get(word.ask)?.resolve(word.answer)
        break
      case 'refusal':
        if (word.to === this.#tab)
          this.#asks.get(word.ask)?.reject(new AtomClientError(word.error.code, word.error))
        break
      case 'here':
        break
    }
  }

  /** The leading tab's state is everybody's. */
  #show(state: LineState): void {
    clearTimeout(this.#dueTimer)
    if (state.retryAt !== undefined) {
      this.#dueTimer = setTimeout(
        () => this.#say({ kind: 'poke', from: this.#tab, about: 'due' }),
        Math.max(0, state.retryAt - Date.now()) + 1,
      )
    }
    if (state.state === 'failed' && state.reason === 'session_revoked') this.#parts.session.ended()
    if (!this.#stay.signal.aborted) this.#end.become(state)
  }

  #connected(hello: ServerFrame<'hello'>): void {
    this.#hello = hello
    this.#everConnected = true
    clearTimeout(this.#dueTimer)
    this.#end.become({ state: 'connected' })
    this.#end.connected(hello)
  }

  /** There is no socket behind this tab any more: what was asked is in doubt. */
  #release(): void {
    for (const asked of [...this.#asks.values()]) asked.reject(new AtomClientError('offline'))
    if (this.#hello === undefined) return
    this.#hello = undefined
    if (!this.#closed) this.#end.become({ state: 'suspended', reason: 'offline' })
    this.#end.lost()
  }

  /**
   * Another tab has joined a room that this one is in as well: the server goes on from that tab's place, so what lies
   * between this tab's place and that one would not come by itself.
   */
  async #catchUp(roomId: string, epoch: string, head: number): Promise<void> {
    try {
      for (;;) {
        const cursor = this.#end.cursors()[roomId]
        if (cursor === undefined || cursor.epoch !== epoch || cursor.seq >= head) return
        const page = await this.request('room.fetch', { roomId, after: cursor.seq, limit: 200 }, 15_000)
        this.#end.frame({ name: 'room.events', body: { roomId, epoch: page.epoch, events: page.events } })
        if (page.events.length === 0) return
      }
    } catch (thrown) {
      // The line went away, and the next one resumes from the cursor; or the room did, and says so itself.
      if (!(thrown instanceof AtomClientError)) throw thrown
    }
  }

  #watch(): void {
    clearTimeout(this.#beat)
    this.#beat = setTimeout(() => {
      if (this.#leading !== undefined || this.#stay.signal.aborted) return
      const now = Date.now()
      if (this.#pingedAt !== undefined && now - this.#pingedAt >= this.#patienceMs) {
        // The wait in the queue ends here; `#run` of the new stay takes the lead.
        this.#stay.abort()
        this.#stay = new AbortController()
        this.#pingedAt = undefined
        this.#heardAt = now
        void this.#run(this.#stay.signal, true)
      } else if (this.#pingedAt === undefined && now - this.#heardAt >= beatMs) {
        this.#pingedAt = now
        this.#say({ kind: 'ping', from: this.#tab })
      }
      this.#watch()
    }, beatMs)
  }
}

/** The tab that has the socket. */
class Leading {
  readonly term: number
  readonly line: SocketLine
  readonly #tab: string
  readonly #deviceId: string
  readonly #say: (word: LeadersWord) => void
  readonly #gone: (tab: string, dropped: () => void) => void
  readonly #ownRejoined: (roomId: string, epoch: string, head: number) => void
  readonly #end: LineEnd
  /** The rooms that each tab is in, this one among them. */
  readonly #rooms = new Map<string, Set<string>>()
  /** The rooms whose presence each tab shows, and from which of them its person looks away. */
  readonly #watched = new Map<string, readonly string[]>()
  readonly #away = new Set<string>()
  #toldAway = false
  /** The question about presence that is under way; the next one replaces it, so it comes after it. */
  #watching: Promise<unknown> = Promise.resolve()
  #state: LineState = { state: 'connecting' }
  #hello: ServerFrame<'hello'> | undefined

  constructor(
    parts: LineParts & {
      readonly term: number
      readonly tab: string
      readonly deviceId: string
      readonly again: boolean
      readonly say: (word: LeadersWord) => void
      readonly gone: (tab: string, dropped: () => void) => void
      readonly rejoined: (roomId: string, epoch: string, head: number) => void
    },
  ) {
    this.term = parts.term
    this.#tab = parts.tab
    this.#deviceId = parts.deviceId
    this.#say = parts.say
    this.#gone = parts.gone
    this.#ownRejoined = parts.rejoined
    this.#end = parts.end
    this.#rooms.set(parts.tab, new Set())
    this.#say({ kind: 'lead', term: this.term, deviceId: this.#deviceId })
    this.line = new SocketLine({
      ...parts,
      end: {
        cursors: () => this.#cursors(),
        become: (state) => {
          this.#state = state
          this.#end.become(state)
          // That it is connected the others hear with its `hello`, so that who reads it may ask at once.
          if (state.state !== 'connected') this.#say({ kind: 'state', term: this.term, state })
        },
        connected: (hello) => this.#connected(hello),
        frame: (frame) => {
          this.#end.frame(frame)
          this.#pass(frame)
        },
        lost: () => {
          this.#hello = undefined
          this.#end.lost()
          this.#say({ kind: 'lost', term: this.term })
        },
      },
    })
  }

  serve(word: FollowersWord): void {
    if (word.kind === 'come') this.#admit(word.from)
    else if (word.kind === 'bye') this.#dismiss(word.from)
    else if (word.kind === 'ping') this.#say({ kind: 'here', term: this.term })
    else if (word.kind === 'ask') void this.#answer(word)
    else if (word.about === 'retry') this.line.retryNow()
    else if (word.about === 'look') this.line.lookAgain()
    else this.line.due()
  }

  async ask<N extends ClientFrameName>(
    tab: string,
    name: N,
    body: ClientFrame<N>,
    withinMs: number,
    context?: FrameContext,
  ): Promise<ClientAnswer<N>> {
    if (name === 'room.leave' && 'roomId' in body) {
      this.#rooms.get(tab)?.delete(body.roomId)
      // Another tab is still in there; for this one the door is closed here.
      if (this.#isWanted(body.roomId)) return {} as ClientAnswer<N>
    }
    if (name === 'presence.watch' && 'roomIds' in body)
      return (await this.#watch(tab, body.roomIds, withinMs)) as ClientAnswer<N>
    if (name === 'presence.set' && 'state' in body) {
      if (body.state === 'away') this.#away.add(tab)
      else this.#away.delete(tab)
      await this.#tellAway(withinMs)
      return {} as ClientAnswer<N>
    }
    // From the asking on, not from the answer on: what comes right after the answer is for that tab as well.
    if (name === 'room.join' && 'roomId' in body) this.#rooms.get(tab)?.add(body.roomId)
    const answer = await this.line.request(name, body, withinMs, context)
    if (name === 'room.join' && 'roomId' in body)
      this.#rejoined(tab, body.roomId, answer as ClientAnswer<'room.join'>)
    return answer
  }

  /** What any tab shows is watched; each is answered with its own. */
  async #watch(
    tab: string,
    roomIds: readonly string[],
    withinMs: number,
  ): Promise<ClientAnswer<'presence.watch'>> {
    this.#watched.set(tab, roomIds)
    const asked = this.#watching.then(() => {
      const all = new Set([...(this.#watched.get(tab) ?? []), ...[...this.#watched.values()].flat()])
      const union = [...all].slice(0, socketLimits.watchedRooms)
      return this.line.request('presence.watch', { roomIds: union }, withinMs)
    })
    this.#watching = asked.catch(() => undefined)
    const { rooms } = await asked
    return { rooms: Object.fromEntries(Object.entries(rooms).filter(([id]) => roomIds.includes(id))) }
  }

  /** A person looks away when they do so from every tab. */
  async #tellAway(withinMs: number): Promise<void> {
    const away = [...this.#rooms.keys()].every((tab) => this.#away.has(tab))
    if (away === this.#toldAway) return
    this.#toldAway = away
    await this.line.request('presence.set', { state: away ? 'away' : 'active' }, withinMs)
  }

  async #answer(word: Extract<FollowersWord, { kind: 'ask' }>): Promise<void> {
    const { from, ask, name, body, withinMs, context } = word
    const to = { to: from, ask, term: this.term }
    try {
      this.#say({ kind: 'answer', ...to, answer: await this.ask(from, name, body, withinMs, context) })
    } catch (thrown) {
      const { code, detail, retryable, retryAfterMs } = asAtomClientError(thrown)
      const error: Trouble = {
        code,
        detail,
        retryable,
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      }
      this.#say({ kind: 'refusal', ...to, error })
    }
  }

  #admit(tab: string): void {
    const known = this.#rooms.has(tab)
    this.#rooms.set(tab, new Set())
    this.#watched.delete(tab)
    this.#away.delete(tab)
    // It looks until it says otherwise.
    this.#unasked(this.#tellAway(15_000))
    this.#say({
      kind: 'welcome',
      term: this.term,
      to: tab,
      deviceId: this.#deviceId,
      state: this.#state,
      ...(this.#hello === undefined ? {} : { hello: this.#hello }),
    })
    if (!known) this.#gone(tab, () => this.#dismiss(tab))
  }

  #dismiss(tab: string): void {
    const rooms = this.#rooms.get(tab)
    if (rooms === undefined) return
    this.#rooms.delete(tab)
    this.#away.delete(tab)
    this.#unasked(this.#tellAway(15_000))
    if ((this.#watched.get(tab) ?? []).length > 0) this.#unasked(this.#watch(tab, [], 15_000))
    this.#watched.delete(tab)
    for (const roomId of rooms) {
      if (this.#isWanted(roomId)) continue
      // Best effort: a socket that has gone has left by itself.
      this.line.request('room.leave', { roomId }, 15_000).catch(() => undefined)
    }
  }

  #cursors(): Cursors {
    const cursors = this.#end.cursors()
    this.#rooms.set(this.#tab, new Set(Object.keys(cursors)))
    return cursors
  }

  #connected(hello: ServerFrame<'hello'>): void {
    // The others join theirs anew, each from its own place: nobody else knows where they are.
    for (const tab of this.#rooms.keys()) if (tab !== this.#tab) this.#rooms.set(tab, new Set())
    this.#watched.clear()
    this.#away.clear()
    this.#toldAway = false
    this.#hello = { ...hello, rooms: {} }
    this.#end.connected(hello)
    this.#say({ kind: 'hello', term: this.term, hello: this.#hello })
  }

  /** Only what another tab is in: each word costs every tab a copy. */
  #pass(frame: HeardFrame): void {
    if (frame.name === 'room.added' || frame.name === 'room.left') {
      // Every tab has the list of rooms.
      this.#say({ kind: 'frame', term: this.term, frame })
      return
    }
    if (!('roomId' in frame.body)) return
    const { roomId } = frame.body
    const wanted =
      frame.name === 'room.signal' && frame.body.kind === 'presence'
        ? [...this.#watched].some(([tab, rooms]) => tab !== this.#tab && rooms.includes(roomId))
        : this.#isWanted(roomId, this.#tab)
    if (wanted) this.#say({ kind: 'frame', term: this.term, frame })
  }

  /** The others in this room hear what the joining tab was answered: see `#catchUp`. */
  #rejoined(tab: string, roomId: string, { epoch, head, events }: ClientAnswer<'room.join'>): void {
    if (!this.#isWanted(roomId, tab)) return
    const own = tab !== this.#tab && this.#rooms.get(this.#tab)?.has(roomId) === true
    if (events.length > 0) {
      const frame: HeardFrame = { name: 'room.events', body: { roomId, epoch, events } }
      if (own) this.#end.frame(frame)
      this.#pass(frame)
    } else {
      if (own) this.#ownRejoined(roomId, epoch, head)
      this.#say({ kind: 'rejoined', term: this.term, roomId, epoch, head })
    }
  }

  /** Nobody waits for it: with the next socket all of it is asked anew. */
  #unasked(work: Promise<unknown>): void {
    work.catch((thrown: unknown) => {
      if (!(thrown instanceof AtomClientError)) throw thrown
    })
  }

  /** @param except whose wish does not count */
  #isWanted(roomId: string, except?: string): boolean {
    for (const [tab, rooms] of this.#rooms) if (tab !== except && rooms.has(roomId)) return true
    return false
  }
}
