import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { FrameError } from '@atom/contract/errors.ts'
import type { CloseReason, Handshake, ServerFrame } from '@atom/contract/socket.ts'
import { Server, type Socket } from 'socket.io'

/**
 * A real Socket.IO server that speaks the contract and does what a test says: for moments that the whole server reaches only
 * after minutes (a token's end) or only while it is going away.
 */
export class ScriptedServer implements AsyncDisposable {
  readonly handshakes: Handshake[] = []
  readonly frames: { readonly name: string; readonly body: unknown; readonly context?: unknown }[] = []
  readonly sockets: Socket[] = []
  /** What the next handshakes are refused with, the first one first. */
  readonly refusals: FrameError[] = []
  /** Runs before a handshake is answered. */
  onHandshake: () => Promise<void> = () => Promise.resolve()
  spreadMs = 0
  /** Frames are heard, and not answered. */
  mute = false
  /** Answers wait in `held` for the test to give them. */
  holding = false
  readonly held: (() => void)[] = []
  readonly #http = createServer()
  readonly #io: Server

  private constructor() {
    this.#io = new Server(this.#http, { path: '/socket.io', transports: ['websocket'] })
    this.#io.use((socket, next) => {
      this.handshakes.push(socket.handshake.auth as Handshake)
      const refusal = this.refusals.shift()
      const error =
        refusal === undefined ? undefined : Object.assign(new Error(refusal.code), { data: refusal })
      void this.onHandshake().then(() => next(error))
    })
    this.#io.on('connection', (socket) => {
      this.sockets.push(socket)
      socket.onAny((name: string, ...said: unknown[]) => {
        const acknowledge = said.find((each) => typeof each === 'function')
        const [body, context] = said.filter((each) => each !== acknowledge)
        this.frames.push({ name, body, ...(context === undefined ? {} : { context }) })
        const answer = () => acknowledge?.(answerTo(name, body))
        if (this.holding) this.held.push(answer)
        else if (!this.mute) answer()
      })
      const hello: ServerFrame<'hello'> = {
        deviceId: 'a-test-device',
        spreadMs: this.spreadMs,
        expiresInMs: 600_000,
        v: 1,
        rooms: {},
      }
      socket.emit('hello', hello)
    })
  }

  static async open(): Promise<ScriptedServer> {
    const server = new ScriptedServer()
    server.#http.listen(0, '127.0.0.1')
    await once(server.#http, 'listening')
    return server
  }

  get url(): string {
    const address = this.#http.address()
    if (address === null || typeof address === 'string') throw new Error('the server is closed')
    return `http://127.0.0.1:${address.port}`
  }

  get last(): Socket {
    const socket = this.sockets.at(-1)
    if (socket === undefined) throw new Error('nobody has come yet')
    return socket
  }

  /** As the real one closes: a word, then the transport. */
  close(socket: Socket, reason: CloseReason): void {
    socket.emit('closing', { reason })
    socket.conn.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#io.close()
  }
}

function answerTo(name: string, body: unknown): unknown {
  if (name !== 'message.send') return { ok: true, expiresInMs: 600_000 }
  const { items } = body as { readonly items: readonly unknown[] }
  return { ok: true, results: items.map((_, at) => ({ ok: true, id: randomUUID(), seq: at + 1 })) }
}

/** Tokens as the account doors give them, `token-1`, `token-2`, …; for a `Session` that needs no server. */
export function tokenDoors(): { readonly fetch: typeof fetch; readonly issued: () => number } {
  let issued = 0
  const account = {
    id: randomUUID(),
    email: 'ada@example.org',
    name: 'Ada',
    createdAt: new Date(0).toISOString(),
  }
  return {
    issued: () => issued,
    fetch: async () => {
      issued += 1
      return Response.json({
        account,
        workspace: { id: randomUUID(), name: 'W' },
        role: 'owner',
        accessToken: `token-${issued}`,
        tokenType: 'Bearer',
        expiresIn: 600,
      })
    },
  }
}
