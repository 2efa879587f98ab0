import type { FastifyInstance } from 'fastify'
import type { Control, Fault } from './control.ts'
import { people } from './people.ts'
import type { KeyedProvider } from './service-keys.ts'
import { providerNames, type SandboxAddress, type SandboxProviderId } from './stand-in.ts'

const provider = { type: 'string', enum: Object.keys(providerNames) } as const
const json = (properties: object, required: readonly string[] = []) => ({
  schema: { body: { type: 'object', properties, required, additionalProperties: false } },
})

/**
 * `Control` over HTTP, for tests in other languages and for curiosity. JSON in and out; a body needs
 * `Content-Type: application/json`, which no foreign web page can send here without being asked first.
 */
export function controlRoutes(app: FastifyInstance, control: Control, about: () => SandboxAddress): void {
  app.get('/_control', async () => ({ ...about(), now: control.now() }))
  app.get('/_control/faults', async () => ({ items: control.faults() }))
  app.get<{ Querystring: { provider?: SandboxProviderId; kind?: string; title?: string } }>(
    '/_control/effects',
    async ({ query }) => ({ items: control.effects(query) }),
  )
  app.get<{ Querystring: { method?: string; path?: string } }>('/_control/requests', async ({ query }) => ({
    items: control.requests(query),
  }))
  app.get('/_control/issued', async () => ({ items: control.issued() }))
  app.post<{ Body: Fault }>(
    '/_control/faults',
    json(
      {
        path: { type: 'string', pattern: '^/' },
        method: { type: 'string' },
        times: { type: 'integer', minimum: 1 },
        delayMs: { type: 'integer', minimum: 0 },
        retryAfterSeconds: { type: 'integer', minimum: 0 },
        outcome: {
          anyOf: [
            { type: 'string', enum: ['none', 'rate_limited', 'cut', 'cut_after'] },
            {
              type: 'object',
              properties: { status: { type: 'integer', minimum: 400, maximum: 599 } },
              required: ['status'],
              additionalProperties: false,
            },
          ],
        },
      },
      ['path'],
    ),
    async ({ body }, reply) => {
      control.fault(body)
      return reply.status(204).send()
    },
  )
  app.delete('/_control/faults', async (_request, reply) => {
    control.clearFaults()
    return reply.status(204).send()
  })
  app.post<{ Body: { provider: SandboxProviderId; person?: string } }>(
    '/_control/revoke',
    json({ provider, person: { type: 'string', enum: people.map(({ key }) => key) } }, ['provider']),
    async ({ body }) => ({ revoked: control.revoke(body.provider, body.person) }),
  )
  app.post<{ Body: { person?: string; provider?: 'microsoft' | 'google' } }>(
    '/_control/challenge',
    json({
      person: { type: 'string', enum: people.map(({ key }) => key) },
      provider: { type: 'string', enum: ['microsoft', 'google'] },
    }),
    async ({ body }) => ({ challenged: control.challenge(body.person, body.provider) }),
  )
  app.post<{ Body: { provider?: SandboxProviderId } }>(
    '/_control/expire',
    json({ provider }),
    async ({ body }) => ({
      expired: control.expireTokens(body.provider),
    }),
  )
  app.post<{ Body: { seconds: number } }>(
    '/_control/advance',
    json({ seconds: { type: 'integer', minimum: 1 } }, ['seconds']),
    async ({ body }, reply) => {
      control.advance(body.seconds)
      return reply.status(204).send()
    },
  )
  app.post<{ Body: { provider: SandboxProviderId; perHour: number } }>(
    '/_control/rate-limit',
    json({ provider, perHour: { type: 'integer', minimum: 0 } }, ['provider', 'perHour']),
    async ({ body }, reply) => {
      control.rateLimit(body.provider, body.perHour)
      return reply.status(204).send()
    },
  )
  app.post('/_control/slack-token-rotation', json({}), async (_request, reply) => {
    control.turnOnSlackTokenRotation()
    return reply.status(204).send()
  })
  app.post('/_control/redirects', json({ uri: { type: 'string' } }, ['uri']), async ({ body }, reply) => {
    control.allowRedirect((body as { uri: string }).uri)
    return reply.status(204).send()
  })
  app.post<{ Body: { on: boolean } }>(
    '/_control/authorize-on-install',
    json({ on: { type: 'boolean' } }, ['on']),
    async ({ body }, reply) => {
      control.authorizeOnInstall(body.on)
      return reply.status(204).send()
    },
  )
  app.get<{ Params: { provider: KeyedProvider } }>(
    '/_control/service-keys/:provider',
    {
      schema: {
        params: { type: 'object', properties: { provider: { enum: ['google', 'salesforce', 'github'] } } },
      },
    },
    async ({ params }) => ({ key: control.serviceKey(params.provider) }),
  )
  app.post('/_control/reset', json({}), async (_request, reply) => {
    control.reset()
    return reply.status(204).send()
  })
}
