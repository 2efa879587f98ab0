// `npm run chaos -- --seed N --minutes 10 --nodes 3 --clients 40 --rooms 12 --redis`: the long run, with `--redis` over a
// Redis of its own (or one that REDIS_URL names, which is not killed), with `--workers 2` each node several processes. Ends with
// the verdict; its exit status is 0 where every promise was kept, 1 where not, 2 for a wrong call.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { runPeer } from './peer.ts'
import { reportOf } from './report.ts'
import { type ChaosOptions, runChaos } from './run.ts'

const usage =
  'Usage: npm run chaos -- [--seed N] [--minutes 10] [--nodes 3] [--clients 40] [--rooms 12] [--workers 2] [--redis] [--keep] [--peer socket.io]'

const { values } = parsed()
const seed = numberOf('seed', values.seed ?? String(randomInt(1, 1_000_000)))
const minutes = numberOf('minutes', values.minutes)
const nodes = numberOf('nodes', values.nodes)
const clients = numberOf('clients', values.clients)
const rooms = numberOf('rooms', values.rooms)
const workers = values.workers === undefined ? 0 : numberOf('workers', values.workers)
const command = `npm run chaos -- --seed ${seed} --minutes ${minutes} --nodes ${nodes} --clients ${clients} --rooms ${rooms}${workers > 0 ? ` --workers ${workers}` : ''}${values.redis ? ' --redis' : ''}`
const stepMs = 250

const hurry = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (hurry.signal.aborted) process.exit(130)
    console.log('No more faults; the check follows. Once more ends at once.')
    hurry.abort()
  })
}
const options: ChaosOptions = {
  seed,
  nodes,
  workers,
  clients,
  rooms,
  steps: Math.ceil((minutes * 60_000) / stepMs),
  stepMs,
  faults: 0.25,
  bursts: Math.max(1, clients / 12),
  changes: Math.max(2, Math.ceil(clients / 10)),
  floods: 0.004,
  longestFreeze: 60,
  database: 'own',
  breakModel: true,
  redis: values.redis ? 'own' : process.env['REDIS_URL'],
  quietWithinMs: 180_000,
  keep: values.keep,
  say: (line) => console.log(line),
  hurry: hurry.signal,
}
if (values.peer !== undefined) {
  if (values.peer !== 'socket.io') wrong(`--peer is "${values.peer}". The only peer is socket.io.`)
  console.log(`${command} --peer socket.io`)
  const { acknowledged, owed, delivered, doubled, faults, reconnects, recovered } = await runPeer(options)
  const share = (part: number) => `${((100 * part) / owed).toFixed(2)} %`
  console.log(
    `Socket.IO with connection state recovery, one server: ${acknowledged} acknowledged · ${faults} faults · ${reconnects} reconnects, ${recovered} of them recovered`,
  )
  console.log(
    `${share(delivered)} of ${owed} deliveries that are owed for acknowledged messages came, ${share(doubled)} came twice or more`,
  )
  process.exit(0)
}
console.log(command)
const outcome = await runChaos(options)
console.log(reportOf(outcome, command))
process.exit(outcome.violations.length === 0 ? 0 : 1)

function parsed() {
  try {
    return parseArgs({
      options: {
        seed: { type: 'string' },
        minutes: { type: 'string', default: '10' },
        nodes: { type: 'string', default: '3' },
        clients: { type: 'string', default: '40' },
        rooms: { type: 'string', default: '12' },
        workers: { type: 'string' },
        redis: { type: 'boolean', default: false },
        peer: { type: 'string' },
        keep: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error))
  }
}

function numberOf(name: string, text: string): number {
  const value = Number(text)
  return Number.isFinite(value) && value > 0 ? value : wrong(`--${name} is "${text}". Give a number above 0.`)
}

function wrong(sentence: string): never {
  console.error(`${sentence}\n${usage}`)
  process.exit(2)
}
