/** What is counted of the sockets of this process. Nothing here decides anything; all of it may be read at any time. */
export class SocketTraffic {
  accepted = 0
  /** Handshakes that named what they hold of a room: people who come back. */
  returned = 0
  /** Refused before or in the handshake, by code. */
  readonly refused = new Tally()
  /** By the reason that the client was told, or else by what the engine saw. */
  readonly closed = new Tally()
  framesIn = 0
  framesOut = 0
  /** Frames refused, by code; `busy` is a socket over its budget. */
  readonly framesRefused = new Tally()
  /** Rooms of handshakes: `quiet` had no news, `news` has, `reset` starts over, `refused` is closed to them. */
  readonly resumed = new Tally(['quiet', 'news', 'reset', 'refused'])
  /** Pages read for whoever missed something. */
  pages = 0
  /** How often a reader fell over the soft bound, and over the hard one; who is given up is `closed` as `too_slow`. */
  readonly slow = new Tally(['crowded', 'behind'])
  /** Signals not sent to readers who were over the soft bound, once for each. */
  signalsDropped = 0
}

/** Counts by name. */
export class Tally implements Iterable<readonly [name: string, count: number]> {
  readonly #counts: Map<string, number>
  #total = 0

  /** @param known told as 0 as long as they did not happen */
  constructor(known: readonly string[] = []) {
    this.#counts = new Map(known.map((name) => [name, 0]))
  }

  get total(): number {
    return this.#total
  }

  add(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    this.#total++
  }

  [Symbol.iterator](): Iterator<readonly [name: string, count: number]> {
    return this.#counts.entries()
  }
}
