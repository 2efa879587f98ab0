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

  /** Part of an answer has left on this connection, and the rest is to come. */
  hasBegun(socket: Socket): boolean {
    const answer = this.#last.get(socket)
    return answer?.headersSent === true && !answer.writableFinished
  }

  /** Whether this connection has had an answer, or waits for one. */
  has(socket: Socket): boolean {
    return this.#last.has(socket)
  }

  get count(): number {
    let count = 0
    for (const answer of this.#last.values()) if (!answer.writableFinished) count++
    return count
  }

  /** No connection is used again after its answer. One that has begun, such as a stream, could not say so: it is closed then. */
  closeAfterwards(): void {
    for (const [socket, answer] of this.#last) {
      if (!answer.headersSent) answer.setHeader('connection', 'close')
      else if (!answer.writableFinished) answer.once('finish', () => socket.end())
    }
  }
}
