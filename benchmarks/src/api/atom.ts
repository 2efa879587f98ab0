import { createApp } from '../../../server/src/app.ts'
import { readConfig } from '../../../server/src/config.ts'
import { createLog } from '../../../server/src/foundation/log.ts'
import { LogSink } from '../../../server/src/foundation/log-sink.ts'
import { LogTail } from '../../../server/src/foundation/log-tail.ts'
import { benchmarkRoutes, item, tellProcessorTime } from './exchange.ts'

// Atom for the benchmark `api`: all of it, put together by `createApp`, with doors behind which nothing is done.

const config = readConfig()
const logTail = new LogTail()
const app = await createApp(config, {
  // As `serve` writes it; but where it is told so every line is written, and not the 200 a second of one kind.
  log: createLog({
    level: config.logLevel,
    write: LogSink.open().write,
    tail: logTail,
    ...(process.env['EVERY_LINE'] === '1' && { noise: { perSecond: 1e9, burst: 1e9 } }),
  }),
  logTail,
  // It looks and counts as ever; but what other programs take of the machine shall turn nobody away.
  shedding: { waitMs: 60_000 },
  doors: ({ guard }) => {
    const answer = { status: 200, body: item } as const
    for (const route of Object.values(benchmarkRoutes)) guard(route, async () => answer)
  },
})
await app.listen()
tellProcessorTime(app.url)
process.once('SIGTERM', () => void app[Symbol.asyncDispose]().then(() => process.exit(0)))
