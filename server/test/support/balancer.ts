import { once } from 'node:events'
import { Agent, get } from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'

interface Node {
  readonly url: URL
  ready: boolean
  /** A question that has no answer yet: an older answer never comes after a newer one. */
  asking: boolean
}

/**
 * A balancer as they are: it knows nothing of HTTP but `/ready`, which it asks each node again and again; a new connection goes to
 * the next node that said yes the last time, and stays there. It retries nothing.
 */
export class Balancer implements AsyncDisposable {
  readonly url: string
  readonly #nodes: readonly Node[]
  readonly #server: net.Server
  readonly #sockets = new Set<Socket>()
  readonly #asking: NodeJS.Timeout
  readonly #agent = new Agent({ keepAlive: false })
  #next = 0

  private constructor(nodes: readonly Node[], server: net.Server) {
    this.#nodes = nodes
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', (near) => this.#connect(near))
    this.#asking = setInterval(() => this.#ask(), 100)
    this.#ask()
  }

  static async before(urls: readonly string[]): Promise<Balancer> {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Balancer(
      urls.map((url) => ({ url: new URL(url), ready: false, asking: false })),
      server,
    )
  }

  /** How many nodes take traffic. */
  get ready(): number {
    return this.#nodes.filter(({ ready }) => ready).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#asking)
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    this.#agent.destroy()
    await closed
  }

  #ask(): void {
    for (const node of this.#nodes) {
      if (node.asking) continue
      node.asking = true
      get(new URL('/ready', node.url), { agent: this.#agent }, (answer) => {
        answer.resume()
        node.ready = answer.statusCode === 200
        node.asking = false
      }).once('error', () => {
        node.ready = false
        node.asking = false
      })
    }
  }

  #connect(near: Socket): void {
    const ready = this.#nodes.filter((node) => node.ready)
    const node = ready[this.#next++ % Math.max(1, ready.length)]
    if (node === undefined) {
      near.destroy()
      return
    }
    const far = net.connect(Number(node.url.port), node.url.hostname)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  }
}
