import type { Notes } from '#foundation/database/notes.ts'
import type { Log } from '#foundation/log.ts'
import type { DeltaSignal, Drafts } from './drafts.ts'

export interface SharedDraftsOptions {
  readonly drafts: Drafts
  readonly notes: Notes
  /** Turns in these rooms: those that some process runs now, and with what was `said` those that wait and are run by none. */
  readonly underWay: (
    roomIds: readonly string[],
  ) => Promise<readonly { readonly roomId: string; readonly said?: DeltaSignal }[]>
  readonly log: Log
}

type Tell = (delta: DeltaSignal) => void

interface Wanted {
  readonly roomIds: readonly string[]
}

interface Answered {
  readonly deltas: readonly DeltaSignal[]
}

/** Who comes within this time is asked for together: everybody comes back at once after a restart. */
const gatherMs = 20
/** A process that has not answered by then runs no turn of the room any more. */
const patienceMs = 5_000
/** A code unit takes six bytes at most (`\u0000`), and what stands around the text some hundreds, so that a note always fits. */
const pieceLength = 1_000
/** Rooms in one note. */
const mostRooms = 150

/**
 * Answers that are being written in any process. Only the process that runs a turn has its text, and nothing of it is stored:
 * whoever needs the text so far asks the others, who answer at once and to the asker alone. What a turn that waits has said
 * stands in its steps. Rooms in which no turn is under way, which is nearly all of them, cost one query for everybody who comes
 * in the same moment, and no note.
 */
export class SharedDrafts implements Disposable {
  readonly #with: SharedDraftsOptions
  readonly #waiting = new Map<string, Set<Tell>>()
  readonly #release = new DisposableStack()
  #fresh = new Set<string>()
  #gathering: NodeJS.Timeout | undefined

  constructor(options: SharedDraftsOptions) {
    this.#with = options
    const { notes } = options
    this.#release.use(notes.hear('drafts.wanted', (body, from) => this.#answer(body as Wanted, from)))
    this.#release.use(notes.hear('drafts', (body) => this.#answered(body as Answered)))
    this.#release.defer(() => clearTimeout(this.#gathering))
  }

  /** The text so far of what this process writes in the room. */
  open(roomId: string): readonly DeltaSignal[] {
    return this.#with.drafts.open(roomId)
  }

  /**
   * The same of other processes, told piece by piece from offset 0, a moment later. A note may be lost: whoever then sees a
   * gap in the offsets asks again.
   */
  elsewhere(roomId: string, tell: Tell): void {
    const waiting = this.#waiting.get(roomId) ?? new Set()
    this.#waiting.set(roomId, waiting)
    waiting.add(tell)
    setTimeout(() => {
      waiting.delete(tell)
      if (waiting.size === 0 && this.#waiting.get(roomId) === waiting) this.#waiting.delete(roomId)
    }, patienceMs).unref()
    this.#fresh.add(roomId)
    this.#gathering ??= setTimeout(() => void this.#ask(), gatherMs)
  }

  [Symbol.dispose](): void {
    this.#release.dispose()
  }

  async #ask(): Promise<void> {
    const asked = [...this.#fresh]
    this.#fresh = new Set()
    this.#gathering = undefined
    try {
      const turns = await this.#with.underWay(asked)
      this.#answered({
        deltas: turns.flatMap(({ said }) => (said === undefined || said.text === '' ? [] : [said])),
      })
      const roomIds = [...new Set(turns.flatMap(({ roomId, said }) => (said === undefined ? [roomId] : [])))]
      for (let at = 0; at < roomIds.length; at += mostRooms) {
        const some: Wanted = { roomIds: roomIds.slice(at, at + mostRooms) }
        this.#with.notes.tell('drafts.wanted', some)
      }
    } catch (error) {
      this.#with.log.debug({ err: error }, 'answers of other processes could not be asked for')
    }
  }

  #answer({ roomIds }: Wanted, from: string): void {
    for (const roomId of roomIds) {
      for (const delta of this.#with.drafts.open(roomId)) {
        // Half of a pair survives the way as an escape, and the other half follows.
        for (let at = 0; at < delta.text.length; at += pieceLength) {
          const piece = { ...delta, offset: at, text: delta.text.slice(at, at + pieceLength) }
          this.#with.notes.tell('drafts', { deltas: [piece] } satisfies Answered, from)
        }
      }
    }
  }

  #answered({ deltas }: Answered): void {
    for (const delta of deltas) for (const tell of this.#waiting.get(delta.roomId) ?? []) tell(delta)
  }
}
