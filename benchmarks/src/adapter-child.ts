// Socket.IO with its Redis adapter, one node of two, in a process of its own. `argv[2]` is the address of Redis; told `{ forMs,
// rooms }` over IPC it talks into so many rooms for so long, as fast as Redis takes it, and answers with how much it said.
import { createAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'

const address = process.argv[2] ?? ''
const redis = new Redis(address)
const io = new Server({ serveClient: false, adapter: createAdapter(redis, redis.duplicate()) })
const text = 'Nothing acknowledged is lost, and nothing is shown twice. '.repeat(4).slice(0, 200)
// So many are handed over between two looks at whether Redis has taken them.
const atOnce = 256

process.on('disconnect', () => process.exit())
process.on('message', async ({ forMs, rooms }: { forMs: number; rooms: number }) => {
  const until = performance.now() + forMs
  let said = 0
  while (performance.now() < until) {
    for (let message = 0; message < atOnce; message++) {
      io.to(`room ${said++ % rooms}`).emit('room.events', { seq: said, text })
    }
    await redis.ping()
  }
  process.send?.(said)
})
await redis.ping()
process.send?.('ready')
