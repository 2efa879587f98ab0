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
import { type Asked, origin, type Told } from '../api/exchange.ts'
import { layers, type Shares } from '../api/layers.ts'
import { Load } from '../api/load.ts'
import { type Benchmark, type Figure, figure, median } from '../benchmark.ts'
import { liftLimits } from '../lift-limits.ts'

const scripts = join(import.meta.dirname, '..', 'api')
const setupToken = 'the-setup-token-of-the-benchmark'
/** Requests to each server before anything counts. */
const warmAfter = 20_000

const methods = ['GET', 'POST'] as const
type Method = (typeof methods)[number]

const servers = {
  bare: { name: 'node:http alone', script: 'bare.ts', atom: undefined },
  atom: { name: 'Atom, everything in front of a door', script: 'atom.ts', atom: { everyLine: true } },
  ordinary: { name: 'Atom, as it logs under load', script: 'atom.ts', atom: { everyLine: false } },
  usual: { name: 'fastify with the usual plugins', script: 'usual.ts', atom: undefined },
  express: { name: 'Express, nothing in front', script: 'express.ts', atom: undefined },
  nest: { name: 'Nest, nothing in front', script: 'nest.ts', atom: undefined },
} as const
type ServerName = keyof typeof servers
const serverNames = Object.keys(servers) as ServerName[]

export const benchmark: Benchmark = {
  name: 'api',
  question:
    'How much processor time does a request cost behind everything that protects it (request id, security headers, another origin, limits, shedding, signed token, validation, serialisation, access log with every line written, metrics, traces at 1 %; put together as in production), and how much is that of what node:http alone spends on the same bytes in the same run? Where does it go, layer by layer?',
  strict: true,
  async run({ quick, say }) {
    await using born = new AsyncDisposableStack()
    const collector = born.use(await Collector.open())
    const running = new Map<ServerName, Server>()
    await Promise.all(
      serverNames.map(async (name) => {
        const { script, atom } = servers[name]
        const child = atom === undefined ? Server.start(script, {}) : startAtom(atom, collector, born)
        running.set(name, born.use(await child))
      }),
    )
    // The embedded agent learns its first words in the background; its processor time is no request's.
    await Promise.all([...running.values()].map((server) => server.rest()))
    const load = born.use(new Load())
    const serverOf = (name: ServerName) => {
      const server = running.get(name)
      if (server === undefined) throw new Error(`${name} does not run`)
      return server
    }
    const measure = async (name: ServerName, method: Method, ms: number) => {
      const server = serverOf(name)
      const before = (await server.ask('time')).microseconds
      const answers = await load.run({ url: server.url, token: server.token, method }, ms)
      return { answers, each: ((await server.ask('time')).microseconds - before) / answers }
    }
    const spent = new Map<string, number[]>()
    const timesOf = (name: ServerName, method: Method) => {
      const key = `${method} ${name}`
      const times = spent.get(key) ?? []
      spent.set(key, times)
      return times
    }
    const asked = methods.flatMap((method) => serverNames.map((name) => ({ name, method })))
    // Compiled, with sockets open.
    for (const { name, method } of asked)
      for (let answers = 0; answers < warmAfter; ) answers += (await measure(name, method, 500)).answers
    for (let round = 0; round < (quick ? 5 : 9); round++) {
      for (const { name, method } of shuffled(asked))
        timesOf(name, method).push((await measure(name, method, quick ? 400 : 700)).each)
      say(
        methods
          .map((method) => {
            const last = (name: ServerName) => timesOf(name, method).at(-1) ?? Number.NaN
            return `${method} ${last('atom').toFixed(1)} µs, bare ${last('bare').toFixed(1)} µs`
          })
          .join('; '),
      )
    }
    const figures: Figure[] = []
    for (const method of methods) {
      const atom = serverOf('atom')
      await atom.ask('watch')
      await load.run({ url: atom.url, token: atom.token, method }, quick ? 4_000 : 8_000)
      const { shares } = await atom.ask('where')
      if (shares === undefined) throw new Error('nobody knows where the time went')
      figures.push(...figuresOf(method, (name) => median(timesOf(name, method)), shares))
    }
    return figures
  },
}

function figuresOf(method: Method, spent: (name: ServerName) => number, shares: Shares): readonly Figure[] {
  const allowed: Readonly<Record<string, number>> = budget[method]
  const against = { peer: servers.bare.name, value: spent('bare') }
  const one = (name: string, value: number, limit: number | undefined) =>
    figure({
      name: `${method}: ${name}`,
      value,
      unit: 'µs',
      against,
      ...(limit !== undefined && { target: `<=${limit}` as const }),
    })
  return [
    one(servers.atom.name, spent('atom'), allowed['whole']),
    ...layers.map((layer) => one(`of that ${layer}`, spent('atom') * shares[layer], allowed[layer])),
    ...serverNames
      .filter((name) => name !== 'bare' && name !== 'atom')
      .map((name) => one(servers[name].name, spent(name), undefined)),
  ]
}

function shuffled<T>(list: readonly T[]): readonly T[] {
  return list
    .map((one) => ({ one, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ one }) => one)
}

async function startAtom(
  { everyLine }: { everyLine: boolean },
  collector: Collector,
  born: AsyncDisposableStack,
): Promise<Server> {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-bench-api-'))
  born.defer(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }))
  const server = await Server.start('atom.ts', {
    ATOM_DATA_DIR: dataDir,
    ATOM_PORT: String(await freePort()),
    ATOM_CORS_ORIGINS: origin,
    ATOM_SETUP_TOKEN: setupToken,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    EVERY_LINE: everyLine ? '1' : '0',
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

  async ask(asked: Asked): Promise<Told> {
    const answered = once(this.#process, 'message')
    this.#process.send(asked)
    const [told] = (await answered) as [Told]
    return told
  }

  /** Until it has next to nothing to do. */
  async rest(): Promise<void> {
    for (let before = (await this.ask('time')).microseconds; ; ) {
      await delay(1_000)
      const now = (await this.ask('time')).microseconds
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
    await liftLimits(this.url, accessToken)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await ended
  }
}
