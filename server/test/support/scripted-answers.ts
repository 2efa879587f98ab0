import type {
  AppTest,
  Connection,
  ConnectionEvent,
  ForecastItem,
  ProviderView,
} from '@atom/contract/connections.ts'
import type { Page } from 'playwright-core'

/**
 * States of the dashboard that no running provider can be brought into on demand: three hundred accounts, a key of an app that
 * ends next week, a device code. The types are the contract's, so that an answer here cannot be one that the server never gives.
 */
export interface Script {
  providers: readonly ProviderView[]
  connections: readonly Connection[]
  forecast: readonly ForecastItem[]
  events: readonly ConnectionEvent[]
  test: AppTest
}

const day = 24 * 60 * 60 * 1000

export function fromNow(ms: number): string {
  return new Date(Date.now() + ms).toISOString()
}

export function idOf(number: number): string {
  return `01900000-0000-7000-8000-${String(number).padStart(12, '0')}`
}

export function provider(id: string, name: string, rest: Partial<ProviderView> = {}): ProviderView {
  return {
    id,
    name,
    category: 'development',
    app: 'sandbox',
    sandboxAvailable: true,
    scopes: [
      { scope: 'identity', meaning: `Know who you are at ${name}`, required: true },
      { scope: 'work.read', meaning: 'Read what you may read', required: false },
    ],
    furtherScopes: [{ scope: 'work.write', meaning: 'Change what you may change', required: false }],
    particulars: [],
    redirectUri: `https://atom.example/v1/oauth/callback/${id}`,
    appConsoleUrl: `https://${id}.example/apps`,
    setup: {
      steps: [
        'Open “Developer settings” and choose “New OAuth app”.',
        'Enter the redirect address below as “Authorization callback URL”, exactly as it stands here.',
        'Tick the access that is listed below.',
      ],
    },
    docsPath: `/docs/providers/${id}`,
    appLife: {},
    operatorFlows: [],
    flows: ['authorization_code'],
    credentialFields: [],
    appFields: [],
    ...rest,
  }
}

export function connection(number: number, rest: Partial<Connection> = {}): Connection {
  return {
    id: idOf(number),
    provider: 'github',
    flow: 'authorization_code',
    status: 'active',
    identity: { id: String(number), name: `Person ${number}`, handle: `person-${number}` },
    askedScopes: ['identity', 'work.read'],
    scopes: ['identity', 'work.read'],
    missingScopes: [],
    sandbox: false,
    ownerId: idOf(0),
    expiresAt: fromNow(5 * 60 * 60 * 1000),
    credentials: [{ slot: 'main', expiresAt: fromNow(5 * 60 * 60 * 1000), refreshExpiresAt: null }],
    connectedAt: fromNow(-3 * day),
    lastUsedAt: fromNow(-7 * 60 * 1000),
    ...rest,
  }
}

/** Everything that can be wrong, beside what is right. */
export function troubled(): Script {
  return {
    providers: [
      provider('github', 'GitHub'),
      provider('google', 'Google', { category: 'office', app: 'configured' }),
      provider('salesforce', 'Salesforce', {
        category: 'customers',
        app: 'configured',
        particulars: [
          {
            name: 'login',
            label: 'Login host',
            meaning: 'login.salesforce.com, test.salesforce.com, or the host of your organisation.',
            standard: 'login.salesforce.com',
            saidBy: 'person',
            required: true,
          },
        ],
        appFields: [],
      }),
      provider('slack', 'Slack', { category: 'communication' }),
      provider('linear', 'Linear', {
        category: 'projects',
        // Nobody has entered an app, and a key needs none.
        app: 'none',
        sandboxAvailable: false,
        flows: ['authorization_code', 'api_key'],
        credentialFields: [
          {
            flow: 'api_key',
            fields: [
              {
                name: 'key',
                label: 'API key',
                meaning: 'Settings → Security & access → Personal API keys.',
                secret: true,
                required: true,
                multiline: false,
              },
            ],
          },
        ],
      }),
      provider('gitlab', 'GitLab', {
        app: 'none',
        sandboxAvailable: false,
        appLife: {
          secretExpiry: 'GitLab ends the secret of an app on the day you choose.',
          testing: 'Until it is published, a connection lives for seven days.',
        },
        appFields: [
          {
            name: 'issuer',
            label: 'Address',
            meaning: 'Where your own GitLab is.',
            secret: false,
            required: false,
            standard: 'https://gitlab.com',
          },
          {
            name: 'privateKey',
            label: 'Private key',
            meaning: 'PEM or JWK; sealed before it is stored.',
            secret: true,
            required: false,
            multiline: true,
          },
        ],
      }),
    ],
    connections: [
      connection(1, { identity: { id: '1', name: 'Ada Lovelace', handle: 'ada-lovelace' } }),
      connection(2, {
        provider: 'google',
        status: 'needs_reconnect',
        reason: 'Access was revoked at Google',
        remedy: { whose: 'person', action: 'reconnect', label: 'Connect again' },
        identity: { id: '2', name: 'Ada Lovelace', email: 'ada@example.com' },
        expiresAt: null,
      }),
      connection(3, {
        provider: 'salesforce',
        status: 'needs_reconnect',
        reason: 'Your organisation asks for a fresh sign-in by its policy',
        remedy: { whose: 'admin', action: 'ask_admin', label: 'Copy a message for your admin' },
        identity: { id: '3', name: 'Grace Hopper', email: 'grace@example.com' },
      }),
      connection(4, {
        provider: 'slack',
        status: 'degraded',
        reason: 'Slack does not answer; the connection is kept',
        remedy: { whose: 'person', action: 'wait', label: 'Check now' },
        identity: { id: '4', name: 'Ada Lovelace', handle: 'ada' },
        credentials: [
          { slot: 'bot', expiresAt: fromNow(11 * 60 * 60 * 1000), refreshExpiresAt: null },
          { slot: 'user', expiresAt: fromNow(11 * 60 * 60 * 1000), refreshExpiresAt: fromNow(30 * day) },
        ],
      }),
      connection(5, {
        provider: 'linear',
        status: 'degraded',
        reason: 'Linear was not allowed: work.read',
        remedy: { whose: 'person', action: 'allow_more', label: 'Allow the rest' },
        scopes: ['identity'],
        missingScopes: ['work.read'],
        identity: { id: '5', name: 'Katherine Johnson', email: 'katherine@example.com' },
        lastUsedAt: null,
      }),
    ],
    forecast: [
      {
        at: fromNow(2 * day),
        kind: 'client_secret',
        severity: 'high',
        provider: 'google',
        title: 'The secret of your Google app ends',
        detail: 'From then on no connection of Google can be renewed. Enter a new secret before.',
        remedy: { whose: 'operator', action: 'configure_app', label: 'Enter a new secret' },
      },
      {
        at: fromNow(6 * day),
        kind: 'testing_app',
        severity: 'medium',
        provider: 'google',
        connectionId: idOf(2),
        title: 'Google ends this connection, because the app is in testing',
        detail:
          'Apps in testing lose every connection after seven days. Publish the app, then connect again.',
        remedy: { whose: 'operator', action: 'configure_app', label: 'Look at the app' },
      },
      {
        at: null,
        kind: 'sunset',
        severity: 'low',
        provider: 'slack',
        title: 'Slack switches off an old endpoint',
        detail: 'Atom uses the new one already.',
      },
      {
        at: fromNow(60 * day),
        kind: 'refresh_token',
        severity: 'low',
        provider: 'slack',
        connectionId: idOf(4),
        title: 'Slack has to be allowed again',
        detail: 'A connection lives for 90 days there, however much it is used.',
        remedy: { whose: 'person', action: 'reconnect', label: 'Connect again' },
      },
    ],
    events: [
      event(1, 'refresh_failed', -3 * 60_000, 'Slack answered 503; tried again in 30 s.', { times: 4 }),
      event(2, 'refreshed', -12 * 60 * 60_000, 'A new access token.', { times: 12, durationMs: 212 }),
      event(3, 'widened', -2 * day, 'Also: change what you may change.'),
      event(4, 'called_first', -2.5 * day, 'An agent used it for the first time.'),
      event(5, 'connected', -3 * day, 'Ada Lovelace allowed the access.', { durationMs: 840 }),
    ],
    test: {
      ok: false,
      checks: [
        { name: 'redirect_uri', ok: true, detail: 'https, and exactly as it is entered there.' },
        { name: 'token_endpoint', ok: true, detail: 'Answers in 80 ms.' },
        {
          name: 'credentials',
          ok: false,
          detail: 'Google does not know this client secret. Copy it again from the console.',
        },
      ],
    },
  }
}

function event(
  number: number,
  kind: ConnectionEvent['kind'],
  ago: number,
  detail: string,
  rest: Partial<ConnectionEvent> = {},
): ConnectionEvent {
  const times = rest.times ?? 1
  return {
    id: idOf(100 + number),
    kind,
    at: fromNow(times > 1 ? ago - day : ago),
    lastAt: fromNow(ago),
    times,
    detail,
    ...rest,
  }
}

/** The same again and again, as one person with far too many accounts would have it. */
export function crowded(count: number): Script {
  const few = troubled()
  return {
    ...few,
    connections: Array.from({ length: count }, (_, at) => {
      const base = few.connections[at % few.connections.length]
      return connection(at + 1, {
        ...(at % 20 === 1 ? base : { provider: base?.provider ?? 'github' }),
        id: idOf(at + 1),
        identity: { id: String(at), name: `Person ${at + 1}`, handle: `person-${at + 1}` },
      })
    }),
  }
}

/** From now on the page's questions about connections are answered from the script; everything else by the server. */
export async function answerFrom(page: Page, script: Script): Promise<void> {
  await page.route(
    (url) => /^\/v1\/(?:providers|connections)(?:\/|$)/.test(url.pathname),
    async (route) => {
      const request = route.request()
      const { pathname } = new URL(request.url())
      const [, , room, id, rest] = pathname.split('/')
      const json = (body: unknown) => route.fulfill({ json: body })
      if (request.method() !== 'GET') {
        return room === 'providers' ? json(script.test) : route.fallback()
      }
      if (room === 'providers') return json({ items: script.providers, next: null })
      if (id === undefined) return json({ items: script.connections, next: null })
      if (id === 'forecast') return json({ items: script.forecast })
      if (rest === 'events') return json({ items: script.events, next: null })
      const found = script.connections.find((item) => item.id === id)
      return found === undefined ? route.fallback() : json(found)
    },
  )
}
