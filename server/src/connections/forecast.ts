import type { ForecastItem } from '@atom/contract/connections.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Provider } from '#providers/provider.ts'
import type { AppRow, AppStore } from './app-store.ts'
import type { ConnectionStore, EndingConnection } from './connection-store.ts'

const dayMs = 24 * 60 * 60 * 1000
/** What concerns an operator takes longer to mend than one person's consent, so it is told earlier. */
const horizonMs = { app: 180 * dayMs, connection: 30 * dayMs } as const

/** What will end, from what is stored and what the providers' files say; nobody is asked. */
export class Forecast {
  readonly #catalog: ReadonlyMap<string, Provider>
  readonly #store: ConnectionStore
  readonly #apps: AppStore
  readonly #clock: Clock

  constructor(dependencies: {
    catalog: ReadonlyMap<string, Provider>
    store: ConnectionStore
    appStore: AppStore
    clock: Clock
  }) {
    this.#catalog = dependencies.catalog
    this.#store = dependencies.store
    this.#apps = dependencies.appStore
    this.#clock = dependencies.clock
  }

  /** Soonest first; what has no known time comes last. Of apps only operators hear. */
  async of({ workspaceId, id, role }: AccountPrincipal): Promise<ForecastItem[]> {
    const now = this.#clock.now()
    const [connections, apps] = await Promise.all([
      this.#store.ending(workspaceId, id),
      role === 'member' ? [] : this.#apps.apps(workspaceId),
    ])
    const used = new Set([...connections, ...apps].map(({ provider }) => provider))
    const items = [
      ...apps.flatMap((app) => this.#ofApp(app, now)),
      ...connections.flatMap((connection) => this.#ofConnection(connection, now)),
      ...[...used].flatMap((provider) => this.#sunsets(provider, now)),
    ]
    return items.sort((a, b) => (a.at ?? '9').localeCompare(b.at ?? '9') || a.title.localeCompare(b.title))
  }

  #ofApp(app: AppRow, now: Date): ForecastItem[] {
    const provider = this.#catalog.get(app.provider)
    if (provider === undefined) return []
    const items: ForecastItem[] = []
    const { secretExpiresAt: end } = app
    if (end !== null && end.getTime() - now.getTime() < horizonMs.app) {
      const over = end <= now
      items.push({
        at: end.toISOString(),
        kind: 'client_secret',
        severity: severityOf(end, now),
        provider: provider.id,
        title: `The client secret of ${provider.name} ${over ? 'has expired' : 'expires'}`,
        detail: over
          ? `No connection of ${provider.name} can be made or refreshed with it. Make a new one at the provider and enter it.`
          : `From then on no connection of ${provider.name} can be made or refreshed. Make a new one at the provider and enter it before; the connections go on with it.`,
        remedy: { whose: 'operator', action: 'configure_app', label: 'Enter a new secret' },
      })
    }
    if (app.testing && provider.guide.testing !== undefined) {
      items.push({
        at: null,
        kind: 'testing_app',
        severity: 'medium',
        provider: provider.id,
        title: `The app of ${provider.name} is not published`,
        detail: `${provider.guide.testing.meaning} Publish it there, and say so here.`,
        remedy: { whose: 'operator', action: 'configure_app', label: 'Set up the app' },
      })
    }
    return items
  }

  #ofConnection(connection: EndingConnection, now: Date): ForecastItem[] {
    const provider = this.#catalog.get(connection.provider)
    if (provider === undefined) return []
    const { name } = provider
    const about = { provider: provider.id, connectionId: connection.id } as const
    const reconnect = { whose: 'person', action: 'reconnect', label: 'Reconnect' } as const
    const ends: (Omit<ForecastItem, 'severity' | 'at'> & { at: Date })[] = []
    const { testing } = provider.guide
    if (connection.testing && testing !== undefined) {
      ends.push({
        ...about,
        at: new Date(connection.connectedAt.getTime() + testing.days * dayMs),
        kind: 'testing_app',
        title: `${name} ends the access of ${connection.name}`,
        detail: `${testing.meaning} Once the app is published, reconnect the account.`,
        remedy: reconnect,
      })
    }
    if (!connection.renewable && connection.expiresAt !== null) {
      ends.push({
        ...about,
        at: connection.expiresAt,
        kind: 'refresh_token',
        title: `The access of ${connection.name} to ${name} ends`,
        detail: `${name} gave nothing to renew it with. Reconnect the account then, or before.`,
        remedy: reconnect,
      })
    }
    if (connection.renewable) ends.push(...this.#unrenewed(provider, connection, now, reconnect))
    return ends
      .filter(({ at }) => at.getTime() - now.getTime() < horizonMs.connection)
      .map((end) => ({ ...end, at: end.at.toISOString(), severity: severityOf(end.at, now) }))
  }

  /**
   * Atom refreshes what would end unused at 0.85 of its life at the latest (`keepAliveAt`), so only what is past nine tenths
   * is worth a word: something keeps it from being refreshed.
   */
  #unrenewed(
    { id, name, idleLimitDays }: Provider,
    connection: EndingConnection,
    now: Date,
    remedy: NonNullable<ForecastItem['remedy']>,
  ) {
    const { issuedAt, refreshExpiresAt } = connection
    const idleEnd =
      idleLimitDays === undefined ? undefined : new Date(issuedAt.getTime() + idleLimitDays * dayMs)
    const about = { provider: id, connectionId: connection.id, remedy } as const
    const ends = [
      refreshExpiresAt === null
        ? undefined
        : ({
            ...about,
            at: refreshExpiresAt,
            kind: 'refresh_token',
            why: 'said so with the last tokens',
          } as const),
      idleEnd === undefined
        ? undefined
        : ({
            ...about,
            at: idleEnd,
            kind: 'inactivity',
            why: `does so after ${idleLimitDays} days without use`,
          } as const),
    ]
    return ends
      .filter((end) => end !== undefined)
      .filter(({ at }) => at.getTime() - now.getTime() < (at.getTime() - issuedAt.getTime()) / 10)
      .map(({ why, ...end }) => ({
        ...end,
        title: `${name} ends the access of ${connection.name}`,
        detail: `${name} ${why}, and Atom could not refresh it in time. Its timeline says why; reconnecting mends it.`,
      }))
  }

  #sunsets(id: string, now: Date): ForecastItem[] {
    const provider = this.#catalog.get(id)
    return (provider?.guide.sunsets ?? [])
      .map((sunset) => ({ ...sunset, day: new Date(`${sunset.at}T00:00:00Z`) }))
      .filter(({ day }) => Math.abs(day.getTime() - now.getTime()) < horizonMs.app)
      .map(({ day, title, detail }) => ({
        at: day.toISOString(),
        kind: 'sunset',
        // Told for the sake of those who call the provider through Atom; Atom itself has moved.
        severity: 'low',
        provider: id,
        title,
        detail,
      }))
  }
}

function severityOf(at: Date, now: Date): ForecastItem['severity'] {
  const left = at.getTime() - now.getTime()
  if (left <= 0) return 'critical'
  if (left <= 7 * dayMs) return 'high'
  return left <= 30 * dayMs ? 'medium' : 'low'
}
