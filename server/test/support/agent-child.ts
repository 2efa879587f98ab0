import { openDatabase } from '#foundation/database/pool.ts'
import { AgentHouse } from './agent-house.ts'
import { testLog } from './postgres.ts'
import { obedient } from './scripted-model.ts'

// A process of its own that runs turns until it kills itself: at the nth checkpoint, as if the power had gone.
const { connection, providerUrl, dieAt } = JSON.parse(process.env['ATOM_TEST_AGENT'] ?? '{}')
let passed = 0
const database = await openDatabase({ connection, poolSize: 6, log: testLog })
await AgentHouse.open({
  database,
  providerUrl,
  models: [obedient()],
  leaseMs: 400,
  checkpoint: async (name) => {
    passed++
    if (passed === dieAt) process.kill(process.pid, 'SIGKILL')
    process.stdout.write(`${name}\n`)
  },
})
process.stdout.write('ready\n')
