import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { io, type Socket } from 'socket.io-client'
import { freePort } from '../support/atom-process.ts'
import { FaultyLine } from './faulty-line.ts'
import type { ChaosOptions } from './run.ts'
import { type Action, isFault, type Schedule, scheduleOf } from './schedule.ts'

export interface PeerOutcome {
  readonly acknowledged: number
  /** Acknowledged messages times the devices that were in their room for the whole run. */
  readonly owed: number
  readonly delivered: number
  readonly doubled: number
  readonly faults: number
  readonly recovered: number
  readonly reconnects: number
}

const processFile = join(import.meta.dirname, 'peer-process.ts')
const ackWithinMs = 8_000
/** How long everybody may take to come back and hear what is still on its way. */
const quietMs = 15_000

/**
 * The same people, the same faults, on one bare Socket.IO server with connection state recovery: how much of what it
 * acknowledged arrives. Its clients send again what was not acknowledged, as ours do.
 */
export async function runPeer(options: ChaosOptions): Promise<PeerOutcome> {
  const schedule = scheduleOf({
    ...options,
    nodes: 1,
    can: { crashDatabase: false, dropBus: false, breakBus: false, breakModel: false, breakWorkers: false },
  })
  await using server = await PeerServer.start()
  await using release = new AsyncDisposableStack()
  const devices: PeerDevice[] = []
  for (const [at, { account }] of schedule.cast.devices.entries()) {
    const line = release.use(await FaultyLine.open(() => server.port))
    const rooms = schedule.cast.rooms.flatMap(({ members }, room) =>
      members.includes(account) ? [String(room)] : [],
    )
    devices.push(release.use(new PeerDevice(`D${at}`, line, rooms)))
  }
  await play(schedule, devices, server, options)
  for (const { line } of devices) line.mend()
  await server.calm()
  const deadline = performance.now() + options.quietWithinMs
  while (devices.some(({ owed }) => owed > 0) && performance.now() < deadline) await delay(200)
  await delay(quietMs)
  return reckoned(schedule, devices)
}

async function play(
  schedule: Schedule,
  devices: readonly PeerDevice[],
  server: PeerServer,
  { stepMs, hurry, say }: ChaosOptions,
): Promise<void> {
  let told = performance.now()
  for (const [step, actions] of schedule.steps.entries()) {
    if (hurry?.aborted) return
    for (const action of actions) act(action, devices, server)
    if (performance.now() - told > 5_000) {
      told = performance.now()
      say?.(`step ${step}/${schedule.steps.length}`)
    }
    await delay(stepMs)
  }
}

function act(action: Action, devices: readonly PeerDevice[], server: PeerServer): void {
  const device = 'device' in action ? devices[action.device] : undefined
  if (action.do === 'say' || action.do === 'ask') {
    const messages = action.do === 'say' ? action.messages : 1
    for (let message = 0; message < messages; message++) device?.say(String(action.room))
  } else if (action.do === 'kill') server.next(() => server.end('SIGKILL'))
  else if (action.do === 'start') server.next(() => server.begin())
  else if (action.do === 'drain') {
    server.next(async () => {
      await server.end('SIGTERM')
      await server.begin()
    })
  } else if (action.do === 'freeze') server.next(() => server.signal('SIGSTOP'))
  else if (action.do === 'thaw') server.next(() => server.signal('SIGCONT'))
  else if (action.do === 'cut') device?.line.cut()
  else if (action.do === 'half_open') device?.line.halfOpen()
  else if (action.do === 'throttle') device?.line.throttle(action.bytesPerSecond)
  else if (action.do === 'mend') device?.line.mend()
}

function reckoned(schedule: Schedule, devices: readonly PeerDevice[]): PeerOutcome {
  let owed = 0
  let delivered = 0
  let doubled = 0
  for (const sender of devices) {
    for (const [id, room] of sender.acknowledged) {
      for (const device of devices) {
        if (!device.rooms.includes(room)) continue
        owed++
        const times = device.heard.get(id) ?? 0
        if (times > 0) delivered++
        if (times > 1) doubled++
      }
    }
  }
  return {
    acknowledged: devices.reduce((sum, device) => sum + device.acknowledged.size, 0),
    owed,
    delivered,
    doubled,
    faults: schedule.steps.flat().filter(isFault).length,
    recovered: devices.reduce((sum, device) => sum + device.recovered, 0),
    reconnects: devices.reduce((sum, device) => sum + device.reconnects, 0),
  }
}

class PeerDevice implements AsyncDisposable {
  readonly line: FaultyLine
  readonly rooms: readonly string[]
  /** By message: how often it came. */
  readonly heard = new Map<string, number>()
  /** By message: its room. */
  readonly acknowledged = new Map<string, string>()
  recovered = 0
  reconnects = -1
  readonly #name: string
  readonly #socket: Socket
  readonly #owed = new Map<string, string>()
  #said = 0

  constructor(name: string, line: FaultyLine, rooms: readonly string[]) {
    this.#name = name
    this.line = line
    this.rooms = rooms
    this.#socket = io(line.url, { transports: ['websocket'], forceNew: true, reconnectionDelayMax: 1_500 })
    this.#socket.on('said', (_room: string, id: string) => {
      this.heard.set(id, (this.heard.get(id) ?? 0) + 1)
    })
    this.#socket.on('connect', () => {
      this.reconnects++
      if (this.#socket.recovered) this.recovered++
      else for (const room of rooms) this.#socket.emit('join', room)
      for (const [id, room] of this.#owed) this.#send(id, room)
    })
  }

  get owed(): number {
    return this.#owed.size
  }

  say(room: string): void {
    const id = `${this.#name}-${++this.#said}`
    this.#owed.set(id, room)
    if (this.#socket.connected) this.#send(id, room)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.disconnect()
  }

  #send(id: string, room: string): void {
    this.#socket.timeout(ackWithinMs).emit('say', room, id, (failed: Error | null) => {
      if (failed === null) {
        this.#owed.delete(id)
        this.acknowledged.set(id, room)
        // A line that swallows questions is given up, as with our own devices; everything owed goes out with the next one.
      } else if (this.#owed.has(id) && this.#socket.connected) this.#socket.io.engine.close()
    })
  }
}

class PeerServer implements AsyncDisposable {
  readonly #port: number
  #child: ChildProcess | undefined
  #last: Promise<void> = Promise.resolve()

  private constructor(port: number) {
    this.#port = port
  }

  static async start(): Promise<PeerServer> {
    const server = new PeerServer(await freePort())
    await server.begin()
    return server
  }

  /** Undefined while it is down. */
  get port(): number | undefined {
    return this.#child === undefined ? undefined : this.#port
  }

  /** What is done to it is done one after the other. */
  next(work: () => Promise<void>): void {
    this.#last = this.#last.then(work)
  }

  async begin(): Promise<void> {
    if (this.#child !== undefined) return
    const child = spawn(process.execPath, [processFile], {
      env: { ...process.env, PEER_PORT: String(this.#port) },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    this.#child = child
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }

  async signal(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    this.#child?.kill(signal)
  }

  async calm(): Promise<void> {
    this.next(() => this.signal('SIGCONT'))
    this.next(() => this.begin())
    await this.#last
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.calm()
    await this.end('SIGKILL')
  }
}
