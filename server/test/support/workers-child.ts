import cluster from 'node:cluster'
import { createLog } from '#foundation/log.ts'
import { isLostWord, Workers } from '../../src/commands/workers.ts'

// Real workers that serve nothing: told by SIGUSR2, one stands still for ever. The process that started them says what happens
// on standard output, as the server does. Its argument is when a worker counts as stuck, in ms.

if (cluster.isWorker) {
  process.on('SIGUSR2', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
  process.on('message', (word) => {
    if (isLostWord(word)) process.stdout.write(`${JSON.stringify({ msg: 'told', lost: word.lost })}\n`)
    else process.exit(0)
  })
  process.send?.({ ready: true, url: '', setupUrl: undefined })
  setInterval(() => process.send?.({ beat: true }), 50)
} else {
  const workers = new Workers({
    count: 2,
    environment: {},
    drainMs: 1_000,
    stuckMs: Number(process.argv[2]),
    log: createLog({ level: 'info' }),
  })
  await workers.start()
  process.once('SIGTERM', () => void workers.drain({ patient: false, watched: false }))
}
