import { deleteTurns } from '#agents/agent-store.ts'
import { openDatabase } from '#foundation/database/pool.ts'
import { EndedRooms } from '#rooms/ended-rooms.ts'
import { Timeline } from '#rooms/timeline.ts'
import { testLog } from './log.ts'

// Deletes what ended rooms held in the database that its first argument names, so many places at a time as its second one says,
// until it is killed.
const [connectionString = '', piece] = process.argv.slice(2)
const database = await openDatabase({ connection: { connectionString }, poolSize: 2, log: testLog })
const timeline = await Timeline.open({ database, log: testLog })
new EndedRooms({
  database,
  timeline,
  log: testLog,
  clearings: [deleteTurns],
  piece: Number(piece),
  sweepMs: 50,
})
