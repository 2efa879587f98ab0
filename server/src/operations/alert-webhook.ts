import { createHmac } from 'node:crypto'
import type { Alert } from '@atom/contract/monitoring.ts'
import type { Envelope } from '#foundation/crypto/envelope.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Outbound } from '#foundation/outbound.ts'
import type { News, Targets } from './alert-store.ts'

/** What the secret of the webhook is sealed for. */
export const webhookBinding = { table: 'alert_targets', column: 'webhook_secret' }

const timeoutMs = 10_000

/**
 * As Standard Webhooks 1.0 has it: id, time and body signed with HMAC-SHA256. Every attempt comes under the same `id`. Nothing
 * happens where there is no webhook. Needs no database.
 *
 * @throws AtomError what `Outbound.fetch` throws · `provider_refused` for an answer that is not 200 to 299
 */
export async function postAlert(
  { envelope, outbound }: { envelope: Envelope; outbound: Outbound },
  { webhookUrl, webhookKey, webhookSecret }: Targets,
  message: { readonly id: string; readonly news: News; readonly alert: Alert; readonly now: Date },
): Promise<void> {
  if (webhookUrl === null || webhookKey === null || webhookSecret === null) return
  const { id, news, alert, now } = message
  const secret = (await envelope.open(webhookKey, webhookSecret, webhookBinding)).reveal()
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
  const timestamp = String(Math.floor(now.getTime() / 1_000))
  const body = JSON.stringify({
    // One that has become worse fires as before; its severity says the rest.
    type: news === 'resolved' ? 'alert.resolved' : 'alert.firing',
    timestamp: news === 'resolved' ? (alert.resolvedAt ?? alert.since) : alert.since,
    data: alert,
  })
  const signature = createHmac('sha256', key).update(`msg_${id}.${timestamp}.${body}`).digest('base64')
  const answer = await outbound.fetch(webhookUrl, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': `msg_${id}`,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    },
    body,
    timeoutMs,
    maxBytes: 64 * 1024,
  })
  await answer.body?.cancel()
  if (answer.status < 200 || answer.status > 299)
    throw new AtomError('provider_refused', `The webhook answered ${answer.status}.`)
}
