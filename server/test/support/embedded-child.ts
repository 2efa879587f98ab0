/**
 * An Atom that is nothing but its database, in a process that a test can kill. Takes `EmbeddedOptions` as JSON in its one
 * argument; says `ready` with the address, or `refused` with the sentence; stops in order when its input ends.
 */

import { startEmbedded } from '#foundation/database/embedded.ts'
import { createLog } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'

// A terminal's Ctrl-C reaches the whole process group; Atom drains then, and until that is done needs its database.
process.on('SIGINT', () => say({ state: 'interrupted' }))

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

try {
  const server = await startEmbedded({
    ...JSON.parse(process.argv[2] ?? '{}'),
    log: createLog({ level: 'warn', write: (line) => process.stderr.write(line) }),
  })
  say({ state: 'ready', connection: server.connection })
  for await (const _ of process.stdin);
  await server[Symbol.asyncDispose]()
  say({ state: 'stopped' })
} catch (error) {
  say({ state: error instanceof StartError ? 'refused' : 'failed', message: String(error) })
}
