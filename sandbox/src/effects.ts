import type { Effect } from './control.ts'
import type { SandboxClock } from './sandbox-clock.ts'
import type { SandboxStore } from './sandbox-store.ts'
import { isSandboxProvider } from './stand-in.ts'

/** What was changed through the providers' APIs, in order, across restarts. */
export class Effects {
  readonly #store: SandboxStore
  readonly #clock: SandboxClock

  constructor(store: SandboxStore, clock: SandboxClock) {
    this.#store = store
    this.#clock = clock
  }

  add(effect: Omit<Effect, 'seq' | 'at'>): void {
    this.#store.run(
      'insert into effect (at, provider, kind, person, target, title) values (?, ?, ?, ?, ?, ?)',
      this.#clock.now().toISOString(),
      effect.provider,
      effect.kind,
      effect.person,
      effect.target,
      effect.title,
    )
  }

  list(
    filter: { readonly provider?: string; readonly kind?: string; readonly title?: string } = {},
  ): Effect[] {
    const { provider = null, kind = null, title = null } = filter
    return this.#store
      .all(
        `select seq, at, provider, kind, person, target, title from effect
         where (? is null or provider = ?) and (? is null or kind = ?) and (? is null or title = ?) order by seq`,
        ...[provider, provider, kind, kind, title, title],
      )
      .flatMap(({ seq, at, provider, kind, person, target, title }) =>
        isSandboxProvider(provider)
          ? [
              {
                seq: Number(seq),
                at: String(at),
                provider,
                kind: String(kind),
                person: String(person),
                target: String(target),
                title: String(title),
              },
            ]
          : [],
      )
  }

  clear(): void {
    this.#store.run('delete from effect')
  }
}
