import proxy from '@fastify/http-proxy'
import { fastify } from 'fastify'

// The peer of the benchmark `proxy`: a reverse proxy with nothing before and nothing behind it.

const app = fastify({ logger: false })
await app.register(proxy, {
  upstream: process.env['UPSTREAM'] ?? '',
  rewritePrefix: '/api.github.com',
  undici: { connections: 128, pipelining: 1 },
})
process.send?.({ url: await app.listen({ host: '127.0.0.1', port: 0 }) })
