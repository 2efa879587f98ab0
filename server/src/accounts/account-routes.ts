import type { IncomingHttpHeaders } from 'node:http'
import { accountRoutes as routes, type SignedIn } from '@atom/contract/accounts.ts'
import type { Cookie, Guard } from '#access/guarded-route.ts'
import type { OwnPages } from '#access/own-pages.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Accounts } from './accounts.ts'
import { refreshTokenLifetimeMs } from './sessions.ts'

const refreshCookie = 'atom_refresh'

/** The doors of accounts. Where a browser asks for `transport: "cookie"`, no script ever sees the refresh token. */
export function accountRoutes(guard: Guard, rooms: { accounts: Accounts; crossOrigin: OwnPages }): void {
  const { accounts, crossOrigin } = rooms

  function requireOwnPage(headers: IncomingHttpHeaders): void {
    const site = headers['sec-fetch-site']
    crossOrigin.requireOwn({
      origin: headers.origin,
      host: headers.host,
      site: Array.isArray(site) ? site[0] : site,
    })
  }

  /** Checked before anything happens, so that a refused page has changed nothing. */
  function requireOwnPageForCookies(
    transport: 'body' | 'cookie' | undefined,
    headers: IncomingHttpHeaders,
  ): void {
    if (transport === 'cookie') requireOwnPage(headers)
  }

  guard(routes.setupState, async () => ({ status: 200, body: { open: await accounts.setupOpen() } }))

  guard(routes.setup, async ({ body, headers, ip, userAgent }) => {
    requireOwnPageForCookies(body.transport, headers)
    const signedIn = await accounts.setup(body, { ip, userAgent })
    return { status: 201, ...delivered(signedIn, body.transport) }
  })

  guard(routes.login, async ({ body, headers, ip, userAgent }) => {
    requireOwnPageForCookies(body.transport, headers)
    const signedIn = await accounts.login(body, { ip, userAgent })
    return { status: 200, ...delivered(signedIn, body.transport) }
  })

  guard(routes.refresh, async ({ body, cookies, headers, ip, userAgent }) => {
    if (body.refreshToken !== undefined) {
      const signedIn = await accounts.refresh(body.refreshToken, { ip, userAgent })
      return { status: 200, ...delivered(signedIn, 'body') }
    }
    const fromCookie = cookies[refreshCookie]
    if (fromCookie === undefined) throw new AtomError('unauthenticated', 'Sign in again.')
    requireOwnPage(headers)
    const signedIn = await accounts.refresh(fromCookie, { ip, userAgent })
    return { status: 200, ...delivered(signedIn, 'cookie') }
  })

  guard(routes.logout, async ({ principal }) => {
    await accounts.logout(principal)
    return { status: 204, body: null, cookies: [cookieOf('', 0)] }
  })

  guard(routes.sessions, async ({ principal, query }) => ({
    status: 200,
    body: await accounts.sessions(principal, query),
  }))

  guard(routes.endSession, async ({ principal, params }) => {
    await accounts.endSession(principal, params.id)
    return { status: 204, body: null }
  })

  guard(routes.me, async ({ principal }) => ({ status: 200, body: await accounts.me(principal) }))

  guard(routes.members, async ({ principal, query }) => ({
    status: 200,
    body: await accounts.members(principal, query),
  }))

  guard(routes.invite, async ({ principal, body }) => ({
    status: 201,
    body: await accounts.invite(principal, body),
  }))

  guard(routes.invitations, async ({ principal, query }) => ({
    status: 200,
    body: await accounts.invitations(principal, query),
  }))

  guard(routes.withdrawInvitation, async ({ principal, params }) => {
    await accounts.withdrawInvitation(principal, params.id)
    return { status: 204, body: null }
  })

  guard(routes.acceptInvitation, async ({ body, headers, ip, userAgent }) => {
    requireOwnPageForCookies(body.transport, headers)
    const signedIn = await accounts.acceptInvitation(body, { ip, userAgent })
    return { status: 201, ...delivered(signedIn, body.transport) }
  })
}

function delivered(
  signedIn: SignedIn,
  transport: 'body' | 'cookie' | undefined,
): { body: SignedIn; cookies?: readonly Cookie[] } {
  if (transport !== 'cookie') return { body: signedIn }
  const { refreshToken = '', ...body } = signedIn
  return { body, cookies: [cookieOf(refreshToken, refreshTokenLifetimeMs / 1000)] }
}

function cookieOf(value: string, maxAgeSeconds: number): Cookie {
  return { name: refreshCookie, value, path: '/v1/auth', maxAgeSeconds, sameSite: 'strict' }
}
