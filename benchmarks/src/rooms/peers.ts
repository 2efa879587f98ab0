import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import { installDebianPackages } from '../../../scripts/debian-packages.ts'
import type { AccountPrincipal } from '../../../server/src/access/principal.ts'
import type { KeySet } from '../../../server/src/access/tokens.ts'
import { migrate } from '../../../server/src/foundation/database/migrate.ts'
import { openDatabase } from '../../../server/src/foundation/database/pool.ts'
import { createLog } from '../../../server/src/foundation/log.ts'
import type { AdmissionLimits } from '../../../server/src/realtime/admission.ts'
import { migrationsFolder } from '../../../server/test/support/postgres.ts'
import { engines } from './publishing.ts'

export type Peer = 'atom' | 'socket.io' | 'ws'
export type Cursors = Record<string, { epoch: string; seq: number }>

export interface PeerOptions {
  readonly database?: string
  readonly rooms?: number
  readonly admission?: Partial<AdmissionLimits>
  /** Of another process on the same database. */
  readonly person?: AccountPrincipal
  readonly roomIds?: readonly string[]
  /** So many people, each with as many tokens as they visit, a hundred to a room. */
  readonly crowd?: number
  readonly visits?: number
  /** Socket.IO then lets in only who has a token of one of these keys. */
  readonly keySet?: KeySet
}

/** Somebody who can come to Atom: with a token that no server has seen for each visit, and one room. */
export interface Guest {
  readonly tokens: readonly string[]
  readonly deviceId: string
  readonly cursors: Cursors
}

export type Order = { readonly id: number } & (
  | {
      readonly name: 'say'
      readonly count: number
      readonly lanes: number
      readonly room: number
      readonly text: string
    }
  | { readonly name: 'held' }
  | { readonly name: 'used' }
  | { readonly name: 'young' }
  | { readonly name: 'drain' }
)
type Asked = Order extends infer O ? (O extends Order ? Omit<O, 'id'> : never) : never

interface Ready {
  readonly url: string
  readonly token?: string
  readonly person?: AccountPrincipal
  readonly cursors?: Cursors
  readonly crowd?: readonly Guest[]
  readonly keySet?: KeySet
}

const program = join(import.meta.dirname, '..', 'peer-child.ts')
const patienceMs = 120_000
/** Of the kernel's accounts of processor time. */
const tickMs = 10

/** A server that is measured, in a process of its own. */
export class Server implements AsyncDisposable {
  readonly ready: Ready
  readonly #child: ChildProcess
  #orders = 0

  private constructor(child: ChildProcess, ready: Ready) {
    this.#child = child
    this.ready = ready
  }

  static async start(kind: Peer, options: PeerOptions = {}): Promise<Server> {
    const child = fork(program, [kind, JSON.stringify(options)], {
      execArgv: [...process.execArgv, '--expose-gc'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const [message] = (await once(child, 'message', { signal: AbortSignal.timeout(patienceMs) })) as [
      { ready: Ready },
    ]
    return new Server(child, message.ready)
  }

  get roomIds(): readonly string[] {
    return Object.keys(this.ready.cursors ?? {})
  }

  async ask(order: Asked): Promise<number> {
    const id = ++this.#orders
    return await new Promise((resolve) => {
      const heard = (answer: { id: number; value: number }) => {
        if (answer.id !== id) return
        this.#child.off('message', heard)
        resolve(answer.value)
      }
      this.#child.on('message', heard)
      this.#child.send({ ...order, id })
    })
  }

  /** Processor time that it has used, in milliseconds. */
  processorMs(): Promise<number> {
    return processorMsOf(this.#child.pid ?? 0)
  }

  /** What it holds in memory now, in KiB. */
  async residentKiB(): Promise<number> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1])
  }

  /** What of it is in use, after a collection of garbage, in KiB. */
  async usedKiB(): Promise<number> {
    return (await this.ask({ name: 'used' })) / 1024
  }

  /** What of it V8's young generation has taken from the system, in KiB. */
  async youngKiB(): Promise<number> {
    return (await this.ask({ name: 'young' })) / 1024
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.disconnect()
    await ended
  }
}

export interface LineOptions {
  readonly token?: string | undefined
  readonly deviceId?: string | undefined
  readonly cursors?: Cursors | undefined
}

/** One client of a server with as little of its own as possible: a WebSocket that answers pings and counts events. */
export class Line {
  events = 0
  last = 0
  /** In order and without a gap, each once, for who asks. */
  gapless = true
  /** From the start of the TCP connection to the server's word that it is connected. */
  readonly connected: Promise<void>
  heard: (name: string, frame: Record<string, unknown>) => void = () => undefined
  readonly socket: WebSocket

  constructor(kind: Peer, { url, token: own }: Ready, { token = own, deviceId, cursors }: LineOptions = {}) {
    const path = kind === 'ws' ? '' : '/socket.io/?EIO=4&transport=websocket'
    this.socket = new WebSocket(url.replace('http', 'ws') + path, { perMessageDeflate: false })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.connected = promise
    // Who waits for it hears of it; who does not has closed it.
    promise.catch(() => undefined)
    this.socket.once('error', reject)
    this.socket.once('close', () => reject(new Error('a connection was closed')))
    if (kind === 'ws') this.socket.once('open', resolve)
    this.socket.on('message', (data: Buffer) => {
      const packet = data.toString()
      if (kind === 'ws') this.#event(JSON.parse(packet))
      else if (packet === '2') this.socket.send('3')
      else if (packet[0] === '0') this.socket.send(`40${JSON.stringify({ token, deviceId, cursors })}`)
      else if (packet.startsWith('44')) reject(new Error(packet))
      else if (packet.startsWith('40') && kind === 'socket.io') resolve()
      else if (packet.startsWith('42')) {
        const [name, frame] = JSON.parse(packet.slice(2))
        if (name === 'hello') resolve()
        this.#event([name, frame])
      }
    })
  }

  close(): void {
    this.socket.terminate()
  }

  #event([name, frame]: [string, Record<string, unknown>]): void {
    if (name === 'room.events') {
      for (const { seq } of frame['events'] as { seq: number }[]) {
        if (this.last !== 0 && seq !== this.last + 1) this.gapless = false
        this.last = seq
        this.events++
      }
    }
    this.heard(name, frame)
  }
}

/** Opens so many, a few at a time; each as `who` says, or else with the cursors of all the server's rooms. */
export async function lines(
  kind: Peer,
  server: Server,
  count: number,
  who: (index: number) => LineOptions = () => ({ cursors: server.ready.cursors }),
  atOnce = 25,
): Promise<Line[]> {
  const opened: Line[] = []
  const open = async () => {
    while (opened.length < count) {
      const line = new Line(kind, server.ready, who(opened.length))
      opened.push(line)
      await line.connected
    }
  }
  await Promise.all(Array.from({ length: atOnce }, open))
  return opened
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + patienceMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`did not happen: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Lets what is left of a measurement come to an end. */
export const rest = (ms = 1_000) => new Promise((resolve) => setTimeout(resolve, ms))

async function processorMsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * tickMs
}

const natsProgram = '/usr/sbin/nats-server'

/** NATS with its WebSocket door, where it is installed or can be: Debian has it as `nats-server`. */
export class Nats implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #url: string

  private constructor(child: ChildProcess, folder: string, url: string) {
    this.#child = child
    this.#folder = folder
    this.#url = url
  }

  static async start(): Promise<Nats | undefined> {
    // Who is not root still gets every other figure.
    if (!existsSync(natsProgram) && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
      installDebianPackages('nats-server')
    }
    if (!existsSync(natsProgram)) return undefined
    const folder = await mkdtemp(join(tmpdir(), 'atom-bench-'))
    const [port, door] = [await freePort(), await freePort()]
    const settings = `listen: "127.0.0.1:${port}"\nwebsocket { listen: "127.0.0.1:${door}", no_tls: true, compression: false }\n`
    await writeFile(join(folder, 'nats.conf'), settings)
    const child = spawn(natsProgram, ['-c', join(folder, 'nats.conf')], { stdio: 'ignore' })
    const nats = new Nats(child, folder, `ws://127.0.0.1:${door}`)
    for (let attempt = 0; attempt < 100; attempt++) {
      try {
        const probe = await nats.client(() => undefined)
        probe.terminate()
        return nats
      } catch (error) {
        if (attempt === 99) throw error
        await rest(50)
      }
    }
    return nats
  }

  /** A subscriber of the one subject, told how many messages came. */
  async client(heard: (messages: number) => void): Promise<WebSocket> {
    const socket = new WebSocket(this.#url, { perMessageDeflate: false })
    await once(socket, 'open')
    const { promise, resolve } = Promise.withResolvers<void>()
    let rest = ''
    socket.on('message', (data: Buffer) => {
      rest += data.toString()
      let messages = 0
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const line = rest.slice(0, end)
        if (line.startsWith('MSG ')) {
          const size = Number(line.slice(line.lastIndexOf(' ') + 1))
          if (rest.length < end + 2 + size + 2) break
          rest = rest.slice(end + 2 + size + 2)
          messages++
          continue
        }
        rest = rest.slice(end + 2)
        if (line === 'PING') socket.send('PONG\r\n')
        if (line === 'PONG') resolve()
      }
      if (messages > 0) heard(messages)
    })
    socket.send('CONNECT {"verbose":false,"protocol":1}\r\nSUB room 1\r\nPING\r\n')
    await promise
    return socket
  }

  processorMs(): Promise<number> {
    return processorMsOf(this.#child.pid ?? 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
    await rm(this.#folder, { recursive: true, force: true })
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** A PostgreSQL as Atom uses it, with Atom's tables. */
export async function preparedDatabase(): Promise<AsyncDisposable & { readonly url: string }> {
  const [engine] = engines
  if (engine === undefined) throw new Error('there is no engine')
  const server = await engine.start()
  const log = createLog({ level: 'warn' })
  await using database = await openDatabase({
    connection: { connectionString: server.url },
    poolSize: 1,
    log,
  })
  await migrate(database, { directory: migrationsFolder, log })
  return server
}
