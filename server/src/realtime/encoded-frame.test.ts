import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EncodedFrame, textMessage } from './encoded-frame.ts'

/** What a client reads out of one message of a server (RFC 6455 5.2). */
function read(bytes: Buffer): { final: boolean; opcode: number; masked: boolean; text: string } {
  const [first = 0, second = 0] = bytes
  const short = second & 0x7f
  const [length, head] =
    short < 126
      ? [short, 2]
      : short === 126
        ? [bytes.readUInt16BE(2), 4]
        : [Number(bytes.readBigUInt64BE(2)), 10]
  assert.equal(bytes.length, head + length, 'the header says how long it is')
  // The shortest header that can say it is the only one allowed.
  assert.equal(head, length < 126 ? 2 : length < 65_536 ? 4 : 10)
  return {
    final: (first & 0x80) !== 0,
    opcode: first & 0x7f,
    masked: (second & 0x80) !== 0,
    text: bytes.toString('utf8', head),
  }
}

test('[RT95] a frame for many is one whole WebSocket message, at every length that its header can have', () => {
  for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]) {
    const text = 'é'.repeat(Math.floor(length / 2)) + 'x'.repeat(length % 2)
    assert.deepEqual(read(textMessage(text)), { final: true, opcode: 1, masked: false, text })
  }
})

test('[RT95] what a socket is handed directly is what the engine would have sent', () => {
  const frame = EncodedFrame.of('spread', { spreadMs: 1_000 })
  assert.equal(frame.packet, '2["spread",{"spreadMs":1000}]')
  assert.equal(read(frame.bytes).text, `4${frame.packet}`)
})
