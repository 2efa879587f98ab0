import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { reportOf } from './chaos/report.ts'
import { runChaos } from './chaos/run.ts'

// Another seed with every run: what it finds once is found again with ATOM_CHAOS_SEED.
const seed = Number(process.env['ATOM_CHAOS_SEED'] ?? randomInt(1, 1_000_000))

test('[RT91] killed, frozen, drained and cut off at random: nothing acknowledged is lost, doubled or reordered, everybody ends up with everything, and nobody sees what is not theirs', {
  timeout: 230_000,
}, async (context) => {
  const external = process.env['ATOM_TEST_EXTERNAL'] === '1'
  const again = `${external ? 'ATOM_TEST_EXTERNAL=1 ' : ''}ATOM_CHAOS_SEED=${seed} npm test -- chaos.test`
  context.diagnostic(again)
  const outcome = await runChaos({
    seed,
    nodes: 2,
    workers: 0,
    clients: 10,
    rooms: 5,
    steps: 70,
    stepMs: 200,
    faults: 0.35,
    bursts: 2,
    changes: 4,
    floods: 0,
    longestFreeze: 12,
    // The server that the tests share is not ours to crash.
    database: external ? 'suite' : 'own',
    breakModel: false,
    // Every other seed over a Redis of its own, which is killed and frozen as well.
    redis: seed % 2 === 0 ? 'own' : undefined,
    quietWithinMs: 120_000,
    keep: false,
  })
  const report = reportOf(outcome, again)
  for (const line of report.split('\n').slice(0, 3)) context.diagnostic(line)
  assert.equal(outcome.violations.length, 0, report)
  // A run in which nothing happened proves nothing.
  assert.ok(outcome.figures.acks > 50 && outcome.figures.faults > 5 && outcome.figures.trespasses > 3, report)
})
