import { Command } from 'commander'
import { readConfig } from '../config.ts'
import { createLog } from '../foundation/log.ts'

/** `atom serve`: runs until SIGTERM or SIGINT, which drain and exit 0; a second signal exits at once. */
export function serveCommand(): Command {
  return new Command('serve').description('run the server (what `npm start` does)').action(async () => {
    const began = performance.now()
    const config = readConfig()
    const log = createLog({ level: config.logLevel, readable: process.stdout.isTTY === true })
    const stopped = untilStopped()
    // Not before: what is wrong with a file of the server, such as a provider's, must not end the other commands.
    const { createApp } = await import('../app.ts')
    const app = await createApp(config, { log })
    try {
      await app.listen()
      const seconds = ((performance.now() - began) / 1000).toFixed(1)
      process.stdout.write(`\n  Atom is ready at ${app.url}  (${seconds} s)\n`)
      const setupUrl = await app.setupUrl()
      if (setupUrl !== undefined) process.stdout.write(`  Set it up here, the link works once: ${setupUrl}\n`)
      process.stdout.write('\n')
      const reason = await stopped
      if (reason instanceof Error) {
        log.fatal({ err: reason }, 'stopping after a failure')
        process.exitCode = 1
      } else {
        log.info({ signal: reason }, 'draining')
      }
    } finally {
      await app[Symbol.asyncDispose]()
    }
    log.info('stopped')
    // A library's forgotten timer must not keep a stopped server in the process list.
    process.exit()
  })
}

/** The first signal, or the first thing nobody caught. The second signal does not wait for the drain. */
function untilStopped(): Promise<NodeJS.Signals | Error> {
  return new Promise((resolve) => {
    let signalled = false
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (signalled) process.exit(130)
        signalled = true
        resolve(signal)
      })
    }
    const crash = (thrown: unknown) => resolve(thrown instanceof Error ? thrown : new Error(String(thrown)))
    process.on('uncaughtException', crash)
    process.on('unhandledRejection', crash)
  })
}
