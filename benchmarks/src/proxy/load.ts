import { Agent, request } from 'undici'

export interface Load {
  readonly calls: number
  readonly perSecond: number
  /** Milliseconds within which this share of the requests had its whole answer. */
  latency(share: number): number
}

/** Keeps `inFlight` requests under way for a while, each over a kept connection, in turn over the addresses. */
export async function load(options: {
  readonly addresses: readonly string[]
  readonly token?: string
  readonly inFlight: number
  readonly forMs: number
}): Promise<Load> {
  const { addresses, token, inFlight, forMs } = options
  await using agent = closing(new Agent({ connections: inFlight, pipelining: 1 }))
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const times: number[] = []
  let turn = 0
  const began = performance.now()
  const until = began + forMs
  const worker = async () => {
    while (performance.now() < until) {
      const sent = performance.now()
      const address = addresses[turn++ % addresses.length] ?? ''
      const answer = await request(address, { dispatcher: agent.dispatcher, headers })
      const text = await answer.body.text()
      if (answer.statusCode !== 200 || text.length < 1_000)
        throw new Error(`${address} answered ${answer.statusCode}: ${text.slice(0, 300)}`)
      times.push(performance.now() - sent)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  const seconds = (performance.now() - began) / 1000
  const sorted = times.toSorted((a, b) => a - b)
  return {
    calls: times.length,
    perSecond: times.length / seconds,
    latency: (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN,
  }
}

function closing(dispatcher: Agent) {
  return { dispatcher, [Symbol.asyncDispose]: () => dispatcher.destroy() }
}
