import { createApp } from '../../../server/src/app.ts'
import { readConfig } from '../../../server/src/config.ts'

// Atom for the benchmark `proxy`: all of it, with its request log, and the upstream in the place of GitHub.

const upstream = process.env['UPSTREAM'] ?? ''
const view = {
  origins: {
    'https://github.com': `${upstream}/github.com`,
    'https://api.github.com': `${upstream}/api.github.com`,
  },
  apps: { github: { clientId: 'benchmark', clientSecret: 'benchmark-secret' } },
}
const app = await createApp(readConfig(), {
  // It looks and counts as ever; but a load that fills the machine on purpose shall not be turned away.
  shedding: { waitMs: 60_000 },
  sandbox: {
    providers: ['github'],
    running: () => view,
    open: async () => view,
    reach: () => [upstream],
  },
})
await app.listen()
process.send?.({ url: app.url })
process.once('SIGTERM', () => void app[Symbol.asyncDispose]().then(() => process.exit(0)))
