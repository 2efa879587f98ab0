/** How long somebody who was refused is remembered, for an operator who looks. */
const rememberedMs = 15 * 60_000
const mostRemembered = 500

export interface Refusal {
  readonly policy: string
  readonly subject: string
  readonly refused: number
  /** ms since 1970 */
  readonly lastAt: number
}

/** Who was refused lately, in memory alone: addresses are nobody's to keep. */
export class Refusals {
  /** The latest last. */
  readonly #recent = new Map<string, { policy: string; subject: string; refused: number; lastAt: number }>()

  note(policy: string, subject: string): void {
    const key = `${policy} ${subject}`
    const now = Date.now()
    const known = this.#recent.get(key)
    if (known !== undefined) this.#recent.delete(key)
    const refused = known !== undefined && now - known.lastAt < rememberedMs ? known.refused + 1 : 1
    this.#recent.set(key, { policy, subject, refused, lastAt: now })
    const oldest = this.#recent.keys().next()
    if (this.#recent.size > mostRemembered && oldest.done === false) this.#recent.delete(oldest.value)
  }

  /** The latest first. */
  recent(count: number): Refusal[] {
    const since = Date.now() - rememberedMs
    for (const [key, { lastAt }] of this.#recent) {
      if (lastAt > since) break
      this.#recent.delete(key)
    }
    return [...this.#recent.values()].reverse().slice(0, count)
  }
}
