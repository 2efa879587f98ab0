import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../../../server/test/support/atom-process.ts'
import budget from '../api/budget.json' with { type: 'json' }
import { origin, paths } from '../api/exchange.ts'
import { Load, type Question } from '../api/load.ts'
import { type Benchmark, type Figure, figure, median } from '../benchmark.ts'

const scripts = join(import.meta.dirname, '..', 'api')
const setupToken = 'the-setup-token-of-the-benchmark'
/** What a layer may cost beyond its budget before the run fails: rounds on shared machines differ by so much. */
const leeway = 1.05
/** Requests to each server before anything counts. */
const warmAfter = 20_000

const methods = ['GET', 'POST'] as const
type Method = (typeof methods)[number]

/** Who is asked, and how. Each but the first lacks one layer of the first, or is somebody else. */
interface Variant {
  readonly name: string
  readonly server: keyof typeof servers
  readonly path?: string
  readonly withoutToken?: boolean
  readonly withoutOrigin?: boolean
  readonly methods?: readonly Method[]
  /** A layer of Atom: what is measured is how much dearer the whole is than the same without it. */
  readonly layer?: string
}

const servers = {
  bare: { script: 'bare.ts', atom: undefined },
  atom: { script: 'atom.ts', atom: { level: 'info', traced: true } },
  untraced: { script: 'atom.ts', atom: { level: 'info', traced: false } },
  silent: { script: 'atom.ts', atom: { level: 'warn', traced: true } },
  usual: { script: 'usual.ts', atom: undefined },
  express: { script: 'express.ts', atom: undefined },
  nest: { script: 'nest.ts', atom: undefined },
} as const

const whole = 'Atom, everything in front of a door'
const bare = 'node:http alone'
const variants: readonly Variant[] = [
  { name: bare, server: 'bare' },
  { name: whole, server: 'atom' },
  { name: 'without the access log', server: 'silent', layer: 'log' },
  { name: 'without export of traces', server: 'untraced', layer: 'trace' },
  { name: 'without the token', server: 'atom', path: paths.open, withoutToken: true, layer: 'token' },
  { name: 'without another origin', server: 'atom', withoutOrigin: true, layer: 'cors' },
  { name: 'without checks of what is sent', server: 'atom', path: paths.unchecked, layer: 'validation' },
  {
    name: 'without guard, checks and a schema of the answer',
    server: 'atom',
    path: paths.bare,
    withoutToken: true,
    methods: ['GET'],
    layer: 'guard',
  },
  { name: 'fastify with the usual plugins', server: 'usual' },
  { name: 'Express, nothing in front', server: 'express' },
  { name: 'Nest, nothing in front', server: 'nest' },
]

export const benchmark: Benchmark = {
  name: 'api',
  question:
    'How much processor time does a request cost behind everything that protects it (request id, security headers, another origin, limits, shedding, signed token, validation, serialisation, access log, metrics, traces at 1 %; all that the Atom of this commit has of it, put together as in production), and how much is that of what node:http alone spends on the same bytes in the same run?',
  strict: true,
  async run({ quick, say }) {
    await using born = new AsyncDisposableStack()
    const collector = born.use(await Collector.open())
    const running = new Map<string, Server>()
    await Promise.all(
      Object.entries(servers).map(async ([name, { script, atom }]) => {
        const child = atom === undefined ? Server.start(script, {}) : startAtom(atom, collector, born)
        running.set(name, born.use(await child))
      }),
    )
    // The embedded agent learns its first words in the background; its processor time is no request's.
    await Promise.all([...running.values()].map((server) => server.rest()))
    const load = born.use(new Load())
    const spent = new Map<string, number[]>()
    const asked = methods.flatMap((method) =>
      variants
        .filter((variant) => variant.methods?.includes(method) ?? true)
        .map((variant) => ({ variant, method, key: `${method} ${variant.name}` })),
    )
    const forMs = quick ? 400 : 700
    const measure = async ({ variant, method }: (typeof asked)[number], ms: number) => {
      const server = running.get(variant.server)
      if (server === undefined) throw new Error(`${variant.server} does not run`)
      const question: Question = {
        url: server.url,
        path: variant.path ?? paths.full,
        method,
        token: variant.withoutToken ? undefined : server.token,
        fromPage: variant.withoutOrigin !== true,
      }
      const before = await server.microseconds()
      const answers = await load.run(question, ms)
      return { answers, each: ((await server.microseconds()) - before) / answers }
    }
    // Compiled, with sockets open. A server of few variants is as warm as one of many, or it would seem dearer.
    for (const one of asked) {
      const sharing = asked.filter(({ variant }) => variant.server === one.variant.server).length
      for (let answers = 0; answers < warmAfter / sharing; ) answers += (await measure(one, 500)).answers
    }
    for (let round = 0; round < (quick ? 3 : 5); round++) {
      for (const one of shuffled(asked)) {
        const times = spent.get(one.key) ?? []
        spent.set(one.key, times)
        times.push((await measure(one, forMs)).each)
      }
      say(
        methods
          .map((method) => {
            const last = (name: string) => spent.get(`${method} ${name}`)?.at(-1) ?? Number.NaN
            return `${method} ${last(whole).toFixed(1)} µs, bare ${last(bare).toFixed(1)} µs`
          })
          .join('; '),
      )
    }
    return methods.flatMap((method) =>
      figuresOf(method, (name) => median(spent.get(`${method} ${name}`) ?? [])),
    )
  },
}

function figuresOf(method: Method, spent: (name: string) => number): readonly Figure[] {
  const allowed: Readonly<Record<string, number>> = budget[method]
  const found: Figure[] = []
  for (const { name, layer, methods: only } of variants) {
    if (name === bare || !(only?.includes(method) ?? true)) continue
    const limit = allowed[name === whole ? 'whole' : (layer ?? '')]
    // The whole has its target as it stands; a layer has some leeway, and is told by the whole against the whole without it.
    found.push(
      layer === undefined
        ? figure({
            name: `${method}: ${name}`,
            value: spent(name),
            unit: 'µs',
            against: { peer: bare, value: spent(bare) },
            ...(limit !== undefined && { target: `<=${limit}` as const }),
          })
        : figure({
            name: `${method}: whole`,
            value: spent(whole),
            unit: 'µs',
            against: { peer: name, value: spent(name) },
            ...(limit !== undefined && { target: `<=${Number((limit * leeway).toFixed(3))}` as const }),
          }),
    )
  }
  return found
}

function shuffled<T>(list: readonly T[]): readonly T[] {
  return list
    .map((one) => ({ one, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ one }) => one)
}

async function startAtom(
  { level, traced }: { level: string; traced: boolean },
  collector: Collector,
  born: AsyncDisposableStack,
): Promise<Server> {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-bench-api-'))
  born.defer(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }))
  const server = await Server.start('atom.ts', {
    ATOM_DATA_DIR: dataDir,
    ATOM_PORT: String(await freePort()),
    ATOM_LOG_LEVEL: level,
    ATOM_CORS_ORIGINS: origin,
    ATOM_SETUP_TOKEN: setupToken,
    ...(traced && { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }),
  })
  await server.arrive()
  return server
}

/** Takes what is exported, and does nothing with it. */
class Collector implements AsyncDisposable {
  readonly #server = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'))
  })

  static async open(): Promise<Collector> {
    const collector = new Collector()
    collector.#server.listen(0, '127.0.0.1')
    await once(collector.#server, 'listening')
    return collector
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

/** A process that is measured; ended with the benchmark. */
class Server implements AsyncDisposable {
  readonly url: string
  token: string | undefined
  readonly #process: ChildProcess

  private constructor(url: string, token: string | undefined, child: ChildProcess) {
    this.url = url
    this.token = token
    this.#process = child
  }

  static async start(script: string, environment: Readonly<Record<string, string>>): Promise<Server> {
    const { DATABASE_URL: _url, ...inherited } = process.env
    const child = spawn(process.execPath, [join(scripts, script)], {
      env: { ...inherited, ...environment },
      // Its log is written as ever, to where it costs nothing to keep.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`${script} ended with ${code} instead of starting`)
    })
    const [{ url, token }] = (await Promise.race([once(child, 'message'), ended])) as [
      { url: string; token?: string },
    ]
    ended.catch(() => undefined)
    return new Server(url, token, child)
  }

  /** Processor time of the process so far, all threads together. */
  async microseconds(): Promise<number> {
    const answered = once(this.#process, 'message')
    this.#process.send('how much?')
    const [{ microseconds }] = (await answered) as [{ microseconds: number }]
    return microseconds
  }

  /** Until it has next to nothing to do. */
  async rest(): Promise<void> {
    for (let before = await this.microseconds(); ; ) {
      await delay(1_000)
      const now = await this.microseconds()
      if (now - before < 50_000) return
      before = now
    }
  }

  /** Somebody signs in, and lifts what holds back one who asks more than anybody may. */
  async arrive(): Promise<void> {
    const json = { 'content-type': 'application/json' }
    const answer = await fetch(`${this.url}/v1/setup`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify({
        token: setupToken,
        email: 'ada@example.com',
        password: 'seven calm otters sing',
        name: 'Ada',
        workspace: 'Engines',
      }),
    })
    const { accessToken } = (await answer.json()) as { accessToken: string }
    this.token = accessToken
    for (const policy of ['address', 'account']) {
      const lifted = await fetch(`${this.url}/v1/operations/limits/${policy}`, {
        method: 'PUT',
        headers: { ...json, authorization: `Bearer ${accessToken}` },
        body: JSON.stringify({ burst: 1_000_000, perSecond: 1_000_000 }),
      })
      // A commit without limits has no such address.
      if (!lifted.ok && lifted.status !== 404)
        throw new Error(`the limit ${policy} was not lifted: ${await lifted.text()}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await ended
  }
}
