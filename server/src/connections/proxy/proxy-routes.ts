import { capabilityRoutes, proxyLimits, proxyPath } from '@atom/contract/connections.ts'
import type { Guards } from '#access/guarded-route.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Capabilities } from './capabilities.ts'
import type { ConnectionProxy } from './connection-proxy.ts'
import { readProxyBody } from './proxy-body.ts'

/** The door of the proxy, and of what a connection is lent out for. */
export function proxyDoors(
  { guard, guardStream }: Guards,
  rooms: { proxy: ConnectionProxy; capabilities: Capabilities; publicUrl: () => string },
): void {
  const { proxy, capabilities } = rooms

  guard(capabilityRoutes.lend, async ({ principal, params, body }) => ({
    status: 201,
    body: await capabilities.create(principal, params.id, body),
    headers: { 'cache-control': 'no-store' },
  }))

  guard(capabilityRoutes.capabilities, async ({ principal, params, query }) => ({
    status: 200,
    body: await capabilities.list(principal, params.id, query),
  }))

  guard(capabilityRoutes.endCapability, async ({ principal, params }) => {
    await capabilities.remove(principal, params.id, params.capabilityId)
    return { status: 204, body: null }
  })

  guardStream(
    {
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      path: proxyPath,
      audience: 'member',
      bodyLimit: proxyLimits.bodyBytes,
      bearer: (token) => capabilities.bearer(token),
    },
    async ({ principal, bearer, params, method, rest, headers, body, signal }) => {
      const id = idOf(params)
      if (bearer !== undefined) {
        if (bearer.connectionId !== id) throw new AtomError('capability_exceeded')
        await bearer.spend()
      }
      const sent = await readProxyBody(body)
      const length = Number(headers['content-length'])
      const answer = await proxy.forward(bearer === undefined ? principal : bearer.principal, id, {
        method,
        path: rest,
        headers,
        signal,
        through: `${rooms.publicUrl()}/v1/connections/${id}/proxy`,
        ...(sent !== undefined && { body: sent }),
        ...(Number.isSafeInteger(length) && { bodyLength: length }),
        ...(bearer !== undefined && { permits: bearer.permits }),
      })
      // The body is the provider's, but the origin is Atom's: nothing in it may run or be framed here.
      answer.headers['content-security-policy'] = "sandbox; default-src 'none'; frame-ancestors 'none'"
      return answer
    },
  )
}

function idOf({ id: text }: { readonly id?: string }): string {
  if (text !== undefined && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text
  throw new AtomError('not_found')
}
