import { parseArgs } from 'node:util'
import { startSandbox } from './sandbox.ts'

const help = `Runs the provider sandbox alone: stand-ins for the providers on this machine.

  --data-dir <folder>   keep apps, consents, tokens and data there (in memory without it)
  --port <number>       listen there (any free port without it)
  --redirect-uri <uri>  let apps send people back to this address; may be given several times
`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'data-dir': { type: 'string' },
      port: { type: 'string' },
      'redirect-uri': { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(help)
    return
  }
  const { port, 'data-dir': dataDir } = values
  if (port !== undefined && !/^\d{1,5}$/.test(port)) throw new TypeError('--port takes a number.')
  const sandbox = await startSandbox({
    ...(dataDir === undefined ? undefined : { dataDir }),
    ...(port === undefined ? undefined : { port: Number(port) }),
    redirectUris: values['redirect-uri'],
  })
  process.stdout.write(`The sandbox listens on ${sandbox.url}\n`)
  const end = (): void => {
    void sandbox[Symbol.asyncDispose]()
  }
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
}

try {
  await main()
} catch (thrown) {
  process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n`)
  process.exitCode = thrown instanceof TypeError ? 2 : 1
}
