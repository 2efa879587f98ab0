import { operationRoutes } from '@atom/contract/operations.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Health } from './health.ts'
import { Readiness } from './readiness.ts'
import type { HttpServer } from './server.ts'

export interface HealthDoors {
  readonly health: Health
  readonly readiness: Readiness
  /** What exactly is wrong is for operators. */
  readonly mayKnow: (authorization: string | undefined) => Promise<boolean>
  /** Which process this is. */
  readonly about: { readonly node: string; readonly version: string; readonly startedAt: Date }
}

/** `/live`, `/ready`, `/status`, `/health`: each answered from what is known, so that none of them waits for what hangs. */
export function healthDoors(http: HttpServer, options: HealthDoors): void {
  const { health, readiness, mayKnow, about } = options

  http.get(operationRoutes.live.path, async (_request, reply) => reply.send({ status: 'up' }), {
    quiet: true,
  })

  http.get(
    operationRoutes.ready.path,
    async (_request, reply) => {
      const { word } = readiness
      if (!Readiness.says(word)) throw new AtomError(word === 'down' ? 'unavailable' : word)
      readiness.asked()
      return reply.send({ status: word })
    },
    { quiet: true },
  )

  http.get(operationRoutes.status.path, async (_request, reply) => reply.send({ status: readiness.word }), {
    quiet: true,
  })

  http.get(
    operationRoutes.health.path,
    async (request, reply) => {
      const { overall } = health
      if (overall === 'down') reply.code(503).header('retry-after', '1')
      const { authorization } = request.headers
      if (!(await mayKnow(authorization))) {
        // Whoever tries tokens here pays for it as at any other door.
        if (authorization !== undefined) await http.edge?.notLetIn(request, reply)
        return reply.send({ status: overall })
      }
      return reply.send({
        status: overall,
        state: readiness.word,
        node: about.node,
        version: about.version,
        startedAt: about.startedAt.toISOString(),
        components: health.components('component'),
        system: health.components('system'),
      })
    },
    { quiet: true },
  )
}
