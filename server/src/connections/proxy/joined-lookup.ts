/**
 * Looks that are asked for while one is under way are made together by the next one: whoever asks sees what was true after
 * they asked, as if they had looked alone, and many at once cost one query.
 */
export class JoinedLookup<T> {
  readonly #look: (ids: readonly string[]) => Promise<ReadonlyMap<string, T>>
  #waiting: Map<string, PromiseWithResolvers<T | undefined>> | undefined
  #underWay = 0

  /** @param look for each id what there is of it */
  constructor(look: (ids: readonly string[]) => Promise<ReadonlyMap<string, T>>) {
    this.#look = look
  }

  at(id: string): Promise<T | undefined> {
    this.#waiting ??= new Map()
    let asked = this.#waiting.get(id)
    if (asked === undefined) {
      asked = Promise.withResolvers()
      this.#waiting.set(id, asked)
    }
    if (this.#underWay < mostAtOnce) void this.#go()
    return asked.promise
  }

  async #go(): Promise<void> {
    const asked = this.#waiting
    if (asked === undefined) return
    this.#waiting = undefined
    this.#underWay++
    try {
      const found = await this.#look([...asked.keys()])
      for (const [id, { resolve }] of asked) resolve(found.get(id))
    } catch (error) {
      for (const { reject } of asked.values()) reject(error)
    } finally {
      this.#underWay--
      void this.#go()
    }
  }
}

/** One that is slow does not hold up those who come after it. */
const mostAtOnce = 2
