import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** The last answer of each connection: what a server that ends still owes. Costs one entry per connection, not per request. */
export class AnswersUnderWay {
  readonly #last = new Map<Socket, ServerResponse>()

  begin(answer: ServerResponse): void {
    const { socket } = answer
    if (socket === null) return
    if (!this.#last.has(socket)) socket.once('close', () => this.#last.delete(socket))
    this.#last.set(socket, answer)
  }

  get count(): number {
    let count = 0
    for (const answer of this.#last.values()) if (!answer.writableFinished) count++
    return count
  }

  /** An answer that has not begun yet tells its caller not to use the connection again. */
  closeAfterwards(): void {
    for (const answer of this.#last.values()) {
      if (!answer.headersSent) answer.setHeader('connection', 'close')
    }
  }
}
