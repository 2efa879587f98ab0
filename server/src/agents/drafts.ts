import type { Actor } from '@atom/contract/rooms.ts'
import type { RoomSignal } from '@atom/contract/socket.ts'

export type DeltaSignal = Extract<RoomSignal, { kind: 'delta' }>

export interface DraftIdentity {
  readonly roomId: string
  readonly turnId: string
  readonly messageId: string
  readonly actor: Actor
}

export interface DraftsOptions {
  readonly tell: (signal: RoomSignal) => void
  /** Pieces that arrive within this time travel together; the first one never waits. */
  readonly coalesceMs?: number
}

/** Answers that are being written in this process: told piece by piece, kept nowhere. */
export class Drafts {
  readonly #tell: (signal: RoomSignal) => void
  readonly #coalesceMs: number
  readonly #open = new Map<string, Draft>()

  constructor(options: DraftsOptions) {
    this.#tell = options.tell
    this.#coalesceMs = options.coalesceMs ?? 40
  }

  /** The text so far of every answer that is being written in the room, for somebody who comes in the middle. */
  open(roomId: string): readonly DeltaSignal[] {
    return [...this.#open.values()]
      .filter((draft) => draft.roomId === roomId)
      .flatMap((draft) => draft.soFar())
  }

  /** `text` is what earlier attempts have settled; it is told at once. */
  begin(identity: DraftIdentity, attempt: number, text: string): Draft {
    const draft = new Draft(identity, this.#tell, this.#coalesceMs, () => {
      if (this.#open.get(identity.messageId) === draft) this.#open.delete(identity.messageId)
    })
    this.#open.set(identity.messageId, draft)
    draft.restart(attempt, text)
    return draft
  }
}

/** One answer in the making. */
export class Draft implements Disposable {
  readonly #identity: DraftIdentity
  readonly #tell: (signal: RoomSignal) => void
  readonly #coalesceMs: number
  readonly #closed: () => void
  #attempt = 0
  #text = ''
  #told = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    identity: DraftIdentity,
    tell: (signal: RoomSignal) => void,
    coalesceMs: number,
    closed: () => void,
  ) {
    this.#identity = identity
    this.#tell = tell
    this.#coalesceMs = coalesceMs
    this.#closed = closed
  }

  get roomId(): string {
    return this.#identity.roomId
  }

  get text(): string {
    return this.#text
  }

  /** Begins the text anew, as a higher attempt says to everybody. */
  restart(attempt: number, text: string): void {
    this.#stop()
    this.#attempt = attempt
    this.#text = text
    this.#told = 0
    this.#flush()
  }

  write(piece: string): void {
    if (piece === '') return
    this.#text += piece
    if (this.#timer !== undefined) return
    this.#flush()
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#flush()
    }, this.#coalesceMs)
    this.#timer.unref()
  }

  soFar(): DeltaSignal[] {
    return this.#told === 0 ? [] : [this.#delta(0, this.#text.slice(0, this.#told))]
  }

  /** Tells what is left, then forgets. */
  [Symbol.dispose](): void {
    this.#stop()
    this.#flush()
    this.#closed()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #flush(): void {
    const end = wholeCharacters(this.#text)
    if (end <= this.#told) return
    const delta = this.#delta(this.#told, this.#text.slice(this.#told, end))
    this.#told = end
    this.#tell(delta)
  }

  #delta(offset: number, text: string): DeltaSignal {
    const { roomId, turnId, messageId, actor } = this.#identity
    return { roomId, kind: 'delta', actor, turnId, messageId, attempt: this.#attempt, offset, text }
  }
}

/** Where the text ends without the first half of a pair: models split emoji, and half of one is not text. */
function wholeCharacters(text: string): number {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length
}
