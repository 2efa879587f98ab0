import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import type { Broadcast } from '../../../server/src/foundation/broadcast/broadcast.ts'
import { RedisBroadcast } from '../../../server/src/foundation/broadcast/redis.ts'
import { Notes } from '../../../server/src/foundation/database/notes.ts'
import { openDatabase } from '../../../server/src/foundation/database/pool.ts'
import { createLog } from '../../../server/src/foundation/log.ts'
import { MembershipNews } from '../../../server/src/rooms/membership-news.ts'
import { Messages } from '../../../server/src/rooms/messages.ts'
import { PublishTraffic } from '../../../server/src/rooms/publish-traffic.ts'
import { Rooms } from '../../../server/src/rooms/rooms.ts'
import { Timeline } from '../../../server/src/rooms/timeline.ts'
import { AtomProcess } from '../../../server/test/support/atom-process.ts'
import { somebody } from '../../../server/test/support/live.ts'
import { TestRedis } from '../../../server/test/support/redis.ts'
import { type Benchmark, type BenchmarkRun, type Figure, figure, median } from '../benchmark.ts'
import { preparedDatabase, rest } from './peers.ts'
import { rooms } from './publishing.ts'

const text = 'Nothing acknowledged is lost, and nothing is shown twice. '.repeat(4).slice(0, 200)
/** Microseconds of the node's processor time for each message. */
const target = '<=0.5'
const publishers = 512
/** Agents are looked for a second after a number was heard, and that may be half a second after the commit. */
const afterMs = 2_000
/** What a node does by itself comes round every ten seconds at most: no span, busy or idle, has more of it than another. */
const cycleMs = 10_000
/** An idle Atom is below it on the machine that the target was set on, so many seconds in a row. */
const quietShare = 0.02
const quietSeconds = 4
const mostSecondsToQuieten = 40
const roomCounts = [1, 500] as const

export const part: Benchmark = {
  name: 't9',
  question: `Foreign rooms: how much processor time does a message cost a node, a whole Atom with everything that it runs, where nobody follows the room? Another process publishes durably, ${publishers} messages on their way at any time, into one room and over ${roomCounts[1]}; once with Redis between them and once with PostgreSQL's NOTIFY alone. What the node uses while nothing is said is taken off. Beside it Socket.IO with its Redis adapter, a node with nobody on it, which is told the same messages and stores none.`,
  async run(run) {
    const figures: Figure[] = []
    const peers = await besides(run)
    for (const way of ['Redis', 'NOTIFY'] as const) figures.push(...(await over(way, peers, run)))
    return figures
  },
}

async function over(
  way: 'Redis' | 'NOTIFY',
  peers: ReadonlyMap<number, number>,
  { quick, say }: BenchmarkRun,
): Promise<Figure[]> {
  const rounds = quick ? 2 : 3
  const spanMs = quick ? cycleMs / 2 : cycleMs
  await using postgres = await preparedDatabase()
  await using redis = way === 'Redis' ? await TestRedis.started() : undefined
  await using node = await AtomProcess.started({
    DATABASE_URL: postgres.url,
    ATOM_LOG_LEVEL: 'warn',
    ATOM_SANDBOX: '0',
    ...(redis && { REDIS_URL: redis.url.reveal() }),
  })
  await using talk = await Talk.begin(postgres.url, redis)
  // Code compiled, what the start left behind done.
  for (const roomCount of roomCounts) await talk.go(roomCount, publishers, spanMs / 2)
  await quietened(node.pid)
  const spans: (Span & { readonly roomCount: number })[] = []
  // The same on both sides of each span that is busy.
  const idle = [await restingShare(node.pid, spanMs)]
  for (let round = 0; round < rounds; round++) {
    for (const roomCount of roomCounts) {
      const span = await busy(node.pid, spanMs, () => talk.go(roomCount, publishers, spanMs - afterMs))
      spans.push({ ...span, roomCount })
      idle.push(await restingShare(node.pid, spanMs))
    }
  }
  const resting = median(idle)
  say(
    `${way}: the node uses ${idle.map((share) => (share * 100).toFixed(2)).join(', ')} % of a processor by itself`,
  )
  const figures: Figure[] = []
  for (const roomCount of roomCounts) {
    const here = spans.filter((span) => span.roomCount === roomCount)
    const costs = here.map((span) => costOf(span, resting))
    const said = here.reduce((sum, span) => sum + span.said, 0)
    const commits = here.reduce((sum, span) => sum + span.commits, 0)
    say(
      `${way}, ${rooms(roomCount)}, ${said} messages, ${(said / commits).toFixed(0)} to a commit: ${costs.map((cost) => cost.toFixed(2)).join(', ')} µs per message`,
    )
    // Where less than the noise of the idle node is left, it is nothing that could be measured.
    const value = Math.max(0, median(costs))
    figures.push(
      figure({ name: `${way}: a message, over ${rooms(roomCount)}`, value, unit: 'µs', target }),
      figure({
        name: `${way}: the same, beside Socket.IO`,
        value,
        unit: 'µs',
        against: { peer: "Socket.IO's Redis adapter", value: peers.get(roomCount) ?? Number.NaN },
      }),
    )
  }
  return figures
}

/** What a process used, in milliseconds of processor time, while others said so much in so long. */
interface Span {
  readonly usedMs: number
  readonly tookMs: number
  readonly said: number
  readonly commits: number
}

/** Looks at a process from the first message until the span is over, with what it does about the last of them. */
async function busy(
  pid: number,
  spanMs: number,
  talk: () => Promise<{ readonly said: number; readonly commits: number }>,
): Promise<Span> {
  const began = await usedMs(pid)
  const from = performance.now()
  const told = await talk()
  await rest(Math.max(0, spanMs - (performance.now() - from)))
  return { ...told, usedMs: (await usedMs(pid)) - began, tookMs: performance.now() - from }
}

/** Microseconds for each message, without what the process would have used anyway. */
function costOf({ usedMs, tookMs, said }: Span, resting: number): number {
  return ((usedMs - resting * tookMs) * 1_000) / said
}

/** What a message costs a node of Socket.IO that has nobody in its room, in microseconds, by the number of rooms. */
async function besides({ quick, say }: BenchmarkRun): Promise<ReadonlyMap<number, number>> {
  const forMs = quick ? 500 : 2_000
  // It is behind what Redis has taken.
  const spanMs = forMs + 500
  await using redis = await TestRedis.started()
  await using talker = await AdapterNode.start(redis)
  await using node = await AdapterNode.start(redis)
  await talker.go(Math.max(...roomCounts), forMs)
  await rest()
  const resting = await restingShare(node.pid, spanMs)
  const costs = new Map<number, number>()
  for (const roomCount of roomCounts) {
    const span = await busy(node.pid, spanMs, () => talker.go(roomCount, forMs))
    costs.set(roomCount, costOf(span, resting))
    say(`Socket.IO's Redis adapter, ${rooms(roomCount)}: ${costs.get(roomCount)?.toFixed(2)} µs per message`)
  }
  return costs
}

class AdapterNode implements AsyncDisposable {
  readonly pid: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
    this.pid = child.pid ?? 0
  }

  static async start(redis: TestRedis): Promise<AdapterNode> {
    const child = fork(join(import.meta.dirname, '..', 'adapter-child.ts'), [redis.url.reveal()], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    await once(child, 'message')
    return new AdapterNode(child)
  }

  /** How many messages it said, each by itself. */
  async go(roomCount: number, forMs: number): Promise<{ said: number; commits: number }> {
    this.#child.send({ forMs, rooms: roomCount })
    const [said] = (await once(this.#child, 'message')) as [number]
    return { said, commits: said }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.disconnect()
    await ended
  }
}

/** Publishes by the server's own code, as another node does. */
class Talk implements AsyncDisposable {
  readonly #say: (roomIndex: number) => Promise<unknown>
  readonly #commits: () => number
  readonly #release: AsyncDisposableStack

  private constructor(
    say: (roomIndex: number) => Promise<unknown>,
    commits: () => number,
    release: AsyncDisposableStack,
  ) {
    this.#say = say
    this.#commits = commits
    this.#release = release
  }

  static async begin(url: string, redis: TestRedis | undefined): Promise<Talk> {
    await using born = new AsyncDisposableStack()
    const log = createLog({ level: 'warn' })
    const database = born.use(
      await openDatabase({ connection: { connectionString: url }, poolSize: 10, log }),
    )
    const broadcast: Broadcast | undefined =
      redis && born.use(await RedisBroadcast.open({ url: redis.url, log }))
    const timeline = born.use(await Timeline.open({ database, log, broadcast }))
    const traffic = new PublishTraffic()
    const messages = born.use(new Messages({ database, timeline, log, traffic }))
    const notes = born.use(await Notes.open({ database, log }))
    const news = born.use(new MembershipNews({ notes }))
    const house = new Rooms({ database, timeline, news, directory: { find: async () => undefined } })
    const person = somebody()
    const { kind, id, name, workspaceId } = person
    const roomIds: string[] = []
    for (let room = 0; room < Math.max(...roomCounts); room++) {
      const made = await house.create(database, {
        workspaceId,
        name: `Room ${room}`,
        members: [{ kind, id, name }],
        createdBy: id,
      })
      roomIds.push(made.id)
    }
    let number = 0
    const say = (roomIndex: number) =>
      messages.send(person, roomIds[roomIndex] ?? '', { clientId: `talk-${++number}`, text })
    const commits = () => traffic.batches.counts.reduce((sum, count) => sum + count, 0)
    // The node that publishes is the one that indexes; what it leaves behind another one would take up after a minute.
    const indexer = new pg.Client({ connectionString: url })
    await indexer.connect()
    await indexer.query(
      `insert into room_search_cursors (room_id, seq) select id, ${Number.MAX_SAFE_INTEGER} from rooms`,
    )
    await indexer.end()
    return new Talk(say, commits, born.move())
  }

  /** How many messages were acknowledged, in how many commits. */
  async go(roomCount: number, lanes: number, forMs: number): Promise<{ said: number; commits: number }> {
    const before = this.#commits()
    const until = performance.now() + forMs
    let said = 0
    let turn = 0
    const lane = async () => {
      while (performance.now() < until) {
        await this.#say(turn++ % roomCount)
        said++
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
    return { said, commits: this.#commits() - before }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#release.disposeAsync()
  }
}

/** The share of its time that a process uses while nothing is said. */
async function restingShare(pid: number, forMs: number): Promise<number> {
  const began = await usedMs(pid)
  const from = performance.now()
  await rest(forMs)
  return ((await usedMs(pid)) - began) / (performance.now() - from)
}

/** Resolves when a process that has started has done what it does in the background at first, such as learning. */
async function quietened(pid: number): Promise<void> {
  let quiet = 0
  for (let second = 0; second < mostSecondsToQuieten && quiet < quietSeconds; second++) {
    quiet = (await restingShare(pid, 1_000)) < quietShare ? quiet + 1 : 0
  }
}

/** Processor time of all threads of a process so far, in milliseconds, to the nanosecond: the kernel's ticks are 10 ms. */
async function usedMs(pid: number): Promise<number> {
  let nanoseconds = 0
  for (const task of await readdir(`/proc/${pid}/task`)) {
    // A thread may have ended since it was listed.
    const stat = await readFile(join('/proc', String(pid), 'task', task, 'schedstat'), 'utf8').catch(
      () => '0',
    )
    nanoseconds += Number(stat.split(' ')[0])
  }
  return nanoseconds / 1e6
}
