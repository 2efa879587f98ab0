import type { SignedIn } from '@atom/contract/accounts.ts'
import type { Room, RoomEvent } from '@atom/contract/rooms.ts'
import type {
  Acknowledgement,
  ClientFrame,
  ClientFrameName,
  RoomSignal,
  ServerFrame,
} from '@atom/contract/socket.ts'
import { io, type Socket } from 'socket.io-client'

/** How long anything may take before the measurement is given up. */
const patienceMs = 30_000

/** The first person of an installation, with ordinary clients: `fetch`, and Socket.IO's own. */
export class Visitor {
  readonly me: SignedIn
  readonly #url: string

  private constructor(url: string, me: SignedIn) {
    this.#url = url
    this.me = me
  }

  /** Through the setup link; signed in for ten minutes. */
  static async arrive(setupUrl: string): Promise<Visitor> {
    const { origin, hash } = new URL(setupUrl)
    const me = await answerOf<SignedIn>(
      await fetch(`${origin}/v1/setup`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          token: hash.replace('#token=', ''),
          name: 'Ada Lovelace',
          workspace: 'Analytical Engines',
          email: 'ada@example.com',
          password: 'seven calm otters sing',
        }),
        signal: AbortSignal.timeout(patienceMs),
      }),
    )
    return new Visitor(origin, me)
  }

  async rooms(): Promise<readonly Room[]> {
    return (await this.#call<{ items: readonly Room[] }>('GET', '/v1/rooms')).items
  }

  async createRoom(name: string): Promise<Room> {
    return await this.#call('POST', '/v1/rooms', { name })
  }

  /** A socket of its own, as one more device of the same person. */
  async connect(): Promise<Connection> {
    const socket = io(this.#url, {
      transports: ['websocket'],
      forceNew: true,
      reconnection: false,
      auth: { token: this.me.accessToken },
    })
    const connection = new Connection(socket)
    const welcomed = connection.next((frame) => (frame.name === 'hello' ? true : undefined))
    socket.once('connect_error', (error) => connection.fail(error))
    await welcomed
    return connection
  }

  async #call<T>(method: string, path: string, body?: object): Promise<T> {
    const headers = {
      authorization: `Bearer ${this.me.accessToken}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    }
    const answer = await fetch(`${this.#url}${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(patienceMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return await answerOf<T>(answer)
  }
}

type Frame =
  | { readonly name: 'hello' }
  | { readonly name: 'event'; readonly event: RoomEvent }
  | { readonly name: 'signal'; readonly signal: RoomSignal }

/** One connected socket. */
export class Connection implements Disposable {
  readonly #socket: Socket
  readonly #listeners = new Set<{ hear(frame: Frame): void; fail(error: Error): void }>()

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('hello', () => this.#hear({ name: 'hello' }))
    socket.on('room.events', ({ events }: ServerFrame<'room.events'>) => {
      for (const event of events) this.#hear({ name: 'event', event })
    })
    socket.on('room.signal', (signal: RoomSignal) => this.#hear({ name: 'signal', signal }))
    socket.on('closing', ({ reason }: ServerFrame<'closing'>) =>
      this.fail(new Error(`the server closed the socket: ${reason}`)),
    )
  }

  async ask<N extends ClientFrameName>(name: N, body: ClientFrame<N>): Promise<Acknowledgement<N>> {
    return (await this.#socket.timeout(patienceMs).emitWithAck(name, body)) as Acknowledgement<N>
  }

  /** The first thing that `pick` makes of a frame that arrives from now on. */
  async next<T extends {}>(pick: (frame: Frame) => T | undefined): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const listener = {
      hear: (frame: Frame) => {
        const picked = pick(frame)
        if (picked !== undefined) resolve(picked)
      },
      fail: reject,
    }
    this.#listeners.add(listener)
    const timer = setTimeout(() => reject(new Error(`nothing came for ${patienceMs} ms`)), patienceMs)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#listeners.delete(listener)
    }
  }

  fail(error: Error): void {
    for (const listener of this.#listeners) listener.fail(error)
  }

  [Symbol.dispose](): void {
    this.#socket.disconnect()
  }

  #hear(frame: Frame): void {
    for (const listener of this.#listeners) listener.hear(frame)
  }
}

async function answerOf<T>(response: Response): Promise<T> {
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as T
}
