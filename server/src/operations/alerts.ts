import { createHmac, randomBytes } from 'node:crypto'
import type { Alert, AlertTargets } from '@atom/contract/monitoring.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Envelope } from '#foundation/crypto/envelope.ts'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import { derivedId, newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound } from '#foundation/outbound.ts'
import * as store from './alert-store.ts'

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
const webhookTimeoutMs = 10_000
const binding = { table: 'alert_targets', column: 'webhook_secret' }
const keptMs = 400 * 24 * 3_600_000

/**
 * What is wrong, for whoever operates the server. Any room's finding may raise and resolve one; each is a row, and the news of it
 * goes to the room and the webhook that an operator chose, in the same transaction as the row, until they have arrived.
 */
export class Alerts implements AsyncDisposable {
  readonly #with: AlertsOptions
  readonly #timer: NodeJS.Timeout
  #delivering: Promise<void> | undefined
  #ended = false

  constructor(options: AlertsOptions) {
    this.#with = options
    this.#timer = setInterval(() => this.#wake(), options.pollMs ?? 5_000)
    this.#timer.unref()
  }

  /** Raised again while it fires, only its words change. */
  async raise(alert: Raised): Promise<void> {
    const { database, clock, log } = this.#with
    const id = newId()
    const fresh = await database.transaction(async (tx) => {
      if (!(await store.insert(tx, { ...alert, id, since: clock.now() }))) return false
      await this.#tell(tx, id, 'firing')
      return true
    })
    if (!fresh) return
    log.warn({ alertId: id, kind: alert.kind, subject: alert.subject, why: alert.why }, alert.title)
    this.#wake()
  }

  /** Nothing happens where none fires. */
  async resolve(kind: string, subject: string, why: string): Promise<void> {
    const { database, clock, log } = this.#with
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
    if (roomId !== null) await this.#with.requireMember(principal, roomId)
    if (webhookUrl !== null && !(URL.canParse(webhookUrl) && /^https?:$/.test(new URL(webhookUrl).protocol)))
      throw new AtomError('validation_failed', undefined, {
        problems: [{ pointer: '/webhookUrl', detail: 'Give an address that begins with https://.' }],
      })
    const before = await store.targets(database)
    const isNew = webhookUrl !== null && webhookUrl !== before.webhookUrl
    const secret = isNew ? `whsec_${randomBytes(32).toString('base64')}` : null
    const webhookKey = isNew ? await envelope.createKey(binding) : before.webhookKey
    const webhookSecret =
      secret !== null && webhookKey !== null
        ? await envelope.seal(webhookKey, secret, binding)
        : before.webhookSecret
    await store.setTargets(database, {
      workspaceId: principal.workspaceId,
      roomId,
      webhookUrl,
      webhookKey: webhookUrl === null ? null : webhookKey,
      webhookSecret: webhookUrl === null ? null : webhookSecret,
      by: principal.id,
    })
    log.info({ operatorId: principal.id, roomId, webhook: webhookUrl !== null }, 'alerts go elsewhere now')
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
    })
    await this.resolve('test', subject, 'It was only a test.')
  }

  /** Forgets what was over long ago. */
  async prune(): Promise<void> {
    await store.prune(this.#with.database, new Date(this.#with.clock.now().getTime() - keptMs))
  }

  /** What is under way is finished; the rest is another process's, or the next start's. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    clearInterval(this.#timer)
    await this.#delivering
  }

  async #tell(tx: Transaction, alertId: string, news: store.News): Promise<void> {
    const { roomId, webhookUrl } = await store.targets(tx)
    for (const [channel, to] of [['room', roomId] as const, ['webhook', webhookUrl] as const])
      if (to !== null) await store.deliverLater(tx, { id: newId(), alertId, news, channel })
  }

  #wake(): void {
    if (this.#ended) return
    this.#delivering ??= this.#deliver().finally(() => {
      this.#delivering = undefined
    })
  }

  /** Until nothing is due. Never rejects. */
  async #deliver(): Promise<void> {
    const { database, log } = this.#with
    try {
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
          log.warn(
            { err: thrown, alertId: delivery.alert.id, channel, attempts },
            'an alert was not delivered',
          )
          await store.notDelivered(database, delivery.deliveryId, {
            failure: `${channel}: ${failure.detail}`.slice(0, 500),
            againMs: attempts >= mostAttempts ? undefined : Math.round(wait),
          })
        }
      }
    } catch (error) {
      const passing = error instanceof AtomError && error.row.retryable
      log[passing ? 'debug' : 'error']({ err: error }, 'alerts could not be delivered')
    }
  }

  async #send({ deliveryId, news, channel, alert }: store.Delivery): Promise<void> {
    const targets = await store.targets(this.#with.database)
    if (channel === 'webhook') return await this.#post(deliveryId, news, alert, targets)
    // Nobody wants it there any more.
    if (targets.roomId === null || targets.workspaceId === null) return
    await this.#with.say({
      roomId: targets.roomId,
      workspaceId: targets.workspaceId,
      clientId: derivedId('alert', alert.id, news),
      text: spoken(news, alert),
    })
  }

  /** As Standard Webhooks 1.0 has it: id, time and body signed with HMAC-SHA256; the same id for every attempt. */
  async #post(
    id: string,
    news: store.News,
    alert: store.AlertRow,
    { webhookUrl, webhookKey, webhookSecret }: store.Targets,
  ): Promise<void> {
    if (webhookUrl === null || webhookKey === null || webhookSecret === null) return
    const secret = (await this.#with.envelope.open(webhookKey, webhookSecret, binding)).reveal()
    const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
    const timestamp = String(Math.floor(this.#with.clock.now().getTime() / 1_000))
    const body = JSON.stringify({
      type: `alert.${news}`,
      timestamp: (news === 'firing' ? alert.since : (alert.resolvedAt ?? alert.since)).toISOString(),
      data: told(alert),
    })
    const signature = createHmac('sha256', key).update(`msg_${id}.${timestamp}.${body}`).digest('base64')
    const answer = await this.#with.outbound.fetch(webhookUrl, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': `msg_${id}`,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${signature}`,
      },
      body,
      timeoutMs: webhookTimeoutMs,
      maxBytes: 64 * 1024,
    })
    await answer.body?.cancel()
    if (answer.status < 200 || answer.status > 299)
      throw new AtomError('provider_refused', `The webhook answered ${answer.status}.`)
  }
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
