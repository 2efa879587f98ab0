import { parseKeyring } from '#foundation/crypto/keyring.ts'
import { openDatabase } from '#foundation/database/pool.ts'
import { openHouse } from './connection-house.ts'
import { testLog } from './postgres.ts'

// A process of its own that serves connections, until its parent ends it or it kills itself at a moment of a refresh, as if
// the power had gone.
const settings = JSON.parse(process.env['ATOM_TEST_CONNECTIONS'] ?? '{}')
const database = await openDatabase({ connection: settings.connection, poolSize: 8, log: testLog })
const house = await openHouse({
  database,
  sandbox: {
    providers: Object.keys(settings.sandbox.apps),
    running: () => settings.sandbox,
    open: async () => settings.sandbox,
  },
  reach: [settings.reach],
  keyring: parseKeyring(settings.masterKeys, 'the test'),
  dataDir: settings.dataDir,
  refresh: {
    ...(settings.leaseSeconds && { leaseSeconds: settings.leaseSeconds }),
    checkpoint: (name) => {
      if (name === settings.dieAt) process.kill(process.pid, 'SIGKILL')
    },
  },
})
process.stdout.write(`${house.url}\n`)
