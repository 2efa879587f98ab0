import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** The network between a client and a server: it can be cut, go silent, or swallow what one side says. */
export class Line implements AsyncDisposable {
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  readonly #live = new Set<readonly [Socket, Socket]>()
  #down = false

  private constructor(server: Server) {
    this.#server = server
  }

  static async to(port: number): Promise<Line> {
    const server = createServer({ allowHalfOpen: false })
    const line = new Line(server)
    server.on('connection', (near) => {
      if (line.#down) {
        near.destroy()
        return
      }
      const far = connect(port, '127.0.0.1')
      const pair = [near, far] as const
      line.#pairs.add(pair)
      near.once('data', (first: Buffer) => {
        if (first.includes('GET /socket.io')) line.#live.add(pair)
      })
      near.pipe(far)
      far.pipe(near)
      for (const [one, other] of [pair, pair.toReversed()] as [Socket, Socket][]) {
        one.on('error', () => other.destroy())
        one.on('close', () => {
          other.destroy()
          line.#pairs.delete(pair)
          line.#live.delete(pair)
        })
      }
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return line
  }

  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the line is closed')
    return `http://127.0.0.1:${address.port}`
  }

  /** Breaks every connection; new ones are refused until `mend`. */
  cut(): void {
    this.#down = true
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  mend(): void {
    this.#down = false
  }

  /** Breaks what is connected, and lets come back at once. */
  blink(): void {
    this.cut()
    this.mend()
  }

  /** Nothing of what the server says arrives any more, on the connections of now: both sides believe they stand. */
  deafen(): void {
    for (const [near, far] of this.#pairs) {
      far.unpipe(near)
      far.resume()
    }
  }

  /** A text frame to everybody, as if the server had said it; at a moment when it says nothing itself. */
  inject(text: string): void {
    const payload = Buffer.from(text)
    if (payload.length > 125) throw new Error('longer than a frame with a short header')
    for (const [near] of this.#live) near.write(Buffer.concat([Buffer.from([0x81, payload.length]), payload]))
  }

  /** How many live sockets stand; plain requests are not among them. */
  get sockets(): number {
    return this.#live.size
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
