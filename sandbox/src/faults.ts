import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Fault, SeenRequest } from './control.ts'

/** How a provider says that something is wrong on its side. */
export interface FaultManners {
  /** Paths that begin with it are the provider's. */
  readonly prefix: string
  rateLimited(reply: FastifyReply, retryAfterSeconds: number): FastifyReply
  failed(reply: FastifyReply, status: number): FastifyReply
}

interface ArmedFault {
  readonly fault: Fault
  readonly matches: RegExp
  struck: number
  lifted: boolean
}

/** Strikes requests before (or just after) they are handled, and keeps what was asked. */
export class Faults {
  readonly #armed: ArmedFault[] = []
  readonly #seen: (SeenRequest & { status: number })[] = []

  add(fault: Fault): Disposable & { readonly struck: number } {
    const pattern = fault.path.split('*').map(RegExp.escape).join('.*')
    const armed: ArmedFault = { fault, matches: new RegExp(`^${pattern}$`), struck: 0, lifted: false }
    this.#armed.push(armed)
    return {
      get struck() {
        return armed.struck
      },
      [Symbol.dispose]: () => {
        armed.lifted = true
      },
    }
  }

  /** Those that have not struck as often as they shall. */
  armed(): (Fault & { readonly struck: number })[] {
    return this.#armed
      .filter(({ fault, lifted, struck }) => !lifted && struck < (fault.times ?? 1))
      .map(({ fault, struck }) => ({ ...fault, struck }))
  }

  clear(): void {
    for (const armed of this.#armed) armed.lifted = true
    this.#armed.length = 0
  }

  seen(filter: { readonly method?: string; readonly path?: string } = {}): SeenRequest[] {
    const pattern = filter.path?.split('*').map(RegExp.escape).join('.*')
    const matches = pattern === undefined ? undefined : new RegExp(`^${pattern}$`)
    return this.#seen
      .filter(
        ({ method, path }) =>
          (filter.method === undefined || method === filter.method) && (matches?.test(path) ?? true),
      )
      .map((request) => ({ ...request }))
  }

  forgetSeen(): void {
    this.#seen.length = 0
  }

  /** Puts itself before the routes that are added afterwards. */
  watch(app: FastifyInstance, providers: readonly FaultManners[]): void {
    const answersToLose = new WeakSet<object>()
    const open = new WeakMap<object, { status: number }>()

    app.addHook('onRequest', async (request, reply) => {
      const path = request.url.split('?')[0] ?? ''
      const manners = providers.find(({ prefix }) => path.startsWith(prefix))
      if (manners === undefined) return undefined
      const entry = { at: new Date().toISOString(), method: request.method, path, status: 0 }
      this.#seen.push(entry)
      if (this.#seen.length > 10_000) this.#seen.shift()
      open.set(request, entry)
      const fault = this.#strike(request.method, path)
      if (fault === undefined) return undefined
      if (fault.delayMs !== undefined) await sleep(fault.delayMs)
      const { outcome = 'none', retryAfterSeconds } = fault
      if (outcome === 'cut') {
        reply.hijack()
        request.raw.socket.destroy()
        return reply
      }
      if (outcome === 'cut_after') answersToLose.add(request)
      if (outcome === 'rate_limited') return manners.rateLimited(reply, retryAfterSeconds ?? 1)
      if (typeof outcome === 'object') {
        if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds)
        return manners.failed(reply, outcome.status)
      }
      return undefined
    })

    app.addHook('onSend', async (request, reply, payload) => {
      const entry = open.get(request)
      if (answersToLose.has(request)) request.raw.socket.destroy()
      else if (entry !== undefined) entry.status = reply.statusCode
      return payload
    })
  }

  #strike(method: string, path: string): Fault | undefined {
    const armed = this.#armed.find(
      ({ fault, matches, lifted, struck }) =>
        !lifted &&
        struck < (fault.times ?? 1) &&
        (fault.method === undefined || fault.method === method) &&
        matches.test(path),
    )
    if (armed === undefined) return undefined
    armed.struck += 1
    return armed.fault
  }
}
