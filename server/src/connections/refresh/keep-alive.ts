import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { ConnectionStore } from '../connection-store.ts'
import type { CredentialStore } from './credential-store.ts'
import type { TokenRefresh } from './token-refresh.ts'

const minuteMs = 60_000
/** Between two looks; each process looks at its own times. */
const everyMs = 10 * minuteMs
/** Until one that waits for its provider is tried again. */
const soonMs = everyMs
/** Until a credential that could not be refreshed is tried again: limits are weeks, outages are hours. */
const againMs = 6 * 60 * minuteMs
const batch = 20
/** Of one look: the rest is found by the next, so that many at once are no storm at the provider. */
const mostBatches = 10

/**
 * Refreshes what nobody uses before it dies of that: refresh tokens end after months of rest at Google, Microsoft and others,
 * and GitHub's end by themselves. So it asks for those whose provider was not well, so that they work before anybody needs them.
 * One at a time; whatever goes wrong is the matter of that one connection, and a provider that does not answer is left alone
 * until the next look.
 */
export class KeepAlive implements AsyncDisposable {
  readonly #store: ConnectionStore
  readonly #credentials: CredentialStore
  readonly #tokenRefresh: TokenRefresh
  readonly #clock: Clock
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #underWay: Promise<unknown> = Promise.resolve()

  constructor(dependencies: {
    store: ConnectionStore
    credentials: CredentialStore
    tokenRefresh: TokenRefresh
    clock: Clock
    log: Log
  }) {
    this.#store = dependencies.store
    this.#credentials = dependencies.credentials
    this.#tokenRefresh = dependencies.tokenRefresh
    this.#clock = dependencies.clock
    this.#log = dependencies.log
    this.#next()
  }

  /** Looks once, also for renewals that were left behind. How many live longer now, and how many could not be helped. */
  async sweep(): Promise<{ kept: number; failed: number }> {
    await this.#tokenRefresh.recover()
    const away = new Set<string>()
    let kept = 0
    let failed = 0
    for (let n = 0; n < mostBatches && !this.#closed; n++) {
      const at = this.#clock.now()
      // Not all at the same time again.
      const again = new Date(at.getTime() + againMs * (0.75 + Math.random() / 2))
      const soon = new Date(at.getTime() + soonMs)
      const due = await this.#credentials.takeUnused(at, { again, soon }, batch)
      for (const { workspaceId, connectionId, further } of due) {
        if (this.#closed) break
        if (await this.#keep(away, workspaceId, connectionId, further)) kept += 1
        else failed += 1
      }
      if (due.length < batch) break
    }
    if (kept + failed > 0) this.#log.info({ kept, failed }, 'unused credentials were refreshed')
    return { kept, failed }
  }

  /** Waits for the one that is being refreshed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#underWay
  }

  async #keep(
    away: Set<string>,
    workspaceId: string,
    connectionId: string,
    further: string | undefined,
  ): Promise<boolean> {
    let app = ''
    try {
      const connection = await this.#store.live(workspaceId, connectionId, further)
      // Disconnected since.
      if (connection === undefined) return true
      app = `${connection.provider} ${connection.clientId}`
      if (away.has(app)) return false
      const waits = connection.remedy?.action === 'wait'
      await this.#tokenRefresh.renew(connection, waits ? 'needed' : 'unused')
      return true
    } catch (error) {
      if (error instanceof AtomError && error.code === 'provider_unavailable') away.add(app)
      // Of others nothing is known by this: a row that was edited must not let the rest die.
      if (error instanceof AtomError)
        this.#log.info({ connectionId, code: error.code }, 'an unused credential was not refreshed')
      else this.#log.error({ connectionId, err: error }, 'an unused credential cannot be refreshed')
      return false
    }
  }

  #next(): void {
    if (this.#closed) return
    this.#timer = setTimeout(
      () => {
        this.#underWay = this.sweep()
          .catch((error: unknown) => {
            this.#log.error({ err: error }, 'unused credentials could not be looked through')
          })
          .finally(() => this.#next())
      },
      everyMs * (0.5 + Math.random()),
    )
    this.#timer.unref()
  }
}
