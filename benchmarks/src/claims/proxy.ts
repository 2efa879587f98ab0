import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../../../server/test/support/atom-process.ts'
import { type Benchmark, figure, median } from '../benchmark.ts'
import { liftLimits } from '../lift-limits.ts'
import { treeOf } from '../process-tree.ts'
import { type Load, load } from '../proxy/load.ts'

const scripts = join(import.meta.dirname, '..', 'proxy')
const issues = '/repos/o/r/issues?state=open&per_page=10'
const setupToken = 'the-setup-token-of-the-benchmark'
const manyConnections = 50
const inFlight = 64
const target = '>=0.6'

export const benchmark: Benchmark = {
  name: 'proxy',
  question:
    'How many calls of an API pass the proxy per second, with the caller authenticated, the connection known as it stood half a second ago at most, its credential attached, the answer searched for credentials and a line logged for each; and how much is that of what a bare reverse proxy (@fastify/http-proxy) passes to the same upstream in the same run?',
  async run({ quick, say }) {
    const rounds = quick ? 2 : 5
    const forMs = quick ? 2_000 : 5_000
    await using born = new AsyncDisposableStack()
    const dataDir = await mkdtemp(join(tmpdir(), 'atom-bench-proxy-'))
    born.defer(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }))
    const upstream = born.use(await Child.start('upstream.ts', {}))
    const bare = born.use(await Child.start('bare.ts', { UPSTREAM: upstream.url }))
    const atom = born.use(
      await Child.start('atom.ts', {
        UPSTREAM: upstream.url,
        ATOM_DATA_DIR: dataDir,
        ATOM_PORT: String(await freePort()),
        ATOM_LOG_LEVEL: 'info',
        ATOM_SETUP_TOKEN: setupToken,
      }),
    )
    // The embedded agent learns its first words in the background; its processor time is not the proxy's.
    await atom.rest()
    const caller = await Caller.arrive(atom.url)
    await liftLimits(atom.url, caller.token)
    const connected: string[] = []
    // One after the other: a server that has just come up turns away what comes all at once.
    for (let person = 1; person <= manyConnections; person++) connected.push(await caller.connect(person))
    const [one = '', ...more] = connected
    const through = (id: string) => `${atom.url}/v1/connections/${id}/proxy${issues}`
    const kinds = {
      direct: { addresses: [`${upstream.url}/api.github.com${issues}`] },
      bare: { addresses: [`${bare.url}${issues}`] },
      one: { addresses: [through(one)], token: caller.token },
      many: { addresses: [one, ...more].map(through), token: caller.token },
    }
    const measured: Record<keyof typeof kinds, Load[]> = { direct: [], bare: [], one: [], many: [] }
    const names = Object.keys(kinds) as (keyof typeof kinds)[]
    // Compiled, with sockets open.
    for (const name of names) await load({ ...kinds[name], inFlight, forMs: 1_500 })
    const spent: Record<keyof typeof kinds, number[]> = { direct: [], bare: [], one: [], many: [] }
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        const process = { direct: upstream, bare, one: atom, many: atom }[name]
        const before = await process.processorMs()
        const outcome = await load({ ...kinds[name], inFlight, forMs })
        measured[name].push(outcome)
        spent[name].push(((await process.processorMs()) - before) / outcome.calls)
      }
      say(names.map((name) => `${name} ${Math.round(measured[name].at(-1)?.perSecond ?? 0)}/s`).join(', '))
    }
    const alone: Record<'bare' | 'one', Load[]> = { bare: [], one: [] }
    for (let round = 0; round < rounds; round++) {
      for (const name of ['bare', 'one'] as const)
        alone[name].push(await load({ ...kinds[name], inFlight: 1, forMs: forMs / 2 }))
    }
    const middle = (loads: readonly Load[], of: (one: Load) => number) => median(loads.map(of))
    const rate = (name: keyof typeof kinds) => middle(measured[name], ({ perSecond }) => perSecond)
    const late = (loads: readonly Load[], share: number) => middle(loads, (one) => one.latency(share))
    const peer = '@fastify/http-proxy'
    return [
      figure({
        name: `straight to the upstream, ${inFlight} at once`,
        value: rate('direct'),
        unit: 'calls/s',
      }),
      figure({
        name: `through Atom, one connection, ${inFlight} at once`,
        value: rate('one'),
        unit: 'calls/s',
        against: { peer, value: rate('bare') },
        target,
      }),
      figure({
        name: `through Atom, ${manyConnections} connections in turn, ${inFlight} at once`,
        value: rate('many'),
        unit: 'calls/s',
        against: { peer, value: rate('bare') },
        target,
      }),
      figure({
        name: 'processor time of a call, one connection, database included',
        value: median(spent.one) * 1000,
        unit: 'µs',
        against: { peer, value: median(spent.bare) * 1000 },
      }),
      ...[0.5, 0.99].flatMap((share) => [
        figure({
          name: `one connection, ${inFlight} at once, p${share * 100}`,
          value: late(measured.one, share),
          unit: 'ms',
          against: { peer, value: late(measured.bare, share) },
        }),
        figure({
          name: `one at a time, p${share * 100}`,
          value: late(alone.one, share),
          unit: 'ms',
          against: { peer, value: late(alone.bare, share) },
        }),
      ]),
    ]
  },
}

/** A process of the benchmark, ended with it. */
class Child implements AsyncDisposable {
  readonly url: string
  readonly #process: ChildProcess

  private constructor(url: string, child: ChildProcess) {
    this.url = url
    this.#process = child
  }

  static async start(script: string, environment: Readonly<Record<string, string>>): Promise<Child> {
    const { DATABASE_URL: _url, ...inherited } = process.env
    const child = spawn(process.execPath, [join(scripts, script)], {
      env: { ...inherited, ...environment },
      // Its log is written as ever, to where it costs nothing to keep.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`${script} ended with ${code} instead of starting`)
    })
    const [{ url }] = (await Promise.race([once(child, 'message'), ended])) as [{ url: string }]
    ended.catch(() => undefined)
    return new Child(url, child)
  }

  /** Until it has next to nothing to do. */
  async rest(): Promise<void> {
    for (let before = await this.processorMs(); ; ) {
      await delay(1_000)
      const now = await this.processorMs()
      if (now - before < 50) return
      before = now
    }
  }

  /** Over all threads, and all processes below it (proc(5), `stat`, which counts in hundredths of a second). */
  async processorMs(): Promise<number> {
    let ticks = 0
    for (const { pid } of await treeOf(this.#process.pid ?? 0)) {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      ticks += Number(fields[11]) + Number(fields[12])
    }
    return ticks * 10
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await ended
  }
}

/** Somebody who is signed in and has connected accounts. */
class Caller {
  readonly token: string
  readonly #url: string

  private constructor(url: string, token: string) {
    this.#url = url
    this.token = token
  }

  static async arrive(url: string): Promise<Caller> {
    const answer = await fetch(`${url}/v1/setup`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        token: setupToken,
        email: 'ada@example.com',
        password: 'seven calm otters sing',
        name: 'Ada',
        workspace: 'Engines',
      }),
    })
    const { accessToken } = (await answer.json()) as { accessToken: string }
    return new Caller(url, accessToken)
  }

  /** @returns the id of the connection */
  async connect(person: number): Promise<string> {
    const begun = await fetch(`${this.#url}/v1/connections`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ provider: 'github' }),
    })
    if (!begun.ok) throw new Error(`not begun: ${begun.status} ${await begun.text()}`)
    const { authorizeUrl } = (await begun.json()) as { authorizeUrl: string }
    const authorize = new URL(authorizeUrl).searchParams
    const back = new URL(authorize.get('redirect_uri') ?? '')
    back.searchParams.set('state', authorize.get('state') ?? '')
    back.searchParams.set('code', String(person))
    const cookie = begun.headers
      .getSetCookie()
      .map((line) => line.split(';', 1)[0])
      .join('; ')
    const done = await fetch(back, { redirect: 'manual', headers: { cookie, accept: 'text/html' } })
    const id = new URL(done.headers.get('location') ?? '', this.#url).searchParams.get('connected')
    if (id === null) throw new Error(`not connected: ${done.status} ${await done.text()}`)
    return id
  }
}
