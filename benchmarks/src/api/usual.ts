import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import { fastify, LogController } from 'fastify'
import { generateKeyPair, jwtVerify, SignJWT } from 'jose'
import { pino } from 'pino'
import { Histogram } from 'prom-client'
import { item, NewItem, origin, path, tellProcessorTime } from './exchange.ts'

// The usual plugins in front of the same door, as their pages say to use them: tokens checked with each request, one log line.

const { publicKey, privateKey } = await generateKeyPair('EdDSA')
const token = await new SignJWT({ role: 'owner' })
  .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt' })
  .setIssuer('atom')
  .setAudience('atom')
  .setSubject('ada')
  .setIssuedAt()
  .setExpirationTime('1h')
  .sign(privateKey)

const app = fastify({
  loggerInstance: pino(),
  logController: new LogController({ disableRequestLogging: true }),
})
await app.register(helmet)
await app.register(cors, { origin: [origin], credentials: true })
await app.register(rateLimit, { max: 1_000_000_000, timeWindow: 1_000 })
await app.register(underPressure, { maxEventLoopUtilization: 1, maxEventLoopDelay: 10_000 })
const durations = new Histogram({
  name: 'http_request_duration_seconds',
  help: 'Duration',
  labelNames: ['method', 'route', 'status'],
})
app.addHook('onRequest', async (request, reply) => {
  const given = request.headers.authorization?.slice('Bearer '.length) ?? ''
  try {
    await jwtVerify(given, publicKey, {
      algorithms: ['EdDSA'],
      issuer: 'atom',
      audience: 'atom',
      typ: 'at+jwt',
    })
  } catch (cause) {
    request.log.info({ err: cause }, 'refused')
    await reply.code(401).send({ error: 'unauthenticated' })
  }
})
app.addHook('onResponse', async (request, reply) => {
  const labels = { method: request.method, route: request.routeOptions.url, status: reply.statusCode }
  durations.observe(
    { method: labels.method, route: labels.route ?? '', status: labels.status },
    reply.elapsedTime / 1_000,
  )
  request.log.info({ ...labels, ms: reply.elapsedTime }, 'request')
})
const answer = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    name: { type: 'string' },
    kind: { type: 'string' },
    count: { type: 'integer' },
    at: { type: 'string' },
    labels: { type: 'array', items: { type: 'string' } },
  },
}
const params = { type: 'object', properties: { id: { type: 'string', format: 'uuid' } } }
app.get(`${path}/:id`, { schema: { params, response: { 200: answer } } }, async () => item)
app.post(path, { schema: { body: NewItem, response: { 200: answer } } }, async (_request, reply) =>
  reply.code(200).send(item),
)
tellProcessorTime(await app.listen({ host: '127.0.0.1', port: 0 }), token)
