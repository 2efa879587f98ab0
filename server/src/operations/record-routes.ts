import { failureRoutes } from '@atom/contract/failures.ts'
import { logRoutes } from '@atom/contract/log.ts'
import type { Guards } from '#access/guarded-route.ts'
import type { OpenStreams } from '#access/open-streams.ts'
import type { ErrorsSeen } from './errors-seen.ts'
import type { LogDesk } from './log-desk.ts'
import type { Nodes } from './nodes.ts'

/** What the server writes down about itself: its log, and what went wrong. */
export function recordDoors(
  { guard, guardEvents }: Guards,
  {
    errors,
    log,
    nodes,
    streams,
  }: { errors: ErrorsSeen; log: LogDesk; nodes: Pick<Nodes, 'log'>; streams: OpenStreams },
): void {
  guard(failureRoutes.errors, async ({ query }) => ({ status: 200, body: await errors.list(query) }))

  guard(failureRoutes.errorHistory, async ({ query }) => ({
    status: 200,
    body: await errors.history(query.minutes),
  }))

  guard(failureRoutes.errorGroup, async ({ params, query }) => ({
    status: 200,
    body: await errors.group(params.id, query.minutes),
  }))

  guard(failureRoutes.resolveError, async ({ params }) => {
    await errors.resolve(params.id)
    return { status: 200, body: { state: 'resolved' } }
  })

  guard(logRoutes.log, async ({ query }) => ({ status: 200, body: await nodes.log(query) }))

  guardEvents(logRoutes.logStream, async ({ query: { q, ...query }, principal, expiresAt, ip }) => {
    streams.requireTime(principal)
    return (stream) => {
      if (!streams.admit({ principal, expiresAt, ip }, stream)) return
      // Who reads slower than the log is written misses lines, and sees by their numbers that they do.
      const listening = log.listen({ ...query, text: q }, (line) => {
        if (!stream.crowded) stream.send({ id: String(line.number), data: line })
      })
      stream.once('close', () => listening[Symbol.dispose]())
    }
  })

  guard(logRoutes.logLevels, async () => ({ status: 200, body: { items: log.levels() } }))

  guard(logRoutes.setLogLevel, async ({ principal, params, body }) => ({
    status: 200,
    body: await log.setLevel(principal, params.module, body),
  }))
}
