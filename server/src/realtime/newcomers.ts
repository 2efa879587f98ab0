import { setTimeout as delay, setImmediate as endOfTurn } from 'node:timers/promises'
import type { Principal } from '#access/principal.ts'
import type { Rooms } from '#rooms/rooms.ts'
import type { Pages } from './pages.ts'

type Standings = Awaited<ReturnType<Rooms['standings']>>

interface Waiting {
  readonly principal: Principal
  readonly roomIds: readonly string[]
  readonly answered: PromiseWithResolvers<Standings>
}

/** Between two questions there is so much time: a question costs the same for one client and for a hundred. */
const apartMs = 10
/** Clients in one question: beyond this the next ones wait for the next. */
const mostTogether = 200

/**
 * How those who come in stand to the rooms that they name. Who comes in one turn of the event loop is asked about together, and
 * so is who comes while a question is under way or shortly after the one before: a thousand clients who come back at once are
 * a handful of questions, and one alone waits for nobody.
 */
export class Newcomers {
  readonly #rooms: Pick<Rooms, 'standingsOfMany'>
  readonly #pages: Pages
  #askedAt = Number.NEGATIVE_INFINITY
  #waiting: Waiting[] = []
  #asking = false

  constructor(options: { readonly rooms: Pick<Rooms, 'standingsOfMany'>; readonly pages: Pages }) {
    this.#rooms = options.rooms
    this.#pages = options.pages
  }

  standings(principal: Principal, roomIds: readonly string[]): Promise<Standings> {
    const answered = Promise.withResolvers<Standings>()
    this.#waiting.push({ principal, roomIds, answered })
    if (!this.#asking) void this.#ask()
    return answered.promise
  }

  async #ask(): Promise<void> {
    this.#asking = true
    while (this.#waiting.length > 0) {
      const waitMs = this.#askedAt + apartMs - performance.now()
      if (waitMs > 0) await delay(waitMs)
      else await endOfTurn()
      this.#askedAt = performance.now()
      await this.#pages.inTurn(async () => {
        const together = this.#waiting.splice(0, mostTogether)
        try {
          const found = await this.#rooms.standingsOfMany(together)
          for (const [index, { answered }] of together.entries()) answered.resolve(found[index] ?? new Map())
        } catch (error) {
          for (const { answered } of together) answered.reject(error)
        }
      })
    }
    this.#asking = false
  }
}
