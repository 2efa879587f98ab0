import { createApp } from '../../../server/src/app.ts'
import { readConfig } from '../../../server/src/config.ts'

// Atom for the benchmark `overload`: all of it, as it protects itself, or (UNPROTECTED=1) with sensors that see no load.

const app = await createApp(
  readConfig(),
  process.env['UNPROTECTED'] === '1'
    ? { shedding: { utilisation: () => 0, queue: () => ({ waiting: 0, longestMs: 0 }) } }
    : {},
)
await app.listen()
process.send?.({ url: app.url })
process.once('SIGTERM', () => void app[Symbol.asyncDispose]().then(() => process.exit(0)))
