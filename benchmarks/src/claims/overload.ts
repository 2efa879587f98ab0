import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../../../server/test/support/atom-process.ts'
import { type Benchmark, type Figure, figure, median, quantile } from '../benchmark.ts'
import { liftLimits } from '../lift-limits.ts'
import { type Arrivals, arrive, type Crowd, capacity, patienceMs, type Target } from '../overload/arrivals.ts'
import { type ProcessorTime, processorsApart, processorTime } from '../overload/processors.ts'

const setupToken = 'the-setup-token-of-the-benchmark'
const person = { email: 'ada@example.com', password: 'seven calm otters sing' }
const messages = 120
const times = 3
/** Of these the first is the way into overload. */
const settleMs = 1_000
/** What is not protected says in the first seconds what it has to say, and takes long to come to itself. */
const bareMs = 3_000

/** One after the other for each crowd: what can be served at most, the flood, and that again; then the flood on the other. */
interface Round {
  readonly peak: number
  readonly shed: Measured
  readonly bare: Measured
}

export const benchmark: Benchmark = {
  name: 'overload',
  question: `Requests come at ${times} times the rate that can be served, once each over a connection of its own (newcomers), once over a thousand that are there already (residents), whether or not those before have been answered, and their clients, who have a processor of their own throughout, wait ${patienceMs / 1_000} s from when they were to ask: how much of what can be served at most, of the same requests of the same crowd, is served, against the same server without shedding; does anybody wait in vain; do people who sign in or renew their session get through; and how soon is everything as before? In rounds: each flood is compared with what could be served right before and right after it, because shared machines are not as fast in one minute as in the next.`,
  async run({ quick, say }) {
    const length = quick ? { peakMs: 1_000, floodMs: 6_000 } : { peakMs: 1_500, floodMs: 7_000 }
    using processors = processorsApart()
    if (processors.others.length === 0)
      say('the clients take their time from the server: no processor is theirs')
    await using unprotected = await Server.start(processors.others, { UNPROTECTED: '1' })
    await using server = await Server.start(processors.others, {})
    for (const one of [unprotected, server]) await one.warm()
    say('both are warm')
    const began = processorTime()
    const rounds: Record<Crowd, Round[]> = { newcomers: [], residents: [] }
    for (let at = 0; at < (quick ? 1 : 3); at++)
      for (const crowd of ['newcomers', 'residents'] as const) {
        const round = await measured(server, unprotected, crowd, length)
        rounds[crowd].push(round)
        say(`${crowd}: ${Math.round(round.peak)}/s at most`)
        say(`  shedding: ${told(round.shed)}`)
        say(`  unprotected: ${told(round.bare)}`)
      }
    return [
      ...figuresOf('newcomers', rounds.newcomers),
      ...figuresOf('residents', rounds.residents),
      ...stolenSince(began),
    ]
  },
}

async function measured(
  server: Server,
  unprotected: Server,
  crowd: Crowd,
  { peakMs, floodMs }: { readonly peakMs: number; readonly floodMs: number },
): Promise<Round> {
  const before = await server.capacity(peakMs, crowd)
  const shed = await server.flooded(before * times, floodMs, crowd)
  const after = await server.capacity(peakMs, crowd)
  const bare = await unprotected.flooded(before * times, bareMs, crowd)
  return { peak: (before + after) / 2, shed, bare }
}

/** What the host gave to others meanwhile; nothing where it does not say. */
function stolenSince(began: ProcessorTime | undefined): Figure[] {
  const ended = processorTime()
  if (began === undefined || ended === undefined) return []
  const part = (ended.stolen - began.stolen) / Math.max(1, ended.all - began.all)
  return [figure({ name: "of the processors' time, given by the host to others", value: part, unit: 'part' })]
}

function figuresOf(crowd: Crowd, rounds: readonly Round[]): Figure[] {
  const parts = rounds.map(({ peak, shed }) => shed.goodput / peak)
  const sum = (of: (round: Round) => number) => rounds.reduce((all, round) => all + of(round), 0)
  const asked = sum(({ shed }) => shed.entries.asked)
  const done = sum(({ shed }) => shed.entries.done)
  const peer = 'the same without shedding'
  const p99 = (of: (round: Round) => Measured) =>
    quantile(
      rounds.flatMap((round) => of(round).arrivals.took),
      0.99,
    )
  return [
    figure({
      name: `${crowd}: served at most, 16 clients in a closed loop`,
      value: median(rounds.map(({ peak }) => peak)),
      unit: 'requests/s',
    }),
    figure({
      name: `${crowd}: good answers at ${times} times that`,
      value: median(rounds.map(({ shed }) => shed.goodput)),
      unit: 'requests/s',
    }),
    figure({
      name: `${crowd}: of what was served at most in the same round, the middle one of ${rounds.length}`,
      value: median(parts),
      unit: 'part',
      target: '>=0.7',
    }),
    figure({ name: `${crowd}: the same in the worst round`, value: Math.min(...parts), unit: 'part' }),
    figure({
      name: `${crowd}: good answers at ${times} times that, against none`,
      value: median(rounds.map(({ shed }) => shed.goodput)),
      unit: 'requests/s',
      // Without shedding it may be none at all.
      against: { peer, value: Math.max(median(rounds.map(({ bare }) => bare.goodput)), 1) },
      target: '>=2',
    }),
    figure({
      name: `${crowd}: requests that waited in vain, of ${sum(({ shed }) => shed.arrivals.sent)}`,
      value: sum(({ shed }) => shed.arrivals.lost.length),
      unit: 'requests',
      target: '<=0',
    }),
    figure({
      name: `${crowd}: the same without shedding, of ${sum(({ bare }) => bare.arrivals.sent)}`,
      value: sum(({ bare }) => bare.arrivals.lost.length),
      unit: 'requests',
    }),
    figure({
      name: `${crowd}: p99 of good answers under overload`,
      value: p99(({ shed }) => shed),
      unit: 'ms',
      against: { peer, value: p99(({ bare }) => bare) },
    }),
    figure({
      name: `${crowd}: sign-ins and renewals that got through, of ${asked}`,
      value: done / asked,
      unit: 'part',
      target: '>=1',
    }),
    figure({
      name: `${crowd}: until everybody is served again, the longest`,
      value: Math.max(...rounds.map(({ shed }) => shed.recoveryMs)) / 1_000,
      unit: 's',
      target: '<=5',
    }),
  ]
}

interface Measured {
  readonly goodput: number
  readonly arrivals: Arrivals
  readonly entries: { readonly asked: number; readonly done: number }
  readonly recoveryMs: number
}

function told({ goodput, arrivals, entries, recoveryMs }: Measured): string {
  return `${Math.round(goodput)}/s, ${arrivals.sent} sent, ${arrivals.turnedAway} turned away, ${arrivals.lost.length} lost (${arrivals.lost.filter((at) => at < settleMs).length} of them sent in the first second), entry ${entries.done} of ${entries.asked}, back after ${Math.round(recoveryMs)} ms`
}

/** A server in a process of its own, with a person and a room that has something to read. */
class Server implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #url: string
  readonly #dataDir: string
  #target: Target | undefined
  #refreshToken = ''

  private constructor(child: ChildProcess, url: string, dataDir: string) {
    this.#child = child
    this.#url = url
    this.#dataDir = dataDir
  }

  static async start(
    before: readonly string[],
    environment: Readonly<Record<string, string>>,
  ): Promise<Server> {
    const dataDir = await mkdtemp(join(tmpdir(), 'atom-bench-overload-'))
    const { DATABASE_URL: _url, ...inherited } = process.env
    const atom = join(import.meta.dirname, '..', 'overload', 'atom.ts')
    const [command = process.execPath, ...args] = [...before, process.execPath, atom]
    const child = spawn(command, args, {
      env: {
        ...inherited,
        ATOM_DATA_DIR: dataDir,
        ATOM_PORT: String(await freePort()),
        ATOM_LOG_LEVEL: 'info',
        ATOM_SETUP_TOKEN: setupToken,
        ATOM_SANDBOX: '0',
        ...environment,
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the server ended with ${code} instead of starting`)
    })
    const [{ url }] = (await Promise.race([once(child, 'message'), ended])) as [{ url: string }]
    ended.catch(() => undefined)
    return new Server(child, url, dataDir)
  }

  /** The embedded agent learns its words in the background, and the code has to be compiled. */
  async warm(): Promise<void> {
    const { token, refreshToken, path } = await this.#furnish()
    const { hostname: host, port } = new URL(this.#url)
    this.#target = { host, port: Number(port), path, token }
    this.#refreshToken = refreshToken
    let best = 0
    for (let round = 0; round < 6; round++) {
      const now = (await this.capacity(750, 'newcomers')) + (await this.capacity(750, 'residents'))
      if (round > 1 && now < best * 1.05) return
      best = Math.max(best, now)
    }
  }

  async capacity(forMs: number, crowd: Crowd): Promise<number> {
    return await capacity(this.#aim(), 16, forMs, crowd)
  }

  async flooded(perSecond: number, forMs: number, crowd: Crowd): Promise<Measured> {
    const over = new AbortController()
    const entering = this.#enter(over.signal)
    const arrivals = await arrive(this.#aim(), perSecond, forMs, crowd)
    over.abort()
    const entries = await entering
    const recoveryMs = await this.#recovered(perSecond / times / 3)
    // By when they were due: what waited since the first second is nobody's merit.
    const settled = arrivals.good.filter((at, each) => at - (arrivals.took[each] ?? 0) >= settleMs).length
    return { goodput: (settled * 1_000) / (forMs - settleMs), arrivals, entries, recoveryMs }
  }

  #aim(): Target {
    if (this.#target === undefined) throw new Error('the server is not warm yet')
    return this.#target
  }

  async #furnish(): Promise<{ token: string; refreshToken: string; path: string }> {
    const founded = await this.#post<{ accessToken: string }>('/v1/setup', {
      ...person,
      token: setupToken,
      name: 'Ada',
      workspace: 'Engines',
    })
    const token = founded.accessToken
    await liftLimits(this.#url, token)
    // Without the agent: its turns are jobs, and would take a part of the machine that changes while all this is measured.
    const room = await this.#post<{ id: string }>('/v1/rooms', { name: 'Overload', members: [] }, token)
    for (let sent = 0; sent < messages; sent++) {
      const text = `${sent}: ${'the lock expired before the work was done. '.repeat(10)}`
      await this.#post(`/v1/rooms/${room.id}/messages`, { clientId: crypto.randomUUID(), text }, token)
    }
    const { refreshToken } = await this.#post<{ refreshToken: string }>('/v1/auth/login', person)
    return { token, refreshToken, path: `/v1/rooms/${room.id}/events?after=0&limit=${messages}` }
  }

  /** Somebody renews their session, and somebody signs in, again and again, each with the patience of any client. */
  async #enter(over: AbortSignal): Promise<{ asked: number; done: number }> {
    let [asked, done] = [0, 0]
    for (let turn = 0; !over.aborted; turn++) {
      asked++
      try {
        if (turn % 2 === 0) {
          this.#refreshToken = (
            await this.#post<{ refreshToken: string }>('/v1/auth/refresh', {
              refreshToken: this.#refreshToken,
            })
          ).refreshToken
        } else await this.#post('/v1/auth/login', person)
        done++
      } catch (error) {
        if (!(error instanceof Error)) throw error
        console.error(`    ${error.message.slice(0, 120)}`)
      }
      await delay(200)
    }
    return { asked, done }
  }

  /** Until, over a whole second, everybody is served who comes, at a third of what can be. */
  async #recovered(perSecond: number): Promise<number> {
    const began = performance.now()
    for (;;) {
      const sinceMs = performance.now() - began
      const { sent, good } = await arrive(this.#aim(), perSecond, 1_000)
      if (good.length === sent || sinceMs > 30_000) return sinceMs
    }
  }

  async #post<T>(path: string, body: object, token?: string): Promise<T> {
    const answer = await fetch(`${this.#url}${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    })
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`)
    return (await answer.json()) as T
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      await ended
    }
    await rm(this.#dataDir, { recursive: true, force: true, maxRetries: 5 })
  }
}
