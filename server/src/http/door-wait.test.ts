import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '#foundation/log.ts'
import { DoorWait } from './door-wait.ts'
import { LoadShedding } from './load-shedding.ts'

/** A door with those who stand before it, first come, first let in; its time is the test's, ms. */
class Door {
  now = 0
  accepted = 0
  readonly standing: { readonly since: number; readonly answer?: () => void }[] = []
  #due = 0

  /** Time passes, and so many come in it, per ms. */
  pass(ms: number, perMs: number): void {
    this.now += ms
    this.#due += ms * perMs
    for (; this.#due >= 1; this.#due--) this.standing.push({ since: this.now })
  }

  knock(): Promise<number> {
    const since = this.now
    return new Promise((resolve) => {
      this.standing.push({ since, answer: () => resolve(this.now - since) })
    })
  }

  /** Lets the first one in; undefined where nobody stands there, or where it only knocked. */
  letIn(): { readonly since: number } | undefined {
    const first = this.standing.shift()
    if (first === undefined) return undefined
    this.accepted++
    first.answer?.()
    return first.answer === undefined ? first : undefined
  }
}

/** Until whoever was answered has heard it. */
const heard = async () => {
  for (let turn = 0; turn < 8; turn++) await Promise.resolve()
}

test('[RL50] how long newcomers wait is known from how many came in since, and not only when one of them has come through', async () => {
  const door = new Door()
  const wait = new DoorWait({
    knock: () => door.knock(),
    accepted: () => door.accepted,
    now: () => door.now,
  })
  let expected = 0
  const run = async (ticks: number, comePerMs: number, inPerMs: number) => {
    for (let tick = 0; tick < ticks; tick++) {
      for (let ms = 0; ms < 100; ms++) {
        door.pass(1, comePerMs)
        for (let each = 0; each < inPerMs; each++) door.letIn()
        await heard()
      }
      wait.listen()
      expected = wait.look()
    }
  }
  // One more comes each ms than is let in.
  await run(10, 2, 1)
  // From now on three times as many are let in: who has come through since had waited before.
  await run(4, 2, 3)
  const truly = door.standing.length / 3
  assert.ok(truly > 100, `${truly}`)
  assert.ok(Math.abs(expected - truly) < truly * 0.15, `${expected} instead of ${truly}`)
  assert.ok(wait.heardMs > truly * 1.5, `${wait.heardMs}: what was heard is older`)
  // Where nobody waits any more, that is known as well.
  await run(20, 2, 3)
  assert.ok(wait.look() < 20, `${wait.look()}`)
})

test('[RL51] three times what can be served of newcomers, who wait where nobody sees them: what is let in settles and swings no more', async () => {
  const door = new Door()
  /** Of the event loop, ms. */
  const [serving, refusing, comePerMs] = [4, 0.4, 0.75]
  let busyMs = 0
  const shedding = new LoadShedding({
    log: createLog({ level: 'silent' }),
    everyMs: 100,
    utilisation: () => Math.min(1, busyMs / 100),
    knock: () => door.knock(),
    accepted: () => door.accepted,
    now: () => door.now,
  })
  shedding[Symbol.dispose]()
  const shares: number[] = []
  const waits: number[] = []
  let [servedMs, next] = [0, 100]
  while (door.now < 12_000) {
    const nobody = door.standing.length === 0
    const first = door.letIn()
    const served = first !== undefined && shedding.admits('people', () => 'a')
    const ms = served ? serving : nobody ? 0.1 : refusing
    if (!nobody) busyMs += ms
    door.pass(ms, comePerMs)
    await heard()
    if (first !== undefined && first.since > 4_000) waits.push(door.now - first.since)
    if (served && door.now > 4_000) servedMs += serving
    if (door.now < next) continue
    shedding.tick()
    busyMs = 0
    next += 100
    if (door.now > 4_000) shares.push(shedding.admitting)
  }
  const [least, most] = [Math.min(...shares), Math.max(...shares)]
  assert.ok(most < least * 2, `${least} to ${most}`)
  assert.ok(Math.max(...waits) < 250, `${Math.max(...waits)}`)
  // All but what turning the others away takes: 750 come in a second, and what is left of it serves.
  const possible = (1 - comePerMs * refusing) / (1 - refusing / serving)
  assert.ok(servedMs / 8_000 > possible * 0.95, `${servedMs / 8_000} of ${possible}`)
})
