import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Action, isFault, type Plan, scheduleOf } from './schedule.ts'

const plan: Plan = {
  seed: 1,
  steps: 2_000,
  nodes: 3,
  clients: 20,
  rooms: 8,
  can: { crashDatabase: true, dropBus: true, breakBus: true, breakModel: true, breakWorkers: true },
  bursts: 2,
  changes: 2,
  floods: 0.01,
  faults: 0.3,
  longestFreeze: 40,
}

test('[RT92] one seed is one schedule, and another seed is another', () => {
  assert.deepEqual(scheduleOf(plan), scheduleOf(plan))
  assert.notDeepEqual(scheduleOf(plan), scheduleOf({ ...plan, seed: 2 }))
  // More of the same seed begins the same, so that a failure may be looked for in a shorter run.
  assert.deepEqual(scheduleOf({ ...plan, steps: 500 }).steps, scheduleOf(plan).steps.slice(0, 500))
})

test('[RT92] every kind of deed and fault comes, and what was begun is ended', () => {
  const actions = scheduleOf(plan).steps.flat()
  const kinds = new Set(actions.map((action) => action.do))
  for (const kind of [
    'say',
    'change',
    'read',
    'ask',
    'stop',
    'add',
    'remove',
    'trespass',
    'step_out',
    'step_in',
    'reload',
    'renew',
  ]) {
    assert.ok(kinds.has(kind as Action['do']), kind)
  }
  for (const kind of [
    'kill',
    'freeze',
    'drain',
    'kill_worker',
    'freeze_worker',
    'crash_database',
    'drop_bus',
    'kill_bus',
    'freeze_bus',
    'cut',
    'half_open',
    'throttle',
  ]) {
    assert.ok(kinds.has(kind as Action['do']), kind)
  }
  for (const [begin, end] of [
    ['kill', 'start'],
    ['freeze', 'thaw'],
    ['freeze_worker', 'thaw_workers'],
    ['drop_bus', 'restore_bus'],
    ['kill_bus', 'start_bus'],
    ['freeze_bus', 'thaw_bus'],
  ]) {
    const begun = actions.filter((action) => action.do === begin).length
    const ended = actions.filter((action) => action.do === end).length
    // Those at the very end are ended by the run itself.
    assert.ok(begun > 0 && begun - ended <= plan.nodes, `${begin}: ${begun}, ${end}: ${ended}`)
  }
  assert.ok(actions.filter(isFault).length > plan.steps * plan.faults * 0.3)
})

test('[RT92] nobody is asked to trespass where they may be a member, and nobody speaks where they are none', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const { cast, steps } = scheduleOf({ ...plan, seed })
    const members = cast.rooms.map((room) => new Set(room.members))
    for (const action of steps.flat()) {
      if (action.do === 'add') members[action.room]?.add(action.account)
      if (action.do === 'remove') members[action.room]?.delete(action.account)
      if (!['trespass', 'say', 'ask', 'change', 'read'].includes(action.do) || !('device' in action)) continue
      const account = cast.devices[action.device]?.account ?? -1
      assert.ok('room' in action)
      assert.equal(members[action.room]?.has(account), action.do !== 'trespass')
    }
    assert.ok(
      members.every((each) => each.size < cast.accounts),
      'somebody stays outside',
    )
  }
})
