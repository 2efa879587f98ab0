#!/usr/bin/env node
import cluster from 'node:cluster'
import { Command, CommanderError } from 'commander'
import { migrateCommand } from './commands/migrate-command.ts'
import { providerCommand } from './commands/provider-lint-command.ts'
import { rotateKeysCommand } from './commands/rotate-keys-command.ts'
import { sandboxCommand } from './commands/sandbox-command.ts'
import { serveCommand } from './commands/serve-command.ts'
import { StartError } from './foundation/start-error.ts'

const program = new Command('atom')
  .description(
    'The foundation for conversational AI agents: connected accounts, live rooms, agents that act.',
  )
  .exitOverride()
  .showHelpAfterError()
for (const command of [
  serveCommand(),
  migrateCommand(),
  rotateKeysCommand(),
  providerCommand(),
  sandboxCommand(),
]) {
  program.addCommand(command.copyInheritedSettings(program))
}

try {
  await program.parseAsync()
} catch (thrown) {
  if (thrown instanceof CommanderError) {
    // Commander has said what is wrong; 2 is the exit status of a wrong call.
    process.exitCode = thrown.exitCode === 0 ? 0 : 2
  } else if (thrown instanceof StartError) {
    process.stderr.write(`${thrown.message}\n`)
    process.exitCode = 1
  } else {
    process.stderr.write(
      `Atom stopped: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`,
    )
    process.exitCode = 1
  }
  // The line to the process that started it would keep a worker that could not start, and everybody would wait for it.
  if (cluster.isWorker) process.exit()
}
