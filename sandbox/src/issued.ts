import type { FastifyInstance } from 'fastify'

/** Where an answer carries a secret, by the name of the field, at any depth. */
const secretFields = new Set(['access_token', 'refresh_token', 'id_token', 'device_code', 'token'])
const mayCarry = /(access_token|refresh_token|id_token|device_code|"token")/
const mostKept = 10_000

/**
 * Every code and token that has left the sandbox, read off its answers and redirects, whichever provider gave it and by
 * whichever flow. Whoever tests that a client keeps no secret where it should not looks for these.
 */
export class Issued {
  readonly #secrets = new Set<string>()

  /** Oldest first; the last 10 000. */
  list(): string[] {
    return [...this.#secrets]
  }

  forget(): void {
    this.#secrets.clear()
  }

  /** Looks at every answer of the routes that are added afterwards. */
  watch(app: FastifyInstance): void {
    app.addHook('onSend', async (_request, reply, payload) => {
      const location = reply.getHeader('location')
      const code = typeof location === 'string' && /[?&]code=([^&#]+)/.exec(location)?.[1]
      if (code) this.#keep(decodeURIComponent(code))
      if (typeof payload === 'string' && mayCarry.test(payload)) {
        this.#read(payload, String(reply.getHeader('content-type')))
      }
      return payload
    })
  }

  #read(payload: string, type: string): void {
    const keep = (name: string, value: unknown) => {
      if (secretFields.has(name) && typeof value === 'string') this.#keep(value)
      return value
    }
    if (type.includes('form-urlencoded')) {
      for (const [name, value] of new URLSearchParams(payload)) keep(name, value)
    } else if (type.includes('json')) JSON.parse(payload, keep)
  }

  #keep(secret: string): void {
    this.#secrets.add(secret)
    const [oldest] = this.#secrets
    if (this.#secrets.size > mostKept && oldest !== undefined) this.#secrets.delete(oldest)
  }
}
