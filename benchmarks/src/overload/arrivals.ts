import { connect, type Socket } from 'node:net'

/** What became of requests that came whether or not earlier ones had been answered. */
export interface Arrivals {
  readonly sent: number
  /** Whole answers with status 200, and when each came, ms since the first request. */
  readonly good: readonly number[]
  /** From the moment a request was due, sent or not, to the last byte of its good answer, ms. */
  readonly took: readonly number[]
  readonly turnedAway: number
  /** Given up after `patienceMs`, or cut off: when each was due, ms since the first request. */
  readonly lost: readonly number[]
}

export interface Target {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly token: string
}

type Outcome = 'good' | 'busy' | 'lost'

/** How long the clients of the benchmark wait for an answer from when their request was due, ms. */
export const patienceMs = 1_000

/** A kept connection: one request at a time, each answered with a `content-length`. */
class Line {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  /** Bytes of the answer under way, once its head is here. */
  #whole: number | undefined
  #done: ((outcome: Outcome) => void) | undefined
  open = true

  constructor({ host, port }: Target) {
    this.#socket = connect({ host, port, noDelay: true })
    this.#socket.on('data', (chunk: Buffer) => this.#heard(chunk))
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.once('close', () => {
      this.open = false
      this.#done?.('lost')
    })
  }

  ask(request: string, withinMs = patienceMs): Promise<Outcome> {
    return new Promise((resolve) => {
      const patience = setTimeout(() => this.end(), withinMs)
      this.#done = (outcome) => {
        clearTimeout(patience)
        this.#done = undefined
        resolve(outcome)
      }
      this.#socket.write(request)
    })
  }

  end(): void {
    this.#socket.destroy()
  }

  #heard(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    if (this.#whole === undefined) {
      const head = this.#received.indexOf('\r\n\r\n')
      if (head === -1) return
      const length = /content-length: (\d+)/i.exec(this.#received.toString('latin1', 0, head))?.[1]
      this.#whole = head + 4 + Number(length)
    }
    if (this.#received.length < this.#whole) return
    const status = this.#received.toString('latin1', 9, 12)
    this.#received = Buffer.alloc(0)
    this.#whole = undefined
    this.#done?.(status === '200' ? 'good' : status === '503' ? 'busy' : 'lost')
  }
}

/** Connections to one server. */
class Lines implements Disposable {
  readonly #target: Target
  readonly #request: string
  readonly #all = new Set<Line>()
  readonly #free: Line[] = []

  constructor(target: Target) {
    this.#target = target
    this.#request = `GET ${target.path} HTTP/1.1\r\nhost: atom\r\nauthorization: Bearer ${target.token}\r\n\r\n`
  }

  /** Opens so many before anything is counted, and asks once over each: a few at a time, none waits. */
  async open(count: number): Promise<void> {
    const lines = Array.from({ length: count }, () => new Line(this.#target))
    for (const line of lines) this.#all.add(line)
    const left = [...lines]
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let line = left.pop(); line !== undefined; line = left.pop()) await line.ask(this.#request)
      }),
    )
    this.#free.push(...lines.filter((line) => line.open))
  }

  /** Over a connection of its own, which is closed once the answer is here. */
  async askAnew(withinMs?: number): Promise<Outcome> {
    const line = new Line(this.#target)
    this.#all.add(line)
    const outcome = await line.ask(this.#request, withinMs)
    line.end()
    this.#all.delete(line)
    return outcome
  }

  /** Over one that is kept and free; where all are busy one more is opened, as by a proxy in front of a server. */
  async ask(withinMs?: number): Promise<Outcome> {
    let line = this.#free.shift()
    while (line !== undefined && !line.open) line = this.#free.shift()
    line ??= new Line(this.#target)
    this.#all.add(line)
    const outcome = await line.ask(this.#request, withinMs)
    if (line.open) this.#free.push(line)
    else this.#all.delete(line)
    return outcome
  }

  [Symbol.dispose](): void {
    for (const line of this.#all) line.end()
  }
}

/** Each with a connection of its own for what it asks, or over connections that are there already. */
export type Crowd = 'newcomers' | 'residents'

/** Sends at this rate for a while, and waits for what is left. */
export async function arrive(
  target: Target,
  perSecond: number,
  forMs: number,
  crowd: Crowd = 'newcomers',
): Promise<Arrivals> {
  const good: number[] = []
  const took: number[] = []
  const lost: number[] = []
  let [sent, turnedAway] = [0, 0]
  const underWay = new Set<Promise<void>>()
  using lines = new Lines(target)
  // As many as can be waiting for their answers.
  if (crowd === 'residents') await lines.open(Math.ceil((perSecond * patienceMs) / 1_000))
  const began = performance.now()
  const send = () => {
    const at = began + (sent * 1_000) / perSecond
    sent++
    // Where the sender itself comes too late, the client has waited all the same.
    const left = Math.max(1, patienceMs - (performance.now() - at))
    const asked = crowd === 'newcomers' ? lines.askAnew(left) : lines.ask(left)
    const one: Promise<void> = asked.then((outcome) => {
      underWay.delete(one)
      const now = performance.now()
      if (outcome === 'good') {
        good.push(now - began)
        took.push(now - at)
      } else if (outcome === 'busy') turnedAway++
      else lost.push(at - began)
    })
    underWay.add(one)
  }
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsed = Math.min(performance.now() - began, forMs)
      while (sent < (elapsed / 1_000) * perSecond) send()
      if (elapsed < forMs) return
      clearInterval(timer)
      resolve()
    }, 4)
  })
  await Promise.all(underWay)
  return { sent, good, took, turnedAway, lost }
}

/** Good answers per second with so many clients that each wait for their answer: what can be served at most of such a crowd. */
export async function capacity(
  target: Target,
  clients: number,
  forMs: number,
  crowd: Crowd,
): Promise<number> {
  let good = 0
  using lines = new Lines(target)
  const began = performance.now()
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() - began < forMs) {
        const outcome = await (crowd === 'newcomers' ? lines.askAnew() : lines.ask())
        if (outcome === 'good') good++
      }
    }),
  )
  return (good * 1_000) / (performance.now() - began)
}
