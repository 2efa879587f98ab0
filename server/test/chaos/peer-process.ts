// A chat server as Socket.IO's own documentation builds it: rooms, broadcasts, acknowledgements, and connection state recovery
// for two minutes. For `npm run chaos -- --peer socket.io`, which does to it what is done to Atom.
import { Server } from 'socket.io'

const io = new Server(Number(process.env['PEER_PORT']), {
  transports: ['websocket'],
  connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
})
io.on('connection', (socket) => {
  socket.on('join', (room: string) => void socket.join(room))
  socket.on('say', (room: string, id: string, acknowledge: () => void) => {
    io.to(room).emit('said', room, id)
    acknowledge()
  })
})
process.once('SIGTERM', () => void io.close().then(() => process.exit(0)))
process.stdout.write('ready\n')
