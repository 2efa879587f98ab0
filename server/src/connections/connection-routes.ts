import type { IncomingHttpHeaders } from 'node:http'
import { connectionRoutes } from '@atom/contract/connections.ts'
import type { Guards } from '#access/guarded-route.ts'
import { Secret } from '#foundation/secret.ts'
import type { AppTester } from './app-tester.ts'
import type { Apps } from './apps.ts'
import { readClientKey } from './authorization-server/client-key.ts'
import type { Connections, FinishedFlow } from './connections.ts'
import type { Forecast } from './forecast.ts'

/** The door of connections and providers. */
export function connectionDoors(
  { guard }: Pick<Guards, 'guard'>,
  {
    connections,
    apps,
    appTester,
    forecast,
  }: {
    connections: Connections
    apps: Apps
    appTester: AppTester
    forecast: Forecast
  },
): void {
  guard(connectionRoutes.providers, async ({ principal }) => ({
    status: 200,
    body: { items: await apps.list(principal.workspaceId), next: null },
  }))

  guard(connectionRoutes.configureApp, async ({ principal, params, body }) => ({
    status: 200,
    body: await apps.configure(principal, params.provider, {
      clientId: body.clientId,
      clientSecret: body.clientSecret === undefined ? undefined : new Secret(body.clientSecret),
      privateKey: body.privateKey === undefined ? undefined : readClientKey(body.privateKey),
      settings: body.settings,
      scopes: body.scopes,
      clientSecretExpiresAt: body.clientSecretExpiresAt,
      testing: body.testing,
    }),
  }))

  guard(connectionRoutes.testApp, async ({ principal, params }) => ({
    status: 200,
    body: await appTester.test(
      { workspaceId: principal.workspaceId, accountId: principal.id },
      params.provider,
    ),
  }))

  guard(connectionRoutes.forecast, async ({ principal }) => ({
    status: 200,
    body: { items: await forecast.of(principal) },
  }))

  guard(connectionRoutes.connectionEvents, async ({ principal, params, query }) => ({
    status: 200,
    body: await connections.events(principal, params.id, query),
  }))

  guard(connectionRoutes.removeApp, async ({ principal, params }) => {
    await apps.remove(principal.workspaceId, params.provider)
    return { status: 204, body: null }
  })

  guard(connectionRoutes.connect, async ({ principal, body }) => {
    const begun = await connections.connect(principal, body)
    if (!('cookie' in begun)) return { status: 201, body: begun }
    const { flowId, authorizeUrl, cookie } = begun
    return { status: 201, body: { flowId, authorizeUrl }, cookies: [flowCookie(cookie)] }
  })

  guard(connectionRoutes.connectionFlow, async ({ principal, params }) => ({
    status: 200,
    body: await connections.flowOutcome(principal, params.id),
  }))

  guard(connectionRoutes.callback, async ({ params, query, cookies, headers }) => {
    const callback = { provider: params.provider, parameters: new URLSearchParams(query), cookies }
    const finished = await connections.finish(callback)
    // A person is sent on and told there; a program gets the error itself.
    if ('problem' in finished.outcome && !isNavigation(headers)) throw finished.outcome.problem
    const name = connections.cookieOf(callback)
    return {
      status: 303,
      body: null,
      headers: { location: returnAddress(finished, params.provider) },
      cookies: name === undefined ? [] : [flowCookie({ name, value: '', maxAgeSeconds: 0 })],
    }
  })

  guard(connectionRoutes.connections, async ({ principal, query }) => ({
    status: 200,
    body: await connections.list(principal, query),
  }))

  guard(connectionRoutes.connection, async ({ principal, params }) => ({
    status: 200,
    body: await connections.get(principal, params.id),
  }))

  guard(connectionRoutes.refreshConnection, async ({ principal, params }) => ({
    status: 200,
    body: await connections.refresh(principal, params.id),
  }))

  guard(connectionRoutes.disconnect, async ({ principal, params }) => ({
    status: 200,
    body: await connections.disconnect(principal, params.id),
  }))
}

function flowCookie(cookie: { name: string; value: string; maxAgeSeconds: number }) {
  return { ...cookie, path: '/v1/oauth', sameSite: 'lax' } as const
}

function returnAddress({ returnTo, outcome }: FinishedFlow, provider: string): string {
  const url = new URL(returnTo, 'http://atom.invalid')
  url.searchParams.delete('connected')
  url.searchParams.delete('problem')
  if ('connection' in outcome) url.searchParams.set('connected', outcome.connection.id)
  else {
    url.searchParams.set('problem', outcome.problem.code)
    url.searchParams.set('provider', provider)
  }
  return `${url.pathname}${url.search}${url.hash}`
}

function isNavigation(headers: IncomingHttpHeaders): boolean {
  const mode = headers['sec-fetch-mode']
  return mode === undefined ? (headers.accept ?? '').includes('text/html') : mode === 'navigate'
}
