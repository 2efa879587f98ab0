import { createApp } from '../../../server/src/app.ts'
import { readConfig } from '../../../server/src/config.ts'
import { createLog } from '../../../server/src/foundation/log.ts'
import { LogSink } from '../../../server/src/foundation/log-sink.ts'
import { LogTail } from '../../../server/src/foundation/log-tail.ts'
import { benchmarkRoutes, item, paths, tellProcessorTime } from './exchange.ts'

// Atom for the benchmark `api`: all of it, put together by `createApp`, with doors behind which nothing is done.

const config = readConfig()
const logTail = new LogTail()
const app = await createApp(config, {
  // As `serve` writes it.
  log: createLog({ level: config.logLevel, write: LogSink.open().write, tail: logTail }),
  logTail,
  doors: ({ guard }, http) => {
    const answer = { status: 200, body: item } as const
    for (const route of Object.values(benchmarkRoutes)) guard(route, async () => answer)
    http.get(`${paths.bare}/:id`, async (_request, reply) => reply.send(item))
  },
})
await app.listen()
tellProcessorTime(app.url)
process.once('SIGTERM', () => void app[Symbol.asyncDispose]().then(() => process.exit(0)))
