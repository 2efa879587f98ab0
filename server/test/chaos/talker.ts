import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Seeded } from './seeded.ts'

const words = [
  'rooms',
  'remember',
  'every',
  'word',
  '— né',
  'Grüße',
  '日本語',
  '🌊',
  '👩🏽‍🚀',
  '𝔘nicode',
  '\n\n- item',
  '`code`',
  'é',
]
const pieceMs = 25

/**
 * A language model behind the streaming Chat Completions API, on loopback, that talks for a second or two: long enough to
 * join, leave, kill and reload in the middle. What it says follows from what it was asked. It can break off.
 */
export class Talker implements AsyncDisposable {
  readonly baseUrl: string
  /** This many of the next answers break off. */
  breaking = 0
  /** Told each time that one has. */
  broke: () => void = () => undefined
  readonly #close: () => Promise<void>

  private constructor(baseUrl: string, close: () => Promise<void>) {
    this.baseUrl = baseUrl
    this.#close = close
  }

  static async start(): Promise<Talker> {
    const server = createServer((request, response) => {
      talker.#answer(request, response).catch(() => response.destroy())
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const talker = new Talker(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
    return talker
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request) text += chunk
    const { messages } = JSON.parse(text) as { messages: readonly { content: unknown }[] }
    const random = new Seeded(JSON.stringify(messages.at(-1)?.content))
    const pieces = random.between(10, 90)
    const end = this.breaking > 0 ? Math.floor(pieces / 2) : pieces
    if (end < pieces) this.breaking--
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const tell = (delta: object, finish: string | null = null) =>
      response.write(
        `data: ${JSON.stringify({
          id: 'chatcmpl-1',
          object: 'chat.completion.chunk',
          created: 1_700_000_000,
          model: 'talker',
          choices: [{ index: 0, delta, finish_reason: finish }],
        })}\n\n`,
      )
    tell({ role: 'assistant', content: '' })
    for (let piece = 0; piece < end && !response.destroyed; piece++) {
      tell({ content: `${random.pick(words)} ${random.between(0, 999)} ` })
      await delay(pieceMs)
    }
    if (end < pieces) {
      response.destroy()
      this.broke()
      return
    }
    tell({}, 'stop')
    response.end('data: [DONE]\n\n')
  }
}
