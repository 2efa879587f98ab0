import { createHash } from 'node:crypto'
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { errorTable, type FrameError } from '@atom/contract/errors.ts'

/** How long somebody who is turned away may take to read it. */
const turnAwayMs = 1_000
/** RFC 6455, section 1.3. */
const webSocketMark = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** RFC 6455, section 7.4.1, and the IANA registry: "try again later". */
const tryAgainLater = 1013
const opcode = { text: 0x1, close: 0x8 } as const

/**
 * Answers a request that asked for a WebSocket, before there is one; nothing of Socket.IO is built for it, and the connection
 * is gone a second later at the latest.
 *
 * A page is shown neither status, nor headers, nor body of a refused upgrade, so it could not learn when to come back. Whoever
 * can read it that way (`readsFrames`) is answered with the few frames that a Socket.IO server would refuse a handshake with:
 * the client hears `connect_error` with the same `FrameError`. Everybody else gets the HTTP answer.
 */
export function turnAway(request: IncomingMessage, refusal: FrameError): void {
  const tcp: Duplex = request.socket
  // It may be gone before it has read that it is not wanted.
  tcp.on('error', () => tcp.destroy())
  tcp.end(readsFrames(request, refusal) ? inFrames(request, refusal) : inHttp(refusal))
  // What the client says meanwhile is not read by anybody; left unread, it would cut the answer off.
  tcp.resume()
  const cut = setTimeout(() => tcp.destroy(), turnAwayMs)
  tcp.once('close', () => clearTimeout(cut))
}

/** Only what passes: a foreign page is not even given a WebSocket to be refused on. */
function readsFrames({ headers, url }: IncomingMessage, { code }: FrameError): boolean {
  if (code !== 'busy' && code !== 'draining' && code !== 'rate_limited') return false
  const asks = headers.origin !== undefined || /[?&]refusal=frame(&|$)/.test(url ?? '')
  const key = headers['sec-websocket-key'] ?? ''
  return asks && headers['sec-websocket-version'] === '13' && /^[A-Za-z0-9+/]{22}==$/.test(key)
}

function inFrames({ headers }: IncomingMessage, refusal: FrameError): Buffer {
  const accept = createHash('sha1').update(`${headers['sec-websocket-key']}${webSocketMark}`).digest('base64')
  const head = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${accept}`,
  ]
  // Engine.IO protocol 4 opens with these; the times say how long a client would wait for a heartbeat.
  const open = {
    sid: 'refused',
    upgrades: [],
    pingInterval: turnAwayMs,
    pingTimeout: turnAwayMs,
    maxPayload: 1,
  }
  const reason = Buffer.alloc(2)
  reason.writeUInt16BE(tryAgainLater)
  return Buffer.concat([
    Buffer.from(`${head.join('\r\n')}\r\n\r\n`),
    frame(opcode.text, Buffer.from(`0${JSON.stringify(open)}`)),
    // Engine.IO `message`, Socket.IO `CONNECT_ERROR`.
    frame(opcode.text, Buffer.from(`44${JSON.stringify({ message: refusal.code, data: refusal })}`)),
    frame(opcode.close, reason),
  ])
}

/** One whole frame of a server: never masked, and short enough for two bytes of length (RFC 6455, section 5.2). */
function frame(code: number, payload: Buffer): Buffer {
  const head =
    payload.length < 126
      ? Buffer.from([0x80 | code, payload.length])
      : Buffer.from([0x80 | code, 126, payload.length >> 8, payload.length & 0xff])
  return Buffer.concat([head, payload])
}

function inHttp(refusal: FrameError): string {
  const { status } = errorTable[refusal.code]
  const body = JSON.stringify(refusal)
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(refusal.retryAfterMs === undefined
      ? []
      : [`Retry-After: ${Math.ceil(refusal.retryAfterMs / 1_000)}`]),
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
