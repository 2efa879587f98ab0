import type { FrameError } from '@atom/contract/errors.ts'
import { errorTable } from '@atom/contract/errors.ts'
import type {
  Acknowledgement,
  ClientAnswer,
  ClientFrame,
  ClientFrameName,
  CloseReason,
  FrameContext,
  Handshake,
  ServerFrame,
  ServerFrameName,
} from '@atom/contract/socket.ts'
import { closeReasons, serverFrames } from '@atom/contract/socket.ts'
import { type Socket as IoSocket, io } from 'socket.io-client'
import { AtomClientError } from '../atom-client-error.ts'
import type { Loss } from './reconnect.ts'

/** A frame of the server, with its name telling its body. */
export type HeardFrame = {
  [N in ServerFrameName]: { readonly name: N; readonly body: ServerFrame<N> }
}[ServerFrameName]

const openWithinMs = 10_000

/**
 * One live WebSocket, from its handshake to its end; it never comes back, another one is opened. Socket.IO's buffering of
 * what was said while away is of no use here: `request` fails at once instead, and the outbox knows what is owed.
 */
export class Socket {
  readonly hello: ServerFrame<'hello'>
  /** Resolves when it is over, however that came. */
  readonly lost: Promise<Loss>
  readonly #socket: IoSocket
  readonly #deafen: () => void
  /** Questions without an answer yet. */
  #asked = 0
  #answered: (() => void) | undefined

  private constructor(
    socket: IoSocket,
    hello: ServerFrame<'hello'>,
    lost: Promise<Loss>,
    deafen: () => void,
  ) {
    this.#socket = socket
    this.hello = hello
    this.lost = lost
    this.#deafen = deafen
  }

  /**
   * Opens one and waits for its `hello`.
   *
   * @param heard every frame from `hello` on, in order
   * @throws AtomClientError the server's refusal, or `offline`, `timeout`
   */
  static open(options: {
    url: string
    auth: Handshake
    heard: (frame: HeardFrame) => void
    signal: AbortSignal
  }): Promise<Socket> {
    const socket = io(options.url, {
      path: '/socket.io',
      transports: ['websocket'],
      reconnection: false,
      forceNew: true,
      autoConnect: false,
      // A refusal before the handshake would else be an HTTP answer, which no client here can read.
      query: { refusal: 'frame' },
      auth: options.auth,
    })
    return new Promise<Socket>((resolve, reject) => {
      let over = (_: Loss): void => undefined
      const lost = new Promise<Loss>((end) => {
        over = end
      })
      const fail = (error: AtomClientError) => {
        settle()
        socket.disconnect()
        over({ kind: 'refused', error })
        reject(error)
      }
      const timer = setTimeout(() => fail(new AtomClientError('timeout')), openWithinMs)
      const aborted = () => fail(new AtomClientError('aborted'))
      const settle = () => {
        clearTimeout(timer)
        options.signal.removeEventListener('abort', aborted)
      }
      options.signal.addEventListener('abort', aborted)

      let closing: CloseReason | undefined
      let deaf = false
      for (const name of Object.keys(serverFrames) as ServerFrameName[]) {
        // The body is the contract's word, as with HTTP: both sides run the same version, the handshake has made sure.
        socket.on(name, (body: unknown) => {
          const frame = { name, body } as HeardFrame
          if (frame.name === 'closing' && frame.body.reason in closeReasons) closing = frame.body.reason
          if (frame.name === 'hello') {
            settle()
            resolve(
              new Socket(socket, frame.body, lost, () => {
                deaf = true
              }),
            )
          }
          if (!deaf) options.heard(frame)
        })
      }
      socket.on('connect_error', (error: Error & { data?: unknown }) => {
        fail(
          isFrameError(error.data)
            ? AtomClientError.fromFrame(error.data)
            : new AtomClientError('offline', { cause: error }),
        )
      })
      socket.on('disconnect', () => {
        if (closing !== undefined) over({ kind: 'closed', reason: closing })
        else over({ kind: 'dropped' })
        // Where it came before `hello`, the attempt has failed as well.
        fail(new AtomClientError('offline'))
      })
      if (options.signal.aborted) aborted()
      else socket.connect()
    })
  }

  /**
   * Sends a frame and waits for its acknowledgement.
   *
   * @throws AtomClientError the server's refusal, or `offline`, `timeout`: whether it took effect is then not known
   */
  async request<N extends ClientFrameName>(
    name: N,
    body: ClientFrame<N>,
    withinMs: number,
    context?: FrameContext,
  ): Promise<ClientAnswer<N>> {
    if (!this.#socket.connected) throw new AtomClientError('offline')
    let answer: Acknowledgement<N>
    this.#asked += 1
    try {
      const said = context?.traceparent === undefined ? [body] : [body, context]
      answer = (await this.#socket.timeout(withinMs).emitWithAck(name, ...said)) as Acknowledgement<N>
    } catch (thrown) {
      throw new AtomClientError(this.#socket.connected ? 'timeout' : 'offline', { cause: thrown })
    } finally {
      this.#asked -= 1
      if (this.#asked === 0) this.#answered?.()
    }
    if (answer.ok) return answer
    throw AtomClientError.fromFrame(answer.error)
  }

  /**
   * Another socket has taken over. What was asked here is still answered here, so that it need not be asked again; nothing
   * else is heard any more. Closes when all is answered, at the latest after `withinMs`.
   */
  retire(withinMs: number): void {
    this.#deafen()
    if (this.#asked === 0) {
      this.close()
      return
    }
    const timer = setTimeout(() => this.close(), withinMs)
    void this.lost.then(() => clearTimeout(timer))
    this.#answered = () => this.close()
  }

  close(): void {
    this.#socket.disconnect()
  }
}

function isFrameError(data: unknown): data is FrameError {
  return (
    typeof data === 'object' &&
    data !== null &&
    'code' in data &&
    typeof data.code === 'string' &&
    data.code in errorTable
  )
}
