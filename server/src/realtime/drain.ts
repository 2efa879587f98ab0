export interface DrainPlan {
  /** Clients per second that are sent away: what the other processes take well, together. */
  readonly handshakesPerSecond: number
  /** How long a client that was sent away may take to open its new socket; the old one serves it until then. */
  readonly graceMs: number
  /** All of it takes no longer than this; where there are more clients than fit they are sent away faster. */
  readonly deadlineMs: number
}

export const defaultDrain: DrainPlan = { handshakesPerSecond: 320, graceMs: 5_000, deadlineMs: 20_000 }

/** What a drain needs of a socket. */
export interface Movable {
  /** Asks its client to open another socket after this time. */
  move(afterMs: number): void
  /** Its time is over: ends it as soon as it has its answers. */
  retire(): void
}

const waveMs = 250

/** How long `sendAway` takes at most for so many, in ms: the last one is told, and its grace is over. */
export function timeToSendAway(count: number, plan: DrainPlan): number {
  const { waves, spacing } = wavesOf(count, plan)
  return Math.ceil(waves * spacing + plan.graceMs)
}

/**
 * Sends clients away in waves, in no particular order, each within its wave at a random moment, so that their handshakes
 * elsewhere are flat. Resolves when the last one's time is over, or at once when nobody is left.
 */
export async function sendAway(
  sockets: readonly Movable[],
  plan: DrainPlan,
  nobodyLeft: Promise<void>,
): Promise<void> {
  const order = shuffled(sockets)
  const { perWave, waves, spacing } = wavesOf(order.length, plan)
  let over = false
  const finished = nobodyLeft.then(() => {
    over = true
  })
  const timers = new Set<NodeJS.Timeout>()
  try {
    for (let wave = 0; wave < waves && !over; wave++) {
      for (const socket of order.slice(wave * perWave, (wave + 1) * perWave)) {
        const afterMs = Math.floor(Math.random() * spacing)
        socket.move(afterMs)
        timers.add(setTimeout(() => socket.retire(), afterMs + plan.graceMs))
      }
      await atMost(spacing, finished)
    }
    await atMost(plan.graceMs + spacing, finished)
  } finally {
    for (const timer of timers) clearTimeout(timer)
  }
}

function wavesOf(count: number, plan: DrainPlan): { perWave: number; waves: number; spacing: number } {
  const perWave = Math.max(1, Math.round((plan.handshakesPerSecond * waveMs) / 1_000))
  const waves = Math.ceil(count / perWave)
  // The last wave still has its grace.
  const spacing = Math.min(waveMs, Math.max(0, plan.deadlineMs - plan.graceMs) / Math.max(1, waves))
  return { perWave, waves, spacing }
}

async function atMost(ms: number, finished: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const waited = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([finished, waited])
  clearTimeout(timer)
}

/** Fisher and Yates: who came first is not always sent away first. */
function shuffled<T>(items: readonly T[]): T[] {
  const order = [...items]
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1))
    const item = order[last] as T
    order[last] = order[other] as T
    order[other] = item
  }
  return order
}
