import { createHash } from 'node:crypto'
import { appendFileSync, writeFileSync } from 'node:fs'
import type { RoomEvent } from '@atom/contract/rooms.ts'
import type { ChangedMessages } from './message-states.ts'
import type { Action, ChangeKind, Fault, Way } from './schedule.ts'

/** What is common to every line: when it was written, in ms since the run began. */
interface Line {
  readonly at: number
}

interface OfDevice extends Line {
  readonly device: string
  readonly account: string
  readonly room: string
}

/** `adding` when it is asked for, `added` when that is acknowledged; the same for removal. Those of the beginning: `added`. */
export interface MemberLine extends Line {
  readonly is: 'member'
  readonly account: string
  readonly room: string
  readonly change: 'adding' | 'added' | 'removing' | 'removed'
}

/** A device owes this message from now on. `order` counts the messages of one device in one room. */
export interface PublishLine extends OfDevice {
  readonly is: 'publish'
  readonly clientId: string
  readonly text: string
  readonly order: number
  /** The device promises that its messages take their places in this order. */
  readonly ordered: boolean
}

/** The server said that it has it. */
export interface AckLine extends OfDevice {
  readonly is: 'ack'
  readonly clientId: string
  readonly seq: number
  readonly id: string
}

/** The device owes it no more: its outbox has let go of it, with or without having said which place it has. */
export interface SettledLine extends OfDevice {
  readonly is: 'settled'
  readonly clientId: string
}

/** The server said that it will never take it. */
export interface RefusedLine extends OfDevice {
  readonly is: 'refused'
  readonly clientId: string
  readonly code: string
}

/** An event took its place on the device, after everything that the same device was handed before. */
export interface EventLine extends OfDevice {
  readonly is: 'event'
  readonly seq: number
  readonly digest: string
  /** Digest of the text, where it has one, as it was when it was read. */
  readonly text?: string
  /** When it was committed, by the server's clock, on the scale of `at`. */
  readonly committedAt: number
}

/** On one socket the server began to follow a room for a device after `after`. Later frames of it have the same `follow`. */
export interface FollowLine extends OfDevice {
  readonly is: 'follow'
  readonly follow: number
  readonly after: number
}

/** A frame of committed events as it came over the wire, before the device has judged it. */
export interface FrameLine extends OfDevice {
  readonly is: 'frame'
  readonly follow: number
  readonly seqs: readonly number[]
}

/** The server told the device to forget what it holds. */
export interface ResetLine extends OfDevice {
  readonly is: 'reset'
}

/** Somebody who is not in the room tried to get in. */
export interface TrespassLine extends OfDevice {
  readonly is: 'trespass'
  readonly way: Way
  /** The code of the refusal; undefined: let in. */
  readonly code?: string
  /** When it was asked, on the scale of `at`. */
  readonly since?: number
}

/** Somebody asks for a change of a message. */
export interface ChangeLine extends OfDevice {
  readonly is: 'change'
  /** Names it in the lines that follow. */
  readonly key: string
  readonly kind: ChangeKind
  /** Place of the message. */
  readonly target: number
  /** Digest of the new text. */
  readonly text?: string
  readonly emoji?: string
}

/** The server said that it is done. */
export interface ChangeDoneLine extends OfDevice {
  readonly is: 'change_done'
  readonly key: string
  /** Place of the change, where that was said. */
  readonly seq?: number
}

/** The server said no. `tries`: how often it was asked; of earlier ones nobody knows what became of them. */
export interface ChangeRefusedLine extends OfDevice {
  readonly is: 'change_refused'
  readonly key: string
  readonly code: string
  readonly tries: number
}

/** A person has read up to here, says the device; `done`: and the server has said that it knows. */
export interface ReadLine extends OfDevice {
  readonly is: 'read'
  readonly seq: number
  readonly done: boolean
}

/** How far the database says that somebody has read, at the end. */
export interface MarkLine extends Line {
  readonly is: 'mark'
  readonly account: string
  readonly room: string
  readonly seq: number
  /** What was said before they came counts as read. */
  readonly joined: number
}

/** The messages of a room that were changed, as a device has them at the end. */
export interface StateLine extends OfDevice {
  readonly is: 'state'
  /** It holds nothing before this place. */
  readonly from: number
  readonly messages: ChangedMessages
}

/** The same as the database has them. */
export interface TruthLine extends Line {
  readonly is: 'truth'
  readonly room: string
  readonly messages: ChangedMessages
}

/** Something was told that is not stored. */
export interface SignalLine extends OfDevice {
  readonly is: 'signal'
  readonly kind: string
}

/** The device was told that its person is out of the room: until it follows anew, nothing more of it may come. */
export interface LeftLine extends OfDevice {
  readonly is: 'left'
}

/** Something that should have been done within its time was not, or was answered as it never should be. */
export interface DeedFailedLine extends Line {
  readonly is: 'deed_failed'
  readonly deed: string
  readonly answer: string
}

/** A fault has really struck: the process is dead, or stands still; connections were there to be broken. */
export interface StruckLine extends Line {
  readonly is: 'struck'
  readonly fault: Fault['do']
}

/** What the device had put together of an answer when the answer itself came. */
export interface DraftLine extends OfDevice {
  readonly is: 'draft'
  readonly messageId: string
  readonly attempt: number
  readonly text: string
  /** A piece overlapped with what was held, and said something else. */
  readonly contradicted: boolean
}

export interface FinalLine extends OfDevice {
  readonly is: 'final'
  readonly messageId: string
  readonly text: string
  readonly sha256: string
}

/** What was done, by people or the nemesis. */
export interface ActionLine extends Line {
  readonly is: 'action'
  readonly step: number
  readonly action: Action
}

/** How the device is connected; `connected` when it was welcomed. */
export interface SocketLine extends Line {
  readonly is: 'socket'
  readonly device: string
  readonly state: string
  readonly reason?: string
}

/** A server ended although nobody had ended it. */
export interface DiedLine extends Line {
  readonly is: 'died'
  readonly node: number
  readonly words: string
}

/** From here on the nemesis rests. */
export interface QuietLine extends Line {
  readonly is: 'quiet'
}

/** The device was in the room at the end, so it must have everything from its first event on. */
export interface FollowingLine extends OfDevice {
  readonly is: 'following'
  /** The first event that it must have. */
  readonly from: number
}

/** What the database holds at the end. */
export interface StoredLine extends Line {
  readonly is: 'stored'
  readonly room: string
  readonly seq: number
  readonly id: string
  readonly type: RoomEvent['type']
  readonly actor: string
  readonly clientId: string
  readonly digest: string
  /** Digest of the text as it is now, where it has one. */
  readonly text?: string
  /** Place of the message that it changes. */
  readonly target?: number
  readonly emoji?: string
  /** Who came or went, where it is that. */
  readonly member?: string
  /** When it was committed, or a little before, by the server's clock, on the scale of `at`. */
  readonly committedAt?: number
}

/** The number that the room itself has for its newest event. */
export interface HeadLine extends Line {
  readonly is: 'head'
  readonly room: string
  readonly head: number
}

/** The attempt in which an answer was finished: what was streamed of earlier ones is void. */
export interface TurnLine extends Line {
  readonly is: 'turn'
  readonly messageId: string
  readonly attempt: number
  readonly status: string
}

export type HistoryLine =
  | MemberLine
  | PublishLine
  | AckLine
  | SettledLine
  | RefusedLine
  | EventLine
  | FollowLine
  | FrameLine
  | ResetLine
  | TrespassLine
  | SignalLine
  | DraftLine
  | FinalLine
  | ActionLine
  | SocketLine
  | DiedLine
  | QuietLine
  | FollowingLine
  | StoredLine
  | HeadLine
  | TurnLine
  | LeftLine
  | DeedFailedLine
  | StruckLine
  | ChangeLine
  | ChangeDoneLine
  | ChangeRefusedLine
  | ReadLine
  | MarkLine
  | StateLine
  | TruthLine

type Unstamped<L> = L extends Line ? Omit<L, 'at'> : never

/** Everything that happened, in the order in which this process saw it. */
export class History {
  readonly lines: HistoryLine[] = []
  /** When the run began, in ms since the epoch. */
  readonly began = Date.now()
  readonly #began = performance.now()

  add(line: Unstamped<HistoryLine>): void {
    // The spread of a union loses which member it is.
    this.lines.push({ at: this.now, ...line } as HistoryLine)
  }

  /** In ms since the run began. */
  get now(): number {
    return Math.round(performance.now() - this.#began)
  }

  count<K extends HistoryLine['is']>(is: K): number {
    return this.lines.reduce((sum, line) => sum + (line.is === is ? 1 : 0), 0)
  }

  /** One JSON object a line, the first one `head`. */
  write(file: string, head: object): void {
    writeFileSync(file, `${JSON.stringify(head)}\n`)
    for (let at = 0; at < this.lines.length; at += 10_000) {
      const part = this.lines.slice(at, at + 10_000)
      appendFileSync(file, part.map((line) => `${JSON.stringify(line)}\n`).join(''))
    }
  }
}

/** Equal for equal texts. */
export function textDigest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16)
}

/** Fields of what is said that may be others when it is read later. */
const fleeting = new Set(['text', 'mentions', 'editedAt', 'deletedAt', 'reactions', 'sha256', 'choices'])

/**
 * Equal where two readers were handed the same event, however much later one of them. Names are left out: they are as they were
 * when the event was read. The order of fields is not part of an event.
 */
export function eventDigest(event: RoomEvent): string {
  const changes = event.type.startsWith('message.')
  const lasting = changes
    ? Object.fromEntries(Object.entries(event).filter(([field]) => !fleeting.has(field)))
    : event
  return textDigest(JSON.stringify(ordered(lasting)))
}

/** Of an event that says something. */
export function digestOfText(event: RoomEvent): { text?: string } {
  return 'text' in event ? { text: textDigest(event.text) } : {}
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, field]) => key !== 'name' && field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => [key, ordered(field)]),
  )
}
