import type { IncomingMessage } from 'node:http'
import type { FrameError } from '@atom/contract/errors.ts'
import { Handshake, protocolVersion } from '@atom/contract/socket.ts'
import { Compile } from 'typebox/compile'
import type { OwnPages } from '#access/own-pages.ts'
import type { AccessTokens, VerifiedToken } from '#access/tokens.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'

export interface Admitted {
  readonly token: VerifiedToken
  readonly deviceId: string | undefined
  /** By room id in lower case. */
  readonly cursors: ReadonlyMap<string, { readonly epoch: string; readonly seq: number }>
}

const handshakes = Compile(Handshake)
const roomId = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Who may open a socket at all: first by the request, before anything is built for it, then by what the client says of itself. */
export class Admission {
  readonly #tokens: Pick<AccessTokens, 'verify'>
  readonly #crossOrigin: OwnPages
  readonly #mostSockets: number
  readonly #open: () => number
  #closed = false

  constructor(options: {
    readonly tokens: Pick<AccessTokens, 'verify'>
    readonly crossOrigin: OwnPages
    /** How many sockets this process serves. */
    readonly mostSockets: number
    /** How many it has. */
    readonly open: () => number
  }) {
    this.#tokens = options.tokens
    this.#crossOrigin = options.crossOrigin
    this.#mostSockets = options.mostSockets
    this.#open = options.open
  }

  /** From now on everybody is told to come back in a moment. */
  close(): void {
    this.#closed = true
  }

  /** Throws `draining`, `busy` or `origin_refused`. */
  request(request: IncomingMessage): void {
    if (this.#closed) throw new AtomError('draining')
    if (this.#open() >= this.#mostSockets) {
      throw new AtomError('busy', 'This server has as many live connections as it takes.', {
        retryAfterMs: 5_000,
      })
    }
    const { origin, host } = request.headers
    // A WebSocket upgrade carries no cookie of ours and the token comes later, so this is a second wall, not the first.
    if (origin !== undefined) this.#crossOrigin.requireOwn({ origin, host })
  }

  /** Throws `frame_malformed`, `protocol_unsupported`, or what the token deserves. */
  async handshake(auth: unknown): Promise<Admitted> {
    if (!handshakes.Check(auth)) {
      throw new AtomError(
        'frame_malformed',
        'The handshake needs `auth: { token }` with an access token, and optionally `deviceId`, `cursors` and `v`.',
      )
    }
    if (auth.v !== undefined && auth.v !== protocolVersion) {
      throw new AtomError(
        'protocol_unsupported',
        `This server speaks version ${protocolVersion}. Reload the page or update the client.`,
      )
    }
    const cursors = new Map(
      Object.entries(auth.cursors ?? {}).map(([id, cursor]) => [id.toLowerCase(), cursor]),
    )
    for (const id of cursors.keys()) {
      if (!roomId.test(id)) throw new AtomError('frame_malformed', 'The keys of `cursors` must be room ids.')
    }
    return { token: await this.#tokens.verify(auth.token), deviceId: auth.deviceId, cursors }
  }
}

/** An error as it travels in an acknowledgement. */
export function frameError(thrown: unknown): FrameError {
  const { code, detail, row, retryAfterMs } = asAtomError(thrown)
  return {
    code,
    detail,
    retryable: row.retryable,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}
