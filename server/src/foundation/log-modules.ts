import type { Log } from './log.ts'

/**
 * A log for each room of the house, whose level can be changed while the process runs. Whatever a room derives from its log
 * for longer than a request keeps the level it was born with.
 */
export class LogModules {
  readonly #root: Log
  readonly #modules = new Map<string, Log>()
  readonly #ordinary: string

  constructor(root: Log) {
    this.#root = root
    this.#ordinary = root.level
  }

  /** The level of everything that has none of its own. */
  get ordinary(): string {
    return this.#ordinary
  }

  get names(): readonly string[] {
    return [...this.#modules.keys()].sort()
  }

  of(name: string): Log {
    const known = this.#modules.get(name)
    if (known !== undefined) return known
    const made = this.#root.child({ module: name })
    this.#modules.set(name, made)
    return made
  }

  level(name: string): string | undefined {
    return this.#modules.get(name)?.level
  }

  /** Exactly these have a level of their own from now on; unknown names are passed over. */
  apply(levels: ReadonlyMap<string, string>): void {
    for (const [name, log] of this.#modules) log.level = levels.get(name) ?? this.#ordinary
  }
}
