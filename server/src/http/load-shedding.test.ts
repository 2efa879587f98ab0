import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Priority } from '@atom/contract/route.ts'
import { createLog } from '#foundation/log.ts'
import { LoadShedding } from './load-shedding.ts'

type Load = Partial<Record<Exclude<Priority, 'probe'>, Readonly<Record<string, number>>>>

/** What one request costs, of a tick of the event loop; being turned away costs a tenth of it. */
const work = 1 / 40
const turningAway = work / 10

/** A process that can do forty requests a tick, and what comes to it. */
function process(options: { waitMs?: number; background?: number } = {}) {
  const lines: string[] = []
  const state = { used: 0, waitMs: options.waitMs ?? 400 }
  const shedding = new LoadShedding({
    log: createLog({ level: 'info', write: (line) => void lines.push(line) }),
    everyMs: 100,
    utilisation: () => Math.min(1, state.used + (options.background ?? 0)),
    knock: async () => state.waitMs,
  })
  // Its time is the test's.
  shedding[Symbol.dispose]()
  /** Ticks with this load; what was admitted in the last ten, per tick. */
  const run = async (ticks: number, load: Load) => {
    const admitted = new Map<string, number>()
    for (let tick = 0; tick < ticks; tick++) {
      state.used = 0
      const queue = Object.entries(load).flatMap(([priority, parties]) =>
        Object.entries(parties).flatMap(([party, count]) =>
          Array.from({ length: count }, (_, at) => ({
            priority: priority as Priority,
            party,
            at: at / count,
          })),
        ),
      )
      for (const { priority, party } of queue.toSorted((one, other) => one.at - other.at)) {
        const passed = shedding.admits(priority, () => party)
        state.used += passed ? work : turningAway
        if (passed && tick >= ticks - 10)
          for (const name of [priority, `${priority} ${party}`])
            admitted.set(name, (admitted.get(name) ?? 0) + 0.1)
      }
      shedding.tick()
      await Promise.resolve()
    }
    return (name: string) => Math.round((admitted.get(name) ?? 0) * 10) / 10
  }
  return { shedding, lines, run, state }
}

test('[LS1] three times what can be served: nearly all that can be is, in proportion and without swinging, and all again when it is over', async () => {
  const { shedding, run, lines } = process()
  await run(5, { people: { a: 30 } })
  assert.equal(shedding.admitting, 1)
  const admitted = await run(100, { people: { a: 60, b: 60 } })
  // Of 40, what remains after 90 % are the target and a hundred others were turned away at a tenth each.
  assert.ok(admitted('people') >= 20 && admitted('people') <= 34, `${admitted('people')}`)
  const shares = new Set<number>()
  for (let tick = 0; tick < 40; tick++) {
    await run(1, { people: { a: 60, b: 60 } })
    shares.add(shedding.admitting)
  }
  const [least, most] = [Math.min(...shares), Math.max(...shares)]
  assert.ok(least > 0.1 && most < 0.4, `${least} to ${most}`)
  await run(50, { people: { a: 20 } })
  assert.equal(shedding.admitting, 1)
  const after = await run(20, { people: { a: 20 } })
  assert.equal(after('people'), 20)
  assert.equal(lines.length, 2)
})

test('[LS2] signing in and renewing go before people, people before agents, agents before what can wait; probes always', async () => {
  const { shedding, run } = process()
  const load = { entry: { a: 4 }, people: { a: 18 }, agents: { a: 30 }, bulk: { a: 40 } }
  await run(40, load)
  const admitted = await run(60, load)
  assert.ok(admitted('entry') >= 3.8, `entry ${admitted('entry')}`)
  assert.ok(admitted('people') >= 17, `people ${admitted('people')}`)
  assert.ok(admitted('agents') < 15, `agents ${admitted('agents')}`)
  assert.ok(admitted('bulk') < 3, `bulk ${admitted('bulk')}`)
  for (let probe = 0; probe < 1_000; probe++)
    assert.equal(
      shedding.admits('probe', () => 'a'),
      true,
    )
})

test('[LS3] a workspace that asks for ten times as much leaves the others what they ask for', async () => {
  const { run } = process()
  const load = { people: { greedy: 100, b: 5, c: 5, d: 5 } }
  await run(40, load)
  const admitted = await run(60, load)
  for (const party of ['b', 'c', 'd'])
    assert.ok(admitted(`people ${party}`) >= 4.7, `${party}: ${admitted(`people ${party}`)}`)
  assert.ok(admitted('people greedy') >= 5, 'it has its part as well')
})

test('[LS4] a process that is busy and not overloaded turns nobody away', async () => {
  // Few requests, and something else that fills the loop.
  const busy = process({ background: 1 })
  const few = await busy.run(100, { people: { a: 8 } })
  assert.equal(few('people'), 8)
  // As many as it can do, and those who come wait no longer than they do anyway.
  const full = process({ waitMs: 30 })
  const all = await full.run(100, { people: { a: 40 } })
  assert.equal(all('people'), 40)
})

test('[LS5] however busy it is with something else, some are served', async () => {
  const { run } = process({ background: 1 })
  const admitted = await run(200, { people: { a: 60 } })
  assert.ok(admitted('people') >= 3.5 && admitted('people') < 30, `${admitted('people')}`)
})

test('[LS6] those who are turned away are not all told the same time to come back', () => {
  const { shedding } = process()
  const times = new Set(Array.from({ length: 200 }, () => shedding.refusal().retryAfterMs))
  assert.ok(times.size > 100)
  for (const ms of times) assert.ok(ms !== undefined && ms >= 1_000 && ms <= 4_000)
})

/** A process whose loop has time, and whose database does so many requests a tick, first come, first served. */
function database(perTick: number) {
  const waiting: { readonly party: string; readonly since: number }[] = []
  const state = { now: 0, longestMs: 0 }
  const lines: string[] = []
  const shedding = new LoadShedding({
    log: createLog({ level: 'info', write: (line) => void lines.push(line) }),
    everyMs: 100,
    utilisation: () => 0.6,
    queue: () => ({
      waiting: waiting.length,
      longestMs: waiting[0] === undefined ? 0 : state.now - waiting[0].since,
    }),
  })
  shedding[Symbol.dispose]()
  const shed = () => Object.values(shedding.shed).reduce((sum, count) => sum + count, 0)
  /** One tick with so many of each; who was served, and how long they had waited. */
  const tick = (load: Load) => {
    const served: { readonly party: string; readonly waitedMs: number }[] = []
    const counts = Object.entries(load).flatMap(([priority, parties]) =>
      Object.entries(parties).map(([party, count]) => ({ priority: priority as Priority, party, count })),
    )
    for (const { priority, party, count } of counts)
      for (let one = 0; one < count; one++)
        if (shedding.admits(priority, () => party)) waiting.push({ party, since: state.now })
    state.now += 100
    for (const { party, since } of waiting.splice(0, perTick))
      served.push({ party, waitedMs: state.now - since })
    shedding.tick()
    return served
  }
  return { shedding, waiting, lines, tick, shed }
}

test('[RL40] a queue behind a loop that has time: as much is served as can be, nobody waits for long, who signs in gets in, and all again afterwards', () => {
  const { shedding, lines, tick, waiting } = database(30)
  const flood = { entry: { b: 1 }, people: { a: 90 } }
  const beginning = Array.from({ length: 20 }, () => tick(flood)).flat()
  assert.ok(beginning.every(({ waitedMs }) => waitedMs <= 900))
  const settled = Array.from({ length: 100 }, () => tick(flood))
  assert.ok(settled.flat().length >= 30 * 100 * 0.97, `${settled.flat().length} of 3000`)
  assert.ok(settled.flat().every(({ waitedMs }) => waitedMs <= 400))
  // One of them may still wait at the end, as one did at the beginning.
  assert.ok(settled.flat().filter(({ party }) => party === 'b').length >= 95)
  assert.equal(shedding.shed.entry, 0)
  for (let after = 0; after < 10; after++) tick({ people: { a: 20 } })
  const before = shedding.shed.people
  const afterwards = Array.from({ length: 20 }, () => tick({ people: { a: 20 } })).flat()
  assert.equal(shedding.shed.people, before)
  assert.ok(afterwards.every(({ waitedMs }) => waitedMs <= 100))
  assert.equal(waiting.length, 0)
  assert.equal(lines.length, 2)
})

test('[RL41] clients that wait for their answers before they ask again are no overload, however slow the machine: not by the loop, not by the queue', async () => {
  // Sixty-four of them, whom a loop that is always full lets wait for half a second.
  const full = process({ background: 1, waitMs: 500 })
  await full.run(100, { people: { a: 12 } })
  assert.equal(full.shedding.shed.people, 0)
  // Many more, all of them begun at once, who wait for two thirds of a second.
  const { tick, shed } = database(30)
  tick({ people: { a: 200 } })
  for (let at = 0; at < 100; at++) tick({ people: { a: 30 } })
  assert.equal(shed(), 0)
})

test('[RL42] who waits for longer than a second is behind too many, whether or not those become more', () => {
  const { tick, shed, waiting } = database(20)
  tick({ people: { a: 240 } })
  for (let at = 0; at < 100; at++) tick({ people: { a: 20 } })
  assert.ok(shed() > 0)
  assert.ok(waiting.length < 60, `${waiting.length}`)
})

test('[RL43] a loop that is full and behind whose door nobody waits for long is given more and not less', async () => {
  const { shedding, run, state } = process({ background: 1 })
  await run(30, { people: { a: 120 } })
  const least = shedding.admitting
  assert.ok(least < 0.1, `${least}`)
  state.waitMs = 20
  await run(100, { people: { a: 120 } })
  assert.ok(shedding.admitting > 4 * least, `${least} to ${shedding.admitting}`)
})
