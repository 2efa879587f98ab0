import cluster from 'node:cluster'
import { mkdirSync } from 'node:fs'
import { createLog } from '#foundation/log.ts'
import { isLostWord, Workers } from '../../src/commands/workers.ts'

// Real workers that serve nothing: told by SIGUSR2, one stands still for ever. The process that started them says what happens
// on standard output, as the server does. Its argument is when a worker counts as stuck, in ms; where a folder to make is named
// behind it, the worker that makes it is killed before it serves.

const [stuckMs, folder] = process.argv.slice(2)

if (cluster.isWorker) {
  if (folder !== undefined && makes(folder)) process.kill(process.pid, 'SIGKILL')
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
    stuckMs: Number(stuckMs),
    log: createLog({ level: 'info' }),
  })
  await workers.start()
  process.once('SIGTERM', () => void workers.drain({ patient: false, watched: false }))
}

function makes(path: string): boolean {
  try {
    mkdirSync(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}
