import { createInterface } from 'node:readline'
import { createApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { testLog } from './postgres.ts'
import { ScriptedModel, say } from './scripted-model.ts'
import type { NodeSettings } from './streaming-node.ts'

// A whole server of its own for tests that kill it. What its model says comes line by line on standard input, as JSON; null
// is the end of an answer.
const { environment, leaseMs } = JSON.parse(process.env['ATOM_TEST_NODE'] ?? '{}') as NodeSettings
const told: (string | null)[] = []
let wake: () => void = () => undefined
createInterface(process.stdin).on('line', (line) => {
  told.push(JSON.parse(line) as string | null)
  wake()
})
const model = new ScriptedModel(async function* (_transcript, { signal }) {
  for (;;) {
    if (told.length === 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      signal.addEventListener('abort', () => resolve(), { once: true })
      await promise
      signal.throwIfAborted()
    }
    const piece = told.shift()
    if (piece === null) return
    if (piece !== undefined) yield say(piece)
  }
})
const app = await createApp(readConfig(environment), { log: testLog, models: [model], turns: { leaseMs } })
await app.listen()
process.stdout.write(`http://127.0.0.1:${environment['ATOM_PORT']}\n`)
process.once('SIGTERM', () => void app[Symbol.asyncDispose]().then(() => process.exit(0)))
