import { openDatabase } from '#foundation/database/pool.ts'
import { AgentHouse } from './agent-house.ts'
import { testLog } from './postgres.ts'
import { obedient } from './scripted-model.ts'

// A process of its own that says one thing and dies as soon as it is stored, before anybody here has read it for the agent.
const { connection, person, roomId, text } = JSON.parse(process.env['ATOM_TEST_WRITER'] ?? '{}')
const database = await openDatabase({ connection, poolSize: 6, log: testLog })
const house = await AgentHouse.open({ database, providerUrl: 'http://127.0.0.1:9', models: [obedient()] })
await house.messages.send(person, roomId, { clientId: 'the-last-words', text })
process.kill(process.pid, 'SIGKILL')
