import { setTimeout as delay } from 'node:timers/promises'
import type { Room } from '@atom/contract/rooms.ts'
import { installDebianPackages } from '../../../scripts/debian-packages.ts'
import type { ChatPerson } from '../../../server/test/support/chat-scene.ts'
import { chatScene } from '../../../server/test/support/chat-scene.ts'
import { type Benchmark, type Figure, figure, median, quantile } from '../benchmark.ts'
import { liftLimitsBy } from '../lift-limits.ts'
import { type Taken, WatchedPage } from '../long-room/watched-page.ts'

const long = 10_000
const short = 50
/** How far one turn of the wheel goes, and how often it turns: a person who hurries through the history. */
const turn = { px: 600, everyMs: 25 }
const typed = 'the quick heron wades along the river and looks for fish'
/** Said first of all in each room, and found by searching. */
const sought = 'The very first heron'

/** One room, as somebody who sits in it has it; milliseconds where nothing else is said. */
interface Measured {
  readonly opened: number
  readonly jumped: number
  readonly wheel: Taken
  readonly wheelMs: number
  readonly keys: readonly number[]
  readonly typedBusy: number
  readonly arrivedBusy: number
  readonly arrived: Taken
  readonly heapMiB: number
  readonly nodes: number
}

export const benchmark: Benchmark = {
  name: 'long-room',
  question: `How does a room of ${long} messages feel in a real browser, beside one of ${short} in the same run: opening it, wheeling through all of its history, writing and hearing with all of it loaded, jumping to its first message, and what it holds in memory?`,
  async run({ quick, say }) {
    installDebianPackages('chromium')
    const rounds = quick ? 1 : 3
    await using scene = await chatScene()
    const { ada } = scene
    await liftLimitsBy(ada.call)
    const grace = await scene.guest('Grace Hopper')
    const rooms = [short, long].map((count) => ({ count, name: `A room of ${count}` }))
    const filled: { id: string; count: number }[] = []
    for (const { count, name } of rooms) {
      const { id } = await ada.room({ name, members: [{ kind: 'account', id: grace.id }] })
      await fill(id, count, [ada, grace])
      say(`${count} messages are said`)
      filled.push({ id, count })
    }
    const measured: Measured[][] = [[], []]
    for (let round = 0; round < rounds; round++) {
      for (const [place, room] of filled.entries()) {
        const seen = await look(scene.atom.url, ada, grace, room, say)
        measured[place]?.push(seen)
        say(`${room.count}: ${words(seen)}`)
      }
    }
    return figures(measured[0] ?? [], measured[1] ?? [], filled[1]?.count ?? long)
  },
}

/** Every kind of thing that people say: short and long, with links, over several lines, in answer to something. */
function sentence(n: number): string {
  const kinds = [
    `Line ${n}`,
    `Line ${n}: I have looked at it again, and I believe that the second reading is the right one. It says what the first one leaves open, and nobody has to be asked.`,
    `Line ${n} see https://example.com/reports/${n} for the figures`,
    `Line ${n}\nfirst this\nthen that\nand the rest tomorrow`,
    `Line ${n} ok 👍`,
    `Line ${n}: ${'what was agreed last week still stands, and what was not agreed is open. '.repeat(6)}`,
  ]
  return kinds[n % kinds.length] ?? ''
}

async function fill(roomId: string, count: number, people: readonly ChatPerson[]): Promise<void> {
  await people[0]?.say(roomId, sought)
  let next = 2
  const speak = async () => {
    while (next < count) {
      const n = next
      next += 1
      // Each speaks several times before the other does.
      const person = people[Math.floor(n / 5) % people.length]
      await patiently(() => person?.say(roomId, sentence(n), n % 40 === 0 ? { replyTo: 2 } : {}))
    }
  }
  await Promise.all(Array.from({ length: 32 }, speak))
  await people[0]?.say(roomId, newest(count))
}

/** A server that says that it is busy has done nothing, and says when to ask again. */
async function patiently(work: () => Promise<unknown> | undefined): Promise<void> {
  for (;;) {
    try {
      await work()
      return
    } catch (thrown) {
      const wait = thrown instanceof Error ? /"code":"busy".*"retryAfterMs":(\d+)/.exec(thrown.message) : null
      if (wait === null) throw thrown
      await delay(Number(wait[1]))
    }
  }
}

function newest(count: number): string {
  return `The newest of ${count}`
}

async function look(
  origin: string,
  ada: ChatPerson,
  grace: ChatPerson,
  { id, count }: { id: string; count: number },
  say: (line: string) => void,
): Promise<Measured> {
  const page = await ada.page('/settings')
  const watched = await WatchedPage.of(page)
  const log = page.getByRole('log')
  const field = page.getByRole('textbox', { name: /^Message / })
  try {
    // Who has read everything comes in at the end.
    const { head } = await ada.call<Room>('GET', `/v1/rooms/${id}`)
    await ada.call('PATCH', `/v1/rooms/${id}/me`, { readSeq: head })
    // Once for the browser's caches: the code is the same for every room.
    await watched.open(`${origin}/rooms/${id}`, newest(count))
    const opened = await watched.open(`${origin}/rooms/${id}`, newest(count))

    await page.getByRole('button', { name: 'Search messages here' }).click()
    await page.getByRole('searchbox', { name: 'Search messages' }).fill(sought)
    const found = page
      .getByRole('region', { name: 'Search' })
      .getByRole('button', { name: new RegExp(sought) })
    await found.waitFor()
    // In the short room it stands among what is loaded already.
    const jumped = await watched.pressUntil(() => found.click(), sought)

    await watched.open(`${origin}/rooms/${id}`, newest(count))
    await log.hover()
    await watched.take()
    const began = performance.now()
    await wheel(watched, count)
    const wheelMs = performance.now() - began
    const wheeled = await watched.take()
    say(`${count}: wheeled up in ${(wheelMs / 1000).toFixed(1)} s`)

    const { heapBytes, nodes } = await watched.held()

    const down = page.getByRole('button', { name: /new$|To the newest/ })
    if (await down.isVisible()) await down.click()
    await page.evaluate(`watched.shown(${JSON.stringify(newest(count))})`)
    await watched.take()
    const typedBusy = await watched.busy(() => field.pressSequentially(typed, { delay: 60 }))
    const { keys } = await watched.take()
    await field.fill('')

    await watched.take()
    const arrivals = 40
    const arrivedBusy = await watched.busy(async () => {
      for (let n = 1; n <= arrivals; n++) {
        await grace.say(id, `One more, number ${n}`)
        await page.waitForTimeout(30)
      }
      await log.getByText(`One more, number ${arrivals}`, { exact: true }).waitFor()
    })
    const arrived = await watched.take()
    // The next visit begins at the same newest message.
    await ada.say(id, newest(count))
    await log.getByText(newest(count), { exact: true }).last().waitFor()
    return {
      opened,
      jumped,
      wheel: wheeled,
      wheelMs,
      keys,
      typedBusy: typedBusy / typed.length,
      arrivedBusy: arrivedBusy / arrivals,
      arrived,
      heapMiB: heapBytes / 2 ** 20,
      nodes,
    }
  } finally {
    await page.context().close()
  }
}

/** Up through everything; a room that ends sooner is gone through up and down instead. */
async function wheel({ page }: WatchedPage, count: number): Promise<void> {
  const top = page.getByRole('log').getByText(sought, { exact: true })
  let turns = 0
  let way = -1
  for (;;) {
    await page.mouse.wheel(0, way * turn.px)
    await page.waitForTimeout(turn.everyMs)
    turns += 1
    if (count > short) {
      if (turns % 20 === 0 && (await top.count()) > 0) return
    } else if (turns === 200) return
    else if (turns % 10 === 0) way = -way
  }
}

function words({
  opened,
  jumped,
  wheel: { frames, tasks },
  keys,
  typedBusy,
  arrivedBusy,
  arrived,
  heapMiB,
  nodes,
}: Measured) {
  return [
    `opened in ${opened.toFixed(0)} ms`,
    `jumped in ${jumped.toFixed(0)} ms`,
    `frames p50 ${quantile(frames, 0.5).toFixed(1)} p95 ${quantile(frames, 0.95).toFixed(1)} p99 ${quantile(frames, 0.99).toFixed(1)} ms`,
    `${tasks.length} long tasks, longest ${Math.max(0, ...tasks).toFixed(0)} ms`,
    `keys p95 ${quantile(keys, 0.95).toFixed(1)} ms, ${typedBusy.toFixed(1)} ms of work each`,
    `an arrival ${arrivedBusy.toFixed(1)} ms of work, ${arrived.tasks.length} long tasks`,
    `${heapMiB.toFixed(1)} MiB, ${nodes} nodes`,
  ].join(', ')
}

function figures(few: readonly Measured[], many: readonly Measured[], count: number): Figure[] {
  const peer = `a room of ${short}`
  const beside = (
    name: string,
    unit: string,
    of: (seen: Measured) => number,
    target?: `${'>=' | '<='}${number}`,
  ) =>
    figure({
      name,
      value: median(many.map(of)),
      unit,
      against: { peer, value: median(few.map(of)) },
      ...(target && { target }),
    })
  const room = `a room of ${count}`
  return [
    beside(`${room}: from navigation to its newest message`, 'ms', ({ opened }) => opened, '<=1.25'),
    beside(`${room}: wheeling through all of it, frame interval p50`, 'ms', ({ wheel }) =>
      quantile(wheel.frames, 0.5),
    ),
    beside('the same, p95', 'ms', ({ wheel }) => quantile(wheel.frames, 0.95), '<=1.5'),
    beside('the same, p99', 'ms', ({ wheel }) => quantile(wheel.frames, 0.99)),
    figure({
      name: 'the same, time in long tasks (50 ms and more) of all the time',
      value: median(
        many.map(({ wheel, wheelMs }) => (100 * wheel.tasks.reduce((sum, ms) => sum + ms, 0)) / wheelMs),
      ),
      unit: '%',
    }),
    figure({
      name: 'the same, longest task',
      value: median(many.map(({ wheel }) => Math.max(0, ...wheel.tasks))),
      unit: 'ms',
    }),
    beside('all loaded: from a key to the frame that shows it, p50', 'ms', ({ keys }) => quantile(keys, 0.5)),
    beside('all loaded: the same, p95', 'ms', ({ keys }) => quantile(keys, 0.95), '<=1.5'),
    beside('all loaded: work of the page for one key', 'ms', ({ typedBusy }) => typedBusy, '<=1.5'),
    beside(
      'all loaded: work of the page for one message that comes',
      'ms',
      ({ arrivedBusy }) => arrivedBusy,
      '<=2',
    ),
    beside(
      'from the press on a search result to the first message of the room',
      'ms',
      ({ jumped }) => jumped,
    ),
    beside('all loaded: JavaScript heap', 'MiB', ({ heapMiB }) => heapMiB),
    figure({
      name: 'all loaded: heap for each message',
      value:
        (1_024 * (median(many.map(({ heapMiB }) => heapMiB)) - median(few.map(({ heapMiB }) => heapMiB)))) /
        (count - short),
      unit: 'KiB',
    }),
    beside('all loaded: DOM nodes', '', ({ nodes }) => nodes, '<=2'),
  ]
}
