import { Command } from 'commander'
import { readConfig } from '../config.ts'
import { createLog } from '../foundation/log.ts'

/** `atom migrate`: brings the database to this version's schema and stops; `atom serve` does the same when it starts. */
export function migrateCommand(): Command {
  return new Command('migrate')
    .description('bring the database to the schema of this version')
    .action(async () => {
      const config = readConfig()
      const log = createLog({ level: config.logLevel, readable: process.stdout.isTTY === true })
      await using born = new AsyncDisposableStack()
      const { openAtomDatabase } = await import('../app.ts')
      const { applied } = await openAtomDatabase(config, { log, born })
      process.stdout.write(applied.length === 0 ? 'Nothing to do.\n' : `Applied ${applied.join(', ')}.\n`)
    })
}
