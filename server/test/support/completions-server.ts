import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One request as it was received. */
export interface CompletionRequest {
  readonly authorization: string | undefined
  readonly body: {
    readonly model: string
    readonly stream: boolean
    readonly messages: readonly {
      role: string
      content: unknown
      tool_calls?: readonly unknown[]
      tool_call_id?: string
    }[]
    readonly tools?: readonly { function: { name: string; parameters: unknown } }[]
  }
}

interface SpokenCall {
  readonly id?: string
  readonly name: string
  /** As the model would write it: JSON, or what it takes for JSON. */
  readonly arguments: string
}

/** What the next request gets. */
export type Reply =
  | { readonly text: string }
  | { readonly calls: readonly SpokenCall[]; readonly text?: string }
  /** An HTTP error, as OpenAI writes it. */
  | { readonly status: number; readonly retryAfterSeconds?: number }
  /** Begins to speak, then says as an event of the stream that it failed. */
  | { readonly fault: 'error_in_stream'; readonly text: string }
  /** Begins to speak, then the connection breaks. */
  | { readonly fault: 'cut'; readonly text: string }
  /** The connection breaks in the middle of the arguments of a call. */
  | { readonly fault: 'cut_in_arguments'; readonly call: SpokenCall }
  /** Ends the stream politely, without having finished. */
  | { readonly fault: 'no_finish'; readonly text: string }
  /** Begins to speak, and says no more. */
  | { readonly fault: 'stalls'; readonly text: string }
  /** Takes the request and says nothing. */
  | { readonly fault: 'silent' }
  | { readonly fault: 'not_json' }

const pieceLength = 5

/**
 * The streaming side of the Chat Completions API on a real port, byte for byte as servers speak it: `data:` events, deltas
 * of content and of tool calls by index, a last chunk with the usage, `[DONE]`; and what goes wrong with it.
 */
export class CompletionsServer implements AsyncDisposable {
  readonly baseUrl: string
  readonly requests: CompletionRequest[] = []
  /** Taken in order; the last one stays. */
  replies: Reply[] = [{ text: 'Hello.' }]
  /** Connections that the other side closed before the answer was complete. */
  hungUp = 0
  readonly #close: () => Promise<void>

  private constructor(baseUrl: string, close: () => Promise<void>) {
    this.baseUrl = baseUrl
    this.#close = close
  }

  static async start(): Promise<CompletionsServer> {
    const server = createServer((request, response) => {
      completions.#answer(request, response).catch(() => response.destroy())
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const completions = new CompletionsServer(`http://127.0.0.1:${port}/v1`, async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
    return completions
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request) text += chunk
    if (request.url !== '/v1/chat/completions') {
      response.writeHead(404).end()
      return
    }
    response.on('close', () => {
      if (!response.writableFinished) this.hungUp++
    })
    const body = JSON.parse(text) as CompletionRequest['body']
    this.requests.push({ authorization: request.headers.authorization, body })
    const reply = this.replies.length > 1 ? this.replies.shift() : this.replies[0]
    if (reply === undefined) throw new Error('no reply is scripted')
    if ('status' in reply) {
      response.writeHead(reply.status, {
        'content-type': 'application/json',
        ...(reply.retryAfterSeconds !== undefined && { 'retry-after': String(reply.retryAfterSeconds) }),
      })
      response.end(
        JSON.stringify({ error: { message: 'no', type: 'server_error', param: null, code: null } }),
      )
      return
    }
    if ('fault' in reply && reply.fault === 'silent') return
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const stream = new Stream(response, body.model)
    stream.delta({ role: 'assistant', content: '' })
    if ('fault' in reply) await this.#fail(reply, stream, response)
    else await this.#speak(reply, stream)
  }

  async #speak(reply: { text?: string; calls?: readonly SpokenCall[] }, stream: Stream): Promise<void> {
    stream.text(reply.text ?? '')
    for (const [index, call] of (reply.calls ?? []).entries()) stream.call(index, call)
    stream.finish(reply.calls ? 'tool_calls' : 'stop')
  }

  async #fail(reply: Extract<Reply, { fault: string }>, stream: Stream, response: ServerResponse) {
    if (reply.fault === 'error_in_stream') {
      stream.text(reply.text)
      stream.event({
        error: { message: 'The server had an error', type: 'server_error', param: null, code: null },
      })
      response.end()
    } else if (reply.fault === 'cut') {
      stream.text(reply.text)
      setImmediate(() => response.destroy())
    } else if (reply.fault === 'cut_in_arguments') {
      const { arguments: written, name } = reply.call
      stream.call(0, { name, arguments: written.slice(0, written.length / 2) })
      setImmediate(() => response.destroy())
    } else if (reply.fault === 'stalls') {
      stream.text(reply.text)
    } else if (reply.fault === 'no_finish') {
      stream.text(reply.text)
      response.end()
    } else if (reply.fault === 'not_json') {
      response.end('data: {"choices": [{\n\n')
    }
  }
}

class Stream {
  readonly #response: ServerResponse
  readonly #model: string

  constructor(response: ServerResponse, model: string) {
    this.#response = response
    this.#model = model
  }

  event(data: unknown): void {
    this.#response.write(`data: ${JSON.stringify(data)}\n\n`)
  }

  delta(delta: object, finishReason: string | null = null): void {
    this.event({
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1_700_000_000,
      model: this.#model,
      choices: [{ index: 0, delta, finish_reason: finishReason }],
    })
  }

  text(text: string): void {
    for (let at = 0; at < text.length; at += pieceLength)
      this.delta({ content: text.slice(at, at + pieceLength) })
  }

  call(index: number, call: SpokenCall): void {
    const { id = `call_${index}`, name } = call
    this.delta({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] })
    const size = Math.max(pieceLength, Math.ceil(call.arguments.length / 50))
    for (let at = 0; at < call.arguments.length; at += size) {
      this.delta({ tool_calls: [{ index, function: { arguments: call.arguments.slice(at, at + size) } }] })
    }
  }

  finish(reason: 'stop' | 'tool_calls'): void {
    this.delta({}, reason)
    this.event({
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1_700_000_000,
      model: this.#model,
      choices: [],
      usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 },
    })
    this.#response.end('data: [DONE]\n\n')
  }
}
