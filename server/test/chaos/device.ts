import type { RoomEvent } from '@atom/contract/rooms.ts'
import type { FaultyLine } from './faulty-line.ts'
import { digestOfText, eventDigest, type History } from './history.ts'
import { MessageStates } from './message-states.ts'
import type { ChaosRoom, Person } from './person.ts'
import type { ChangeKind } from './schedule.ts'

export interface Change {
  readonly kind: ChangeKind
  /** Place of the message. */
  readonly seq: number
  /** The same with every attempt. */
  readonly clientId: string
  readonly text: string
  readonly emoji: string
}

/** What came of asking for it once. `lost`: nobody knows. */
export type Attempt =
  | { readonly how: 'done'; readonly seq?: number }
  | { readonly how: 'refused'; readonly code: string }
  | { readonly how: 'lost'; readonly afterMs?: number }

/** What one person holds in the hand: it follows rooms, owes messages, and comes back whatever happens. */
export interface Device extends AsyncDisposable {
  readonly name: string
  readonly person: Person
  readonly line: FaultyLine
  readonly rooms: ReadonlySet<ChaosRoom>
  /** Messages without an acknowledgement. */
  readonly owed: number
  follow(room: ChaosRoom): void
  unfollow(room: ChaosRoom): void
  /** @param mentions ids of members that it names */
  say(room: ChaosRoom, text: string, mentions?: readonly string[]): void
  /** The messages of a room as it holds them. */
  messages(room: ChaosRoom): MessageStates
  change(room: ChaosRoom, change: Change): Promise<Attempt>
  /** Its person has read up to here. True where the server has said that it knows. */
  read(room: ChaosRoom, seq: number): Promise<boolean>
  /** Stops the answer that is being written in the room, where there is one. */
  stop(room: ChaosRoom): void
  /** As when a person reloads the page: only what is kept stays. */
  reload(): void
  /** Gets a new access token, as it would when the old one is about to expire. */
  renew(): void
  /** The nemesis rests: what a device notices of that by itself, it notices now. */
  networkIsBack(): void
  /** Number of the newest event that it holds without a gap; 0: none. */
  cursor(room: ChaosRoom): number
}

export interface DeviceParts {
  readonly name: string
  readonly person: Person
  readonly line: FaultyLine
  readonly history: History
}

/** Writes into the history what a device gets, and keeps in mind what an answer needs. */
export class Witness {
  readonly #parts: DeviceParts
  /** By room and turn: answers that are being written. */
  readonly #turns = new Map<string, string>()
  readonly #drafts = new Map<string, { attempt: number; text: string; contradicted: boolean }>()
  readonly #over = new Set<string>()
  /** By room. Kept over a reload, as a page keeps what it holds in its storage. */
  readonly #messages = new Map<string, MessageStates>()

  constructor(parts: DeviceParts) {
    this.#parts = parts
  }

  of(room: ChaosRoom): { device: string; account: string; room: string } {
    const { name, person } = this.#parts
    return { device: name, account: person.name, room: room.name }
  }

  event(room: ChaosRoom, event: RoomEvent): void {
    const { history } = this.#parts
    this.messages(room).take(event)
    history.add({
      is: 'event',
      ...this.of(room),
      seq: event.seq,
      digest: eventDigest(event),
      ...digestOfText(event),
      committedAt: Date.parse(event.at) - history.began,
    })
    if (event.type === 'turn.started') this.#turns.set(room.id, event.turnId)
    if (event.type === 'turn.ended' && this.#turns.get(room.id) === event.turnId) this.#turns.delete(room.id)
    if (event.type !== 'message.final') return
    const draft = this.#drafts.get(event.id)
    if (draft !== undefined) history.add({ is: 'draft', ...this.of(room), messageId: event.id, ...draft })
    history.add({
      is: 'final',
      ...this.of(room),
      messageId: event.id,
      text: event.text,
      sha256: event.sha256,
    })
    this.#drafts.delete(event.id)
    this.#over.add(event.id)
  }

  messages(room: ChaosRoom): MessageStates {
    const known = this.#messages.get(room.id) ?? new MessageStates()
    this.#messages.set(room.id, known)
    return known
  }

  /** The turn that is running in the room, as far as is known here. */
  turn(room: ChaosRoom): string | undefined {
    return this.#turns.get(room.id)
  }

  /** What somebody else has put together of an answer. */
  draft(messageId: string, attempt: number, text: string): void {
    if (!this.#over.has(messageId)) this.#drafts.set(messageId, { attempt, text, contradicted: false })
  }

  /** A piece of an answer, put together by the rule of the contract. False: a piece before it is missing. */
  piece(messageId: string, attempt: number, offset: number, text: string): boolean {
    if (this.#over.has(messageId)) return true
    const known = this.#drafts.get(messageId)
    if (known !== undefined && attempt < known.attempt) return true
    const draft = known?.attempt === attempt ? known : { attempt, text: '', contradicted: false }
    if (offset > draft.text.length) return false
    const overlap = draft.text.slice(offset, offset + text.length)
    if (overlap !== text.slice(0, overlap.length)) draft.contradicted = true
    draft.text += text.slice(draft.text.length - offset)
    this.#drafts.set(messageId, draft)
    return true
  }

  /** What a page holds in memory is gone. */
  forget(): void {
    this.#drafts.clear()
    this.#turns.clear()
  }
}

/** Pins have no frame, so every device asks over HTTP. */
export async function pinOf(
  device: Pick<Device, 'person' | 'line'>,
  room: ChaosRoom,
  kind: 'pin' | 'unpin',
  seq: number,
): Promise<Attempt> {
  const method = kind === 'pin' ? 'PUT' : 'DELETE'
  const answer = await device.person.call(device.line.url, method, `/v1/rooms/${room.id}/pins/${seq}`)
  if (answer === undefined) return { how: 'lost' }
  if (answer.status < 300) return { how: 'done' }
  if (answer.status >= 500 || [401, 429].includes(answer.status)) return { how: 'lost' }
  return { how: 'refused', code: answer.body.code ?? String(answer.status) }
}
