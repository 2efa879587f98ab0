import type { IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'

/**
 * Where a request comes from: the nearest address that is not one of the trusted proxies, reading `X-Forwarded-For` from right
 * to left. The very function that the HTTP server's own requests are looked at with, for those that never become one of them.
 */
export function callerAddress(trustedProxies: readonly string[]): (request: IncomingMessage) => string {
  // With nobody to trust nothing needs reading, and a storm of sockets asks for each.
  if (trustedProxies.length === 0) return ({ socket }) => socket.remoteAddress ?? ''
  const trust = proxyAddr.compile([...trustedProxies])
  return (request) => proxyAddr(request, trust)
}
