import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

interface Pair {
  readonly near: Socket
  readonly far: Socket
  /** Swallows everything, and tells neither side of anything. */
  halfOpen: boolean
}

/** At a throttled pace bytes travel in pieces of this size, so that a long frame really takes its time. */
const pieceBytes = 512

/**
 * The way of one device to the servers, as a load balancer with a bad network in front of it: each new connection goes to a
 * server that the choice names, and what is connected can be reset, throttled, or left half open.
 */
export class FaultyLine implements AsyncDisposable {
  readonly #server: Server
  readonly #choose: () => number | undefined
  readonly #pairs = new Set<Pair>()
  #bytesPerSecond: number | undefined

  private constructor(server: Server, choose: () => number | undefined) {
    this.#server = server
    this.#choose = choose
  }

  /** @param choose the port for the next connection; undefined: refused */
  static async open(choose: () => number | undefined): Promise<FaultyLine> {
    const server = createServer()
    const line = new FaultyLine(server, choose)
    server.on('connection', (near) => line.#connected(near))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return line
  }

  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the line is closed')
    return `http://127.0.0.1:${address.port}`
  }

  /** Resets what is connected; new connections are taken at once. How many there were. */
  cut(): number {
    const { size } = this.#pairs
    for (const pair of this.#pairs) destroy(pair)
    return size
  }

  /** What is connected now goes dumb: neither side learns of it, not even when the other one dies. How many there were. */
  halfOpen(): number {
    for (const pair of this.#pairs) pair.halfOpen = true
    return this.#pairs.size
  }

  /** How many connections are slow from now on, beside those to come. */
  throttle(bytesPerSecond: number): number {
    this.#bytesPerSecond = bytesPerSecond
    return this.#pairs.size
  }

  /** As it should be: full speed, and what was half open is reset. */
  mend(): void {
    this.#bytesPerSecond = undefined
    for (const pair of this.#pairs) if (pair.halfOpen) destroy(pair)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #connected(near: Socket): void {
    // A reset of the other side is an event of the network here, and not an error of anybody.
    near.on('error', () => near.destroy())
    const port = this.#choose()
    if (port === undefined) {
      near.destroy()
      return
    }
    const far = connect({ port, host: '127.0.0.1', noDelay: true })
    near.setNoDelay(true)
    far.on('error', () => far.destroy())
    const pair: Pair = { near, far, halfOpen: false }
    this.#pairs.add(pair)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      void this.#pump(pair, one, other)
      one.on('close', () => {
        if (pair.halfOpen) return
        other.destroy()
        this.#pairs.delete(pair)
      })
    }
  }

  /** Never rejects: a connection that breaks ends its pump. */
  async #pump(pair: Pair, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        let rest = chunk
        while (rest.length > 0 && !pair.halfOpen) {
          const rate = this.#bytesPerSecond
          const piece = rate === undefined ? rest : rest.subarray(0, pieceBytes)
          rest = rest.subarray(piece.length)
          if (rate !== undefined) await delay((piece.length / rate) * 1_000)
          if (!to.destroyed && !to.write(piece)) await takesMore(to)
        }
      }
      if (!pair.halfOpen) to.end()
    } catch {
      // It broke: `close` follows on the same socket, and does what there is to do.
    }
  }
}

function destroy(pair: Pair): void {
  pair.halfOpen = false
  pair.near.resetAndDestroy()
  pair.far.resetAndDestroy()
}

function takesMore(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    socket.on('drain', done)
    socket.on('close', done)
    if (socket.destroyed) done()
  })
}
