import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Log } from '#foundation/log.ts'
import { networkOf } from '#foundation/network-address.ts'

export interface MostConnections {
  /** TCP connections of this process, WebSockets among them. */
  readonly inAll: number
  /** Of them, from one address; of IPv6, from one network of 64 bits. */
  readonly perAddress: number
}

/** More than the sockets that a process serves, so that they meet their own limits first and are told. */
export const defaultMostConnections: MostConnections = { inAll: 25_000, perAddress: 6_000 }

const sayEveryMs = 60_000

/** How many connections a process holds, in all and from one address. Who is one too many is closed before it has said a word. */
export class ConnectionLimits {
  readonly #most: MostConnections
  readonly #log: Log
  readonly #isProxy: (address: string) => boolean
  readonly #open = new Set<Socket>()
  readonly #byAddress = new Map<string, number>()
  #saidAt = Number.NEGATIVE_INFINITY
  refused = 0
  /** Who has come in since the start, those who were closed at once among them. */
  accepted = 0

  /** `isProxy`: whose connections carry other people's requests; one of them is not one caller. */
  constructor(options: {
    readonly most: MostConnections
    readonly isProxy: (address: string) => boolean
    readonly log: Log
  }) {
    this.#most = options.most
    this.#isProxy = options.isProxy
    this.#log = options.log
  }

  get open(): ReadonlySet<Socket> {
    return this.#open
  }

  watch(server: Server): void {
    server.maxConnections = this.#most.inAll
    server.on('drop', () => this.#refuse('connections are refused: as many are open as this process takes'))
    server.on('connection', (socket: Socket) => this.#enter(socket))
  }

  #enter(socket: Socket): void {
    this.accepted++
    const address = socket.remoteAddress ?? ''
    const from = this.#isProxy(address) ? undefined : networkOf(address)
    if (from !== undefined) {
      const already = this.#byAddress.get(from) ?? 0
      if (already >= this.#most.perAddress) {
        socket.destroy()
        this.#refuse(
          'connections of one address are refused; is it a proxy of yours? Then name it in ATOM_TRUSTED_PROXIES',
          from,
        )
        return
      }
      this.#byAddress.set(from, already + 1)
    }
    this.#open.add(socket)
    socket.once('close', () => {
      this.#open.delete(socket)
      if (from === undefined) return
      const left = (this.#byAddress.get(from) ?? 1) - 1
      if (left > 0) this.#byAddress.set(from, left)
      else this.#byAddress.delete(from)
    })
  }

  #refuse(why: string, address?: string): void {
    this.refused++
    const now = performance.now()
    if (now - this.#saidAt < sayEveryMs) return
    this.#saidAt = now
    this.#log.warn({ open: this.#open.size, ...(address !== undefined && { address }) }, why)
  }
}
