import { Agent, request } from 'undici'
import { itemBytes, itemPath, newItemBytes, origin } from './exchange.ts'

export interface Question {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly token: string | undefined
}

const inFlight = 32

/** Asks the same again and again over kept connections. The agent outlives the rounds, so that no round pays for connecting. */
export class Load implements AsyncDisposable {
  readonly #agent = new Agent({ connections: inFlight, pipelining: 1 })

  /** @returns how many answers came, each of them the one that is right */
  async run({ url, method, token }: Question, forMs: number): Promise<number> {
    const address = `${url}${itemPath(method)}`
    // As a page of another origin asks.
    const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'benchmark', origin }
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`
    if (method === 'POST') headers['content-type'] = 'application/json'
    const options = {
      dispatcher: this.#agent,
      method,
      headers,
      ...(method === 'POST' && { body: newItemBytes }),
    }
    const until = performance.now() + forMs
    let answers = 0
    const worker = async () => {
      while (performance.now() < until) {
        const answer = await request(address, options)
        const text = await answer.body.text()
        if (answer.statusCode !== 200 || text !== itemBytes)
          throw new Error(`${method} ${address} answered ${answer.statusCode}: ${text.slice(0, 300)}`)
        answers++
      }
    }
    await Promise.all(Array.from({ length: inFlight }, worker))
    return answers
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#agent.destroy()
  }
}
