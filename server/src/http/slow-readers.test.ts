import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { SlowReaders } from './slow-readers.ts'

const mebibyte = 1024 * 1024

test('[LS10] an answer that is one write is judged by what the kernel takes of it, not by its end', async () => {
  const answer = Buffer.alloc(128 * mebibyte)
  const ends: Socket[] = []
  await using server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    ends.push(socket)
    socket.write(answer)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const reader = async () => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => socket.destroy()).pause()
    await once(socket, 'connect')
    return socket
  }
  const steady = await reader()
  const stalled = await reader()
  try {
    let now = 0
    const readers = new SlowReaders({ overMs: 1_000, bytes: 8 * 1024 }, () => now)
    // More than the kernel holds between the two, so that it must have taken something meanwhile.
    const step = 16 * mebibyte
    let read = 0
    steady.on('data', (chunk: Buffer) => {
      read += chunk.length
      if (read % step < chunk.length) steady.pause()
    })
    for (let at = 1; at * step < answer.length; at++) {
      steady.resume()
      while (read < at * step) await once(steady, 'pause')
      readers.look(ends.filter((end) => !end.destroyed))
      now += 600
    }
    assert.ok(!steady.destroyed && ends.filter((end) => !end.destroyed).length === 1)
    assert.equal(readers.ended, 1)
  } finally {
    steady.destroy()
    stalled.destroy()
  }
})
