import { operationRoutes } from '@atom/contract/operations.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { HttpServer } from './server.ts'

export interface Finding {
  readonly status: 'up' | 'degraded' | 'down'
  /** Plain words for an operator; names no secret. */
  readonly detail?: string
}

/** One thing that can be well or not. It is `down` when it throws or does not answer in time. */
export interface HealthCheck {
  readonly name: string
  /** Without it the server can do nothing for anybody: `/ready` then says no. */
  readonly required: boolean
  check(): Promise<Finding | undefined>
}

export interface HealthOptions {
  readonly log: Log
  readonly checks: readonly HealthCheck[]
  /** How long an answer of a check is good for. */
  readonly freshMs?: number
  /** How long a check may take. */
  readonly timeoutMs?: number
}

interface Kept {
  finding: Finding
  at: number
  running: Promise<Finding> | undefined
}

/** How the parts of the process are. However often it is asked, each part is looked at about once a second, one at a time. */
export class Health {
  readonly #log: Log
  readonly #checks: readonly HealthCheck[]
  readonly #freshMs: number
  readonly #timeoutMs: number
  readonly #kept = new Map<HealthCheck, Kept>()

  constructor(options: HealthOptions) {
    this.#log = options.log
    this.#checks = options.checks
    this.#freshMs = options.freshMs ?? 1_000
    this.#timeoutMs = options.timeoutMs ?? 1_000
  }

  async components(): Promise<Record<string, Finding>> {
    const found = await Promise.all(
      this.#checks.map(async (check) => [check.name, await this.#look(check)] as const),
    )
    return Object.fromEntries(found)
  }

  /** `down` where something required is down; `degraded` where anything else is not up. */
  async overall(): Promise<Finding['status']> {
    const components = await this.components()
    if (this.#checks.some((check) => check.required && components[check.name]?.status === 'down'))
      return 'down'
    return Object.values(components).every(({ status }) => status === 'up') ? 'up' : 'degraded'
  }

  async #look(check: HealthCheck): Promise<Finding> {
    const kept = this.#kept.get(check) ?? {
      finding: { status: 'up' },
      at: Number.NEGATIVE_INFINITY,
      running: undefined,
    }
    this.#kept.set(check, kept)
    if (performance.now() - kept.at < this.#freshMs) return kept.finding
    kept.running ??= this.#examine(check).then((finding) => {
      if (finding.status !== kept.finding.status)
        this.#log[finding.status === 'up' ? 'info' : 'warn'](
          { component: check.name, ...finding },
          'health changed',
        )
      kept.finding = finding
      kept.at = performance.now()
      kept.running = undefined
      return finding
    })
    return await kept.running
  }

  async #examine(check: HealthCheck): Promise<Finding> {
    const late = Promise.withResolvers<Finding>()
    const timer = setTimeout(
      () => late.resolve({ status: 'down', detail: `No answer within ${this.#timeoutMs} ms.` }),
      this.#timeoutMs,
    )
    try {
      return await Promise.race([this.#ask(check), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  async #ask(check: HealthCheck): Promise<Finding> {
    try {
      return (await check.check()) ?? { status: 'up' }
    } catch (thrown) {
      this.#log.debug({ err: thrown, component: check.name }, 'health check failed')
      return {
        status: 'down',
        detail: thrown instanceof AtomError ? thrown.detail : 'The check failed; see the log.',
      }
    }
  }
}

/**
 * `/live`, `/ready`, `/status`, `/health`. Anyone may ask how it is; what exactly is wrong is for `mayKnow` (operators).
 */
export function healthDoors(
  http: HttpServer,
  options: { health: Health; mayKnow: (authorization: string | undefined) => Promise<boolean> },
): void {
  const { health, mayKnow } = options

  http.get(operationRoutes.live.path, async (_request, reply) => reply.send({ status: 'up' }), {
    quiet: true,
  })

  http.get(
    operationRoutes.ready.path,
    async (_request, reply) => {
      if (http.phase !== 'ready') throw new AtomError(http.phase)
      if ((await health.overall()) === 'down') throw new AtomError('unavailable')
      return reply.send({ status: 'up' })
    },
    { quiet: true },
  )

  http.get(
    operationRoutes.status.path,
    async (_request, reply) =>
      reply.send({ status: http.phase === 'ready' ? await health.overall() : http.phase }),
    { quiet: true },
  )

  http.get(operationRoutes.health.path, async (request, reply) => {
    const status = await health.overall()
    const components = (await mayKnow(request.headers.authorization)) ? await health.components() : undefined
    return reply
      .code(status === 'down' ? 503 : 200)
      .send(components === undefined ? { status } : { status, components })
  })
}
