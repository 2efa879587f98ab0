import { randomBytes } from 'node:crypto'
import type { Alert, AlertTargets } from '@atom/contract/monitoring.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Envelope } from '#foundation/crypto/envelope.ts'
import type { Database, Queryable, Transaction } from '#foundation/database/pool.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import { derivedId, newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound } from '#foundation/outbound.ts'
import * as store from './alert-store.ts'
import { postAlert, webhookBinding } from './alert-webhook.ts'

/** What may be wrong, in the words of whoever found it. */
export interface Raised {
  /** Of what kind of finding: `objective`, `component`, `error` … One of a kind and subject fires at a time. */
  readonly kind: string
  /** What it is about, as short as a name: an objective, a component, a fingerprint. */
  readonly subject: string
  /** `page`: somebody should come now. `ticket`: in working hours. */
  readonly severity: 'page' | 'ticket'
  readonly title: string
  /** Plain words with the numbers that decided. */
  readonly why: string
  /** What to look at first: a page of the dashboard, a component. */
  readonly lookAt: string
  /**
   * It is over when it was not raised again for so long, in ms, by any process; so none is left behind by one that ended. To be
   * raised at least twice in this time while it holds. Absent: until it is resolved.
   */
  readonly forMs?: number
}

export interface AlertsOptions {
  readonly database: Database
  readonly envelope: Envelope
  readonly outbound: Outbound
  readonly clock: Clock
  readonly log: Log
  /** Says something in a room, once for each `clientId`, in the name of the server. */
  readonly say: (message: {
    roomId: string
    workspaceId: string
    clientId: string
    text: string
  }) => Promise<unknown>
  /** @throws AtomError `not_found` · `not_a_member` */
  readonly requireMember: (principal: AccountPrincipal, roomId: string) => Promise<unknown>
  readonly pollMs?: number
  /** Until the second attempt; doubled with each one, up to an hour. */
  readonly againMs?: number
}

/** With doubling from five seconds up to an hour: about a day. */
const mostAttempts = 30
const leaseMs = 60_000
const keptMs = 400 * 24 * 3_600_000
/** Who looks for less than this, or has the database back for less, does not know yet what others find. */
const patienceMs = 3 * 60_000
/** Where alerts go is read so often, for the time when the database is away. */
const targetsMs = 60_000
/** Processes that find the same while they cannot speak with each other call it the same, if they find it within this time. */
const togetherMs = 2 * 60_000

/** One that was said and could not be kept yet. */
interface Unkept {
  readonly id: string
  readonly since: Date
  alert: Raised
  /** The webhook has it. */
  posted: boolean
}

/**
 * What is wrong, for whoever operates the server. Any room's finding may raise and resolve one; each is a row, and the news of it
 * goes to the room and the webhook that an operator chose, in the same transaction as the row, until they have arrived.
 *
 * While the database is away an alert is a line of the log, and goes to the webhook as far as that is known; it becomes a row, and
 * is told in the room, when the database is back.
 */
export class Alerts implements AsyncDisposable {
  readonly #with: AlertsOptions
  readonly #timer: NodeJS.Timeout
  /** By kind and subject. */
  readonly #unkept = new Map<string, Unkept>()
  #delivering: Promise<void> | undefined
  #ended = false
  #targets: { readonly are: store.Targets; readonly at: number } | undefined
  /** Since when the database has answered without a break, ms since 1970. */
  #reachedSince: number | undefined

  constructor(options: AlertsOptions) {
    this.#with = options
    this.#timer = setInterval(() => this.#wake(), options.pollMs ?? 5_000)
    this.#timer.unref()
  }

  /** Raised again while it fires only its words change; it is told again when it can wait no more. */
  async raise(alert: Raised): Promise<void> {
    const { clock, log } = this.#with
    const id = newId()
    const since = clock.now()
    try {
      const news = await this.#keep(alert, { id, since })
      if (news === undefined) return
      const { kind, subject, severity, why } = alert
      log.warn({ alertId: id, kind, subject, severity, why }, alert.title)
      this.#wake()
    } catch (thrown) {
      if (!(thrown instanceof AtomError && thrown.row.retryable)) throw thrown
      await this.#sayUnkept(alert, since)
    }
  }

  /** It still holds, in the words that it was raised with; for `forMs` more. Nothing happens where none fires. */
  async renew(kind: string, subject: string, forMs: number): Promise<void> {
    const { database, clock } = this.#with
    const until = new Date(clock.now().getTime() + forMs)
    await store.renew(database, { kind, subject, until })
  }

  /** Nothing happens where none fires. */
  async resolve(kind: string, subject: string, why: string): Promise<void> {
    const { database, clock, log } = this.#with
    await this.#keepUnkept()
    const id = await database.transaction(async (tx) => {
      const resolved = await store.resolve(tx, { kind, subject, why, at: clock.now() })
      if (resolved !== undefined) await this.#tell(tx, resolved, 'resolved')
      return resolved
    })
    if (id === undefined) return
    log.info({ alertId: id, kind, subject, why }, 'an alert is over')
    this.#wake()
  }

  async firing(kind: string, subject: string): Promise<Alert | undefined> {
    const row = await store.firing(this.#with.database, kind, subject)
    return row && told(row)
  }

  /** @throws AtomError `validation_failed` */
  async list(query: {
    readonly state?: 'firing' | 'resolved' | undefined
    readonly cursor?: string | undefined
    readonly limit?: number | undefined
  }): Promise<{ items: Alert[]; next: string | null }> {
    const { state, cursor, limit = 50 } = query
    if (cursor !== undefined && !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(cursor))
      throw new AtomError('validation_failed', 'The cursor is not one of ours. Leave it out to start over.')
    const rows = await store.list(this.#with.database, { state, before: cursor, limit: limit + 1 })
    const page = rows.slice(0, limit)
    return { items: page.map(told), next: rows.length > limit ? (page.at(-1)?.id ?? null) : null }
  }

  async targets(): Promise<AlertTargets> {
    const { roomId, webhookUrl } = await store.targets(this.#with.database)
    return { roomId, webhookUrl, ...(await store.undelivered(this.#with.database)) }
  }

  /**
   * @returns the secret of a new address, which is never shown again
   * @throws AtomError `validation_failed` · `not_found` · `not_a_member`
   */
  async setTargets(
    principal: AccountPrincipal,
    { roomId, webhookUrl }: { roomId: string | null; webhookUrl: string | null },
  ): Promise<{ targets: AlertTargets; webhookSecret: string | null }> {
    const { database, envelope, log } = this.#with
    if (webhookUrl !== null && !(URL.canParse(webhookUrl) && /^https?:$/.test(new URL(webhookUrl).protocol)))
      throw new AtomError('validation_failed', undefined, {
        problems: [{ pointer: '/webhookUrl', detail: 'Give an address that begins with https://.' }],
      })
    const before = await store.targets(database)
    // Who changes the webhook need not be in the room that somebody else chose.
    const sameRoom = roomId === before.roomId
    if (roomId !== null && !sameRoom) await this.#with.requireMember(principal, roomId)
    const isNew = webhookUrl !== null && webhookUrl !== before.webhookUrl
    const secret = isNew ? `whsec_${randomBytes(32).toString('base64')}` : null
    const webhookKey = isNew ? await envelope.createKey(webhookBinding) : before.webhookKey
    const webhookSecret =
      secret !== null && webhookKey !== null
        ? await envelope.seal(webhookKey, secret, webhookBinding)
        : before.webhookSecret
    await store.setTargets(database, {
      workspaceId: sameRoom ? before.workspaceId : principal.workspaceId,
      roomId,
      webhookUrl,
      webhookKey: webhookUrl === null ? null : webhookKey,
      webhookSecret: webhookUrl === null ? null : webhookSecret,
      by: principal.id,
    })
    log.info({ operatorId: principal.id, roomId, webhook: webhookUrl !== null }, 'alerts go elsewhere now')
    await this.#readTargets(database)
    return { targets: await this.targets(), webhookSecret: secret }
  }

  /** Raises one that is none and resolves it, so that an operator sees where alerts arrive. */
  async test(principal: AccountPrincipal): Promise<void> {
    const subject = newId()
    await this.raise({
      kind: 'test',
      subject,
      severity: 'ticket',
      title: 'This is a test of the alerts',
      why: `${principal.name} asked for it. Nothing is wrong.`,
      lookAt: 'nothing.',
      forMs: patienceMs,
    })
    await this.resolve('test', subject, 'It was only a test.')
  }

  /**
   * Forgets what was over long ago.
   *
   * @param ranSince since when the installation has run for so long; undefined: it has not yet
   */
  async prune(ranSince: (ms: number) => Promise<Date | undefined>): Promise<void> {
    const ran = await ranSince(keptMs)
    if (ran === undefined) return
    const before = Math.min(this.#with.clock.now().getTime() - keptMs, ran.getTime())
    await store.prune(this.#with.database, new Date(before))
  }

  /** What is under way is finished; the rest is another process's, or the next start's. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    clearInterval(this.#timer)
    await this.#delivering
  }

  /** A row, and whoever is to hear of it: undefined where there was nothing new to tell. */
  async #keep(
    alert: Raised,
    { id, since, posted = false }: { id: string; since: Date; posted?: boolean },
  ): Promise<store.News | undefined> {
    return await this.#with.database.transaction(async (tx) => {
      const before = await store.lockedSeverity(tx, alert.kind, alert.subject)
      const now = this.#with.clock.now()
      const kept = await store.insert(tx, { ...alert, forMs: alert.forMs, id, since, now })
      const isWorse = before === 'ticket' && alert.severity === 'page'
      const news = kept.fresh ? 'firing' : isWorse ? 'worse' : undefined
      if (news !== undefined) await this.#tell(tx, kept.id, news)
      if (posted) await store.delivered(tx, deliveryId(kept.id, 'firing', 'webhook'))
      return news
    })
  }

  async #tell(tx: Transaction, alertId: string, news: store.News): Promise<void> {
    const { roomId, webhookUrl } = await this.#readTargets(tx)
    for (const [channel, to] of [['room', roomId] as const, ['webhook', webhookUrl] as const])
      if (to !== null)
        await store.deliverLater(tx, { id: deliveryId(alertId, news, channel), alertId, news, channel })
  }

  async #readTargets(db: Queryable): Promise<store.Targets> {
    const are = await store.targets(db)
    this.#targets = { are, at: this.#with.clock.now().getTime() }
    return are
  }

  /** Said without the database: as much as can be. Said again, the webhook is tried again until it has it. */
  async #sayUnkept(alert: Raised, now: Date): Promise<void> {
    const { clock, log } = this.#with
    const { kind, subject, severity, why, title } = alert
    const name = `${kind} ${subject}`
    const known = this.#unkept.get(name)
    const unkept: Unkept = known ?? {
      id: derivedId('alert', kind, subject, String(Math.floor(now.getTime() / togetherMs))),
      since: now,
      alert,
      posted: false,
    }
    unkept.alert = alert
    if (known === undefined) {
      this.#unkept.set(name, unkept)
      log.error({ alertId: unkept.id, kind, subject, severity, why, kept: false }, title)
    }
    const targets = this.#targets?.are
    if (unkept.posted || targets === undefined || targets.webhookUrl === null) return
    const { forMs: _, ...words } = alert
    const { id, since } = unkept
    try {
      await postAlert(this.#with, targets, {
        id: deliveryId(id, 'firing', 'webhook'),
        news: 'firing',
        alert: told({ ...words, id, since, resolvedAt: null, resolution: null }),
        now: clock.now(),
      })
      unkept.posted = true
    } catch (error) {
      log.warn({ err: error, alertId: id, channel: 'webhook' }, 'an alert was not delivered')
    }
  }

  /** What was said while the database was away becomes a row. */
  async #keepUnkept(): Promise<void> {
    const { database } = this.#with
    for (const [name, { id, since, alert, posted }] of this.#unkept) {
      // Another process that called it the same may have kept it, and ended it as well.
      if (!(await store.isKept(database, id))) await this.#keep(alert, { id, since, posted })
      this.#unkept.delete(name)
    }
  }

  /** Whoever found these has ended, or finds them no more. */
  async #endUntold(now: Date): Promise<void> {
    const ended = await this.#with.database.transaction(async (tx) => {
      const rows = await store.resolveUntold(tx, { at: now, why: 'No process finds it any more.' })
      for (const { id } of rows) await this.#tell(tx, id, 'resolved')
      return rows
    })
    for (const { id, kind, subject } of ended)
      this.#with.log.info({ alertId: id, kind, subject }, 'an alert is over')
  }

  #wake(): void {
    if (this.#ended) return
    this.#delivering ??= this.#look().finally(() => {
      this.#delivering = undefined
    })
  }

  /** Keeps, ends and delivers what is due. Never rejects. */
  async #look(): Promise<void> {
    const { database, clock, log } = this.#with
    const now = clock.now()
    try {
      await this.#keepUnkept()
      if (now.getTime() - (this.#targets?.at ?? 0) >= targetsMs) await this.#readTargets(database)
      this.#reachedSince ??= now.getTime()
      if (now.getTime() - this.#reachedSince >= patienceMs) await this.#endUntold(now)
      await this.#deliver()
    } catch (error) {
      this.#reachedSince = undefined
      const passing = error instanceof AtomError && error.row.retryable
      log[passing ? 'debug' : 'error']({ err: error }, 'alerts could not be looked after')
    }
  }

  /** Until nothing is due. */
  async #deliver(): Promise<void> {
    const { database, log } = this.#with
    while (!this.#ended) {
      const delivery = await store.claim(database, leaseMs)
      if (delivery === undefined) return
      try {
        await this.#send(delivery)
        await store.delivered(database, delivery.deliveryId)
      } catch (thrown) {
        const failure = asAtomError(thrown)
        const { attempts, channel } = delivery
        const wait = Math.min(3_600_000, (this.#with.againMs ?? 5_000) * 2 ** (attempts - 1))
        log.warn({ err: thrown, alertId: delivery.alert.id, channel, attempts }, 'an alert was not delivered')
        await store.notDelivered(database, delivery.deliveryId, {
          failure: `${channel}: ${failure.detail}`.slice(0, 500),
          againMs: attempts >= mostAttempts ? undefined : Math.round(wait),
        })
      }
    }
  }

  async #send({ deliveryId, news, channel, alert }: store.Delivery): Promise<void> {
    const { database, clock } = this.#with
    const targets = await this.#readTargets(database)
    if (channel === 'webhook')
      return await postAlert(this.#with, targets, {
        ...{ id: deliveryId, news, alert: told(alert), now: clock.now() },
      })
    // Nobody wants it there any more.
    if (targets.roomId === null || targets.workspaceId === null) return
    await this.#with.say({
      roomId: targets.roomId,
      workspaceId: targets.workspaceId,
      clientId: derivedId('alert', alert.id, news),
      text: spoken(news, alert),
    })
  }
}

/** The same for whoever tells it, so that what went out without the database is not told twice with it. */
function deliveryId(alertId: string, news: store.News, channel: store.Channel): string {
  return derivedId('alert delivery', alertId, news, channel)
}

function spoken(
  news: store.News,
  { severity, title, why, lookAt, resolution, since }: store.AlertRow,
): string {
  if (news === 'resolved') return `Over: ${title}\n\n${resolution ?? ''} It began at ${since.toISOString()}.`
  const urgency = severity === 'page' ? 'Alert' : 'To be looked at'
  return `${urgency}: ${title}\n\n${why}\n\nLook at: ${lookAt}`
}

function told({ since, resolvedAt, ...row }: store.AlertRow): Alert {
  return {
    ...row,
    state: resolvedAt === null ? 'firing' : 'resolved',
    since: since.toISOString(),
    resolvedAt: resolvedAt?.toISOString() ?? null,
  }
}
