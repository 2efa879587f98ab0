import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import pg from 'pg'
import type { DatabaseAddress } from '#foundation/database/pool.ts'

/** A network between Atom and its database that can be taken away, in the ways networks go. */
export class Network implements AsyncDisposable {
  readonly #target: net.NetConnectOpts
  readonly #sockets = new Set<Socket>()
  #server: net.Server | undefined
  #port = 0

  private constructor(target: net.NetConnectOpts) {
    this.#target = target
  }

  static async before(address: DatabaseAddress): Promise<Network> {
    const { host, port } = new pg.Client(address)
    const network = new Network(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port })
    await network.open()
    return network
  }

  /** Before something that listens on this machine. */
  static async beforePort(port: number): Promise<Network> {
    const network = new Network({ host: '127.0.0.1', port })
    await network.open()
    return network
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: '127.0.0.1', port: this.#port }
  }

  async open(): Promise<void> {
    this.#server = net.createServer((near) => {
      const far = net.connect(this.#target)
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
    })
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Ends every connection and refuses new ones. */
  async cut(): Promise<void> {
    const closed = this.#server && once(this.#server, 'close')
    this.#server?.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** Nothing passes any more, and nobody is told. */
  freeze(): void {
    for (const socket of this.#sockets) {
      socket.unpipe()
      socket.pause()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cut()
  }
}
