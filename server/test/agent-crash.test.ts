import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Checkpoint } from '#agents/turn.ts'
import { AtomError } from '#foundation/errors.ts'
import { AgentHouse, type Cast } from './support/agent-house.ts'
import { IssueTracker } from './support/issue-tracker.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'
import { obedient } from './support/scripted-model.ts'
import { until } from './support/until.ts'

const child = fileURLToPath(new URL('support/agent-child.ts', import.meta.url))

function spawnChild(db: TestDatabase, tracker: IssueTracker, dieAt: number): ChildProcess {
  const settings = { connection: db.connection, providerUrl: tracker.url, dieAt }
  return spawn(process.execPath, [child], {
    env: { ...process.env, ATOM_TEST_AGENT: JSON.stringify(settings) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** Approves whatever is asked, until `over`. */
async function approveAll(house: AgentHouse, cast: Cast, over: () => boolean): Promise<void> {
  await until(async () => {
    const [request] = await house.all(cast.roomId, 'approval.requested')
    const decided = await house.all(cast.roomId, 'approval.decided')
    if (request !== undefined && decided.length === 0) {
      await house.approvals.decide(cast.person, request.approval.id, { decision: 'approve' })
    }
    return over()
  })
}

/** After a crash somebody goes on; the room must then look as if nothing had happened. */
async function finishAndCheck(
  house: AgentHouse,
  tracker: IssueTracker,
  cast: Cast,
  where: string,
): Promise<void> {
  await using _successor = await AgentHouse.open({
    database: house.database,
    providerUrl: tracker.url,
    models: [obedient()],
    leaseMs: 400,
  })
  let over = false
  const approving = approveAll(house, cast, () => over)
  const ended = await house.nth(cast.roomId, 'turn.ended')
  over = true
  await approving
  assert.equal(ended.status, 'succeeded', where)
  assert.deepEqual(tracker.effects, ['create Fix the login page'], `${where}: exactly one effect`)
  const types = (await house.events(cast.roomId)).map((event) => event.type)
  assert.deepEqual(
    types,
    [
      'message.created',
      'turn.started',
      'approval.requested',
      'approval.decided',
      'tool.started',
      'tool.ended',
      'message.final',
      'turn.ended',
    ],
    `${where}: every event once, in order`,
  )
  const [final] = await house.all(cast.roomId, 'message.final')
  assert.match(final?.text ?? '', /Created issue #1 “Fix the login page”/, where)
}

/** Everything that an undisturbed turn with one approved write passes, in order. */
const checkpoints: readonly Checkpoint[] = [
  'claimed',
  'started',
  'step-started',
  'step-said',
  'step-done',
  'parked',
  'claimed',
  'dispatching',
  'dispatched',
  'answered',
  'call-done',
  'step-started',
  'step-said',
  'step-done',
  'ending',
  'ended',
]

test('[AG1] the places where a turn may be cut are known: each is one of the tests below', async () => {
  await using db = await testDatabase()
  await using tracker = await IssueTracker.start()
  const trace: Checkpoint[] = []
  await using house = await AgentHouse.open({
    database: db.database,
    providerUrl: tracker.url,
    models: [obedient()],
    checkpoint: async (name) => void trace.push(name),
  })
  const cast = await house.cast()
  await house.say(cast, 'create Fix the login page')
  await house.decide(cast, 'approve')
  await house.nth(cast.roomId, 'turn.ended')
  await until(() => trace.at(-1) === 'ended')
  assert.deepEqual(trace, checkpoints)
})

for (const [index, name] of checkpoints.entries()) {
  const where = `${name} (${index + 1} of ${checkpoints.length})`
  test(`[AG1] a process killed at ${where}: the turn goes on, and the write happens exactly once`, async () => {
    await using db = await testDatabase()
    await using tracker = await IssueTracker.start()
    await using house = await AgentHouse.open({
      database: db.database,
      providerUrl: tracker.url,
      models: [obedient()],
      working: false,
    })
    const cast = await house.cast()
    await house.say(cast, 'create Fix the login page')
    const victim = spawnChild(db, tracker, index + 1)
    victim.stdout?.resume()
    const exited = once(victim, 'exit')
    let dead = false
    void exited.then(() => {
      dead = true
    })
    await approveAll(house, cast, () => dead)
    const [, signal] = await exited
    assert.equal(signal, 'SIGKILL', where)
    await finishAndCheck(house, tracker, cast, where)
  })
}

for (const [where, moment] of [
  ['before it took effect', 'arrived'],
  ['after it took effect, before the answer', 'happened'],
] as const) {
  test(`[AG2] a process killed while its request is at the provider, ${where}: the write happens exactly once`, async () => {
    await using db = await testDatabase()
    await using tracker = await IssueTracker.start()
    await using house = await AgentHouse.open({
      database: db.database,
      providerUrl: tracker.url,
      models: [obedient()],
      working: false,
    })
    const cast = await house.cast()
    const victim = spawnChild(db, tracker, -1)
    const exited = once(victim, 'exit')
    victim.stdout?.resume()
    const strike = async () => {
      victim.kill('SIGKILL')
      await exited
      // The request dies with its process: what the fault holds back never happens.
      if (moment === 'arrived') throw new Error('the caller is gone')
    }
    tracker.writeFaults.push({ [moment]: strike })
    await house.say(cast, 'create Fix the login page')
    await house.decide(cast, 'approve')
    await exited
    await finishAndCheck(house, tracker, cast, where)
  })
}

for (const fails of [false, true]) {
  const besides = fails ? ', also where the first look at it fails' : ''
  test(`[RM72] what a process stored and died before it had read it for the agent is answered by another one, once${besides}`, async () => {
    await tookUp(fails)
  })
}

async function tookUp(firstLookFails: boolean): Promise<void> {
  await using db = await testDatabase()
  const settings = { database: db.database, providerUrl: 'http://127.0.0.1:9', models: [obedient()] as const }
  await using house = await AgentHouse.open({ ...settings, patienceMs: 50 })
  const cast = await house.cast()
  const { person, roomId } = cast
  const { agentsIn } = house.rooms
  if (firstLookFails) {
    house.rooms.agentsIn = async () => {
      house.rooms.agentsIn = agentsIn
      throw new AtomError('unavailable')
    }
  }
  const writer = { connection: db.connection, person, roomId, text: 'Is anybody there?' }
  const dying = spawn(
    process.execPath,
    [fileURLToPath(new URL('support/silent-writer.ts', import.meta.url))],
    {
      env: { ...process.env, ATOM_TEST_WRITER: JSON.stringify(writer) },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  const [, signal] = (await once(dying, 'exit')) as [number | null, NodeJS.Signals | null]
  assert.equal(signal, 'SIGKILL')
  const ended = await house.nth(roomId, 'turn.ended')
  assert.equal(ended.status, 'succeeded')
  const types = (await house.events(roomId)).map((event) => event.type)
  assert.deepEqual(types, ['message.created', 'turn.started', 'message.final', 'turn.ended'])
}
