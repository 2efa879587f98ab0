import { openDatabase } from '#foundation/database/pool.ts'
import { startLive } from './live.ts'
import { testLog } from './postgres.ts'

// A server of its own for tests that kill it: the database is in ATOM_TEST_LIVE, the address goes to standard output.
const database = await openDatabase({
  connection: JSON.parse(process.env['ATOM_TEST_LIVE'] ?? '{}'),
  poolSize: 8,
  log: testLog,
})
const times = process.env['ATOM_TEST_PRESENCE']
const live = await startLive(database, times === undefined ? {} : { times: JSON.parse(times) })
process.stdout.write(`${live.url}\n`)
