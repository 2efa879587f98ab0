import type { Connection } from '@atom/contract/connections.ts'
import type { AgentPrincipal } from '#access/principal.ts'
import type { ConnectionProxy } from '#connections/proxy/connection-proxy.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { ProviderAccount, ProviderAnswer, ProviderRequest } from './tools/tool.ts'

/** Most of a provider's answer that is read; a page of 100 issues with long bodies stays below. */
const answerBytes = 8 * 1024 * 1024

/** The connection of the person the agent acts for, seen through the connection proxy. */
export class ProxiedAccount implements ProviderAccount {
  readonly connection: Connection
  readonly #proxy: Pick<ConnectionProxy, 'request'>
  readonly #principal: AgentPrincipal
  readonly #clock: Clock
  readonly #signal: AbortSignal

  constructor(parts: {
    readonly connection: Connection
    readonly proxy: Pick<ConnectionProxy, 'request'>
    readonly principal: AgentPrincipal
    readonly clock: Clock
    /** Ends requests that take too long, or that nobody waits for any more. */
    readonly signal: AbortSignal
  }) {
    this.connection = parts.connection
    this.#proxy = parts.proxy
    this.#principal = parts.principal
    this.#clock = parts.clock
    this.#signal = parts.signal
  }

  get now(): Date {
    return this.#clock.now()
  }

  async request(request: ProviderRequest): Promise<ProviderAnswer> {
    try {
      const answer = await this.#proxy.request(this.#principal, this.connection.id, {
        method: request.method,
        path: request.path,
        signal: this.#signal,
        ...(request.body !== undefined && {
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(request.body),
        }),
      })
      return {
        status: answer.status,
        headers: answer.headers,
        body: parsed(await read(answer.body)),
      }
    } catch (thrown) {
      if (thrown instanceof AtomError) throw thrown
      // Aborted, or broken off in the middle of the answer: as good as none.
      throw new AtomError('provider_unavailable', undefined, { cause: thrown })
    }
  }
}

async function read(body: ReadableStream<Uint8Array> | null): Promise<string> {
  if (body === null) return ''
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > answerBytes)
      throw new AtomError('provider_unavailable', 'The provider’s answer is too large to read.')
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** A page of HTML where JSON was expected is nothing that a tool can read; its status still speaks. */
function parsed(text: string): unknown {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
