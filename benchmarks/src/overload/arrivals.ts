import { connect } from 'node:net'

/** What became of requests that came whether or not earlier ones had been answered. */
export interface Arrivals {
  readonly sent: number
  /** Whole answers with status 200, and when each came, ms since the first request. */
  readonly good: readonly number[]
  /** From sending to the last byte of a good answer, ms. */
  readonly took: readonly number[]
  readonly turnedAway: number
  /** Given up after `patienceMs`, or cut off. */
  readonly lost: number
}

export interface Target {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly token: string
}

type Outcome = 'good' | 'busy' | 'lost'

/** How long the clients of the benchmark wait for an answer, ms. */
export const patienceMs = 2_000

/** One request over a connection of its own, as a newcomer sends it. */
async function ask({ host, port, path, token }: Target): Promise<Outcome> {
  return await new Promise((resolve) => {
    let head = ''
    let ended = false
    const socket = connect({ host, port, noDelay: true })
    const done = (outcome: Outcome) => {
      clearTimeout(patience)
      socket.destroy()
      resolve(outcome)
    }
    const patience = setTimeout(() => done('lost'), patienceMs)
    socket.once('connect', () =>
      socket.write(
        `GET ${path} HTTP/1.1\r\nhost: atom\r\nauthorization: Bearer ${token}\r\nconnection: close\r\n\r\n`,
      ),
    )
    socket.on('data', (chunk: Buffer) => {
      if (head.length < 12) head += chunk.toString('latin1', 0, 12)
    })
    socket.once('end', () => {
      ended = true
      const status = head.slice(9, 12)
      done(status === '200' ? 'good' : status === '503' ? 'busy' : 'lost')
    })
    socket.once('error', () => done('lost'))
    socket.once('close', () => {
      if (!ended) done('lost')
    })
  })
}

/** Sends at this rate for a while, and waits for what is left. */
export async function arrive(target: Target, perSecond: number, forMs: number): Promise<Arrivals> {
  const good: number[] = []
  const took: number[] = []
  let [sent, turnedAway, lost] = [0, 0, 0]
  const underWay = new Set<Promise<void>>()
  const began = performance.now()
  const send = () => {
    sent++
    const at = performance.now()
    const one: Promise<void> = ask(target).then((outcome) => {
      underWay.delete(one)
      const now = performance.now()
      if (outcome === 'good') {
        good.push(now - began)
        took.push(now - at)
      } else if (outcome === 'busy') turnedAway++
      else lost++
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

/** Good answers per second with so many clients that each wait for their answer: what can be served at most. */
export async function capacity(target: Target, clients: number, forMs: number): Promise<number> {
  let good = 0
  const began = performance.now()
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() - began < forMs) if ((await ask(target)) === 'good') good++
    }),
  )
  return (good * 1_000) / (performance.now() - began)
}
