import type { ServerFrame, ServerFrameName } from '@atom/contract/socket.ts'

/** A text message that is whole (RFC 6455 5.2). What a server sends is not masked. */
const wholeText = 0x81
/** Instead of a length: it follows in two bytes, or in eight. */
const inTwoBytes = 126
const inEightBytes = 127

/**
 * A frame as it goes out, made once however many sockets it goes to: what Engine.IO is handed, and the WebSocket message in
 * one piece, so that sending it is one write.
 */
export class EncodedFrame {
  /** An event of the main namespace (Socket.IO protocol 5, packet type 2). */
  readonly packet: string
  /** For `Socket.send` of Engine.IO: with it the engine encodes nothing itself. */
  readonly options: { readonly compress: boolean; readonly wsPreEncodedFrame: readonly [Buffer] }

  private constructor(packet: string) {
    this.packet = packet
    this.options = { compress: false, wsPreEncodedFrame: [textMessage(`4${packet}`)] }
  }

  static of<N extends ServerFrameName>(name: N, frame: ServerFrame<N>): EncodedFrame {
    return new EncodedFrame(`2${JSON.stringify([name, frame])}`)
  }

  get bytes(): Buffer {
    return this.options.wsPreEncodedFrame[0]
  }
}

/** A WebSocket message of its own. */
export function textMessage(text: string): Buffer {
  const length = Buffer.byteLength(text)
  const head = length < inTwoBytes ? 2 : length < 0x1_0000 ? 4 : 10
  const bytes = Buffer.allocUnsafe(head + length)
  bytes[0] = wholeText
  if (head === 2) bytes[1] = length
  else if (head === 4) {
    bytes[1] = inTwoBytes
    bytes.writeUInt16BE(length, 2)
  } else {
    bytes[1] = inEightBytes
    bytes.writeUInt32BE(0, 2)
    bytes.writeUInt32BE(length, 6)
  }
  bytes.write(text, head)
  return bytes
}
