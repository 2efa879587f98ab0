import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { Server } from 'engine.io'

/** What clients of Socket.IO ask for, ours with its own word before it (`turnAway`). Everything else takes the engine's way. */
const plainUpgrade = /^\/socket\.io\/\?(?:refusal=frame&)?EIO=4&transport=websocket$/
const plainQuery = Object.freeze({ EIO: '4', transport: 'websocket' })

/** Of the engine, public in all but its types. */
interface Inside {
  readonly ws: {
    handleUpgrade(
      request: IncomingMessage,
      tcp: Duplex,
      head: Buffer,
      upgraded: (webSocket: unknown) => void,
    ): void
  }
  onWebSocket(request: IncomingMessage, tcp: Duplex, webSocket: unknown): void
}

/**
 * Engine.IO with a short way in for the request that nearly every client makes. Its own way reads the address as a URL, and
 * makes a response object that hangs on the connection and so keeps the request, with all its headers, for as long as the
 * socket lives: 3 KB of the 12 that a socket of Socket.IO holds.
 */
export class Engine extends Server {
  override handleUpgrade(request: IncomingMessage, tcp: Duplex, head: Buffer): void {
    const { allowRequest } = this.opts
    if (allowRequest === undefined || !plainUpgrade.test(request.url ?? '')) {
      super.handleUpgrade(request, tcp, head)
      return
    }
    Object.assign(request, { _query: plainQuery })
    // Who is not allowed has been answered by whoever refused it.
    allowRequest(request, (_refusal, allowed) => {
      if (!allowed) return
      const inside = this as unknown as Inside
      inside.ws.handleUpgrade(request, tcp, head, (webSocket) => inside.onWebSocket(request, tcp, webSocket))
    })
  }
}
