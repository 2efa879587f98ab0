import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import type { DestinationStream } from 'pino'

/** What waits for a slow reader of the log, in bytes; what comes beyond it is lost, and counted. */
const mostWaitingBytes = 8 * 1024 * 1024
/** One write at most, so that a long queue is not copied whole for each. */
const pieceBytes = 64 * 1024
/** What is gathered leaves together when it is so much, in characters, or after so long, in ms: one system call for many lines. */
const gatheredLimit = 16 * 1024
const gatheredMs = 5
/** Asked again after this time where nobody takes anything, in ms. */
const againMs = 20
/** How long the process stays for its last lines when nobody takes them, in ms. */
const patienceMs = 500

/**
 * Where finished lines leave the process, without ever holding it up: a reader that stands still, a full disk and a closed pipe cost
 * lines, never a request. How many were lost is told in the log as soon as it is read again. Lines of some milliseconds leave in
 * one write; those that say why a process ends leave with it.
 */
export class LogSink implements DestinationStream {
  readonly #fd: number
  readonly #mostWaitingBytes: number
  readonly #asleep = new Int32Array(new SharedArrayBuffer(4))
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #gathered = ''
  /** Sent soon, or tried again soon where nobody took anything. */
  #next: 'soon' | 'again' | undefined
  #timer: NodeJS.Timeout | undefined
  #lost = 0
  #owed = 0

  private constructor(fd: number, mostWaiting: number) {
    this.#fd = fd
    this.#mostWaitingBytes = mostWaiting
  }

  /** Standard output. */
  static open(options: { readonly mostWaitingBytes?: number } = {}): LogSink {
    const sink = new LogSink(unwaitingOutput(), options.mostWaitingBytes ?? mostWaitingBytes)
    process.on('exit', () => sink.finish())
    return sink
  }

  /** Lines lost since the start. */
  get lost(): number {
    return this.#lost
  }

  readonly write = (line: string): void => {
    if (this.#waitingBytes + this.#gathered.length >= this.#mostWaitingBytes) {
      this.#lost++
      this.#owed++
      return
    }
    this.#gathered += line
    if (this.#next === 'again') return
    if (this.#gathered.length >= gatheredLimit) this.#send()
    else if (this.#next === undefined) this.#sendAfter(gatheredMs, 'soon')
  }

  /** Waits, for half a second at most, until everything is out. Called by itself when the process ends. */
  finish(): void {
    const deadline = performance.now() + patienceMs
    this.#gather()
    while (this.#waitingBytes > 0 && performance.now() < deadline) {
      if (!this.#sendPiece()) Atomics.wait(this.#asleep, 0, 0, againMs)
      if (this.#waitingBytes === 0) this.#tellLoss()
      this.#gather()
    }
  }

  #sendAfter(ms: number, next: 'soon' | 'again'): void {
    clearTimeout(this.#timer)
    this.#next = next
    this.#timer = setTimeout(() => {
      this.#next = undefined
      this.#send()
    }, ms)
    this.#timer.unref()
  }

  #send(): void {
    this.#gather()
    while (this.#waitingBytes > 0) {
      if (this.#sendPiece()) continue
      this.#sendAfter(againMs, 'again')
      return
    }
    this.#tellLoss()
  }

  #tellLoss(): void {
    if (this.#owed === 0) return
    const lines = this.#owed
    this.#owed = 0
    const time = new Date().toISOString()
    this.write(
      `${JSON.stringify({ level: 'warn', time, lines, msg: 'log lines were lost: nobody took them' })}\n`,
    )
  }

  #gather(): void {
    if (this.#gathered === '') return
    const all = Buffer.from(this.#gathered)
    this.#gathered = ''
    this.#waitingBytes += all.length
    for (let at = 0; at < all.length; at += pieceBytes) this.#waiting.push(all.subarray(at, at + pieceBytes))
  }

  /** False: nothing more is taken at the moment, for whatever reason; it is kept and tried again. */
  #sendPiece(): boolean {
    const [piece] = this.#waiting
    if (piece === undefined) return true
    let written: number
    try {
      written = writeSync(this.#fd, piece)
    } catch {
      // Full pipe, full disk, reader gone: a line about it would meet the same end. `lost` tells when it is too much.
      return false
    }
    this.#waitingBytes -= written
    if (written === piece.length) this.#waiting.shift()
    else this.#waiting[0] = piece.subarray(written)
    return true
  }
}

/**
 * Standard output, opened once more so that a full pipe answers EAGAIN instead of holding the process: setting that on the
 * descriptor itself would change it for whoever else holds it, such as the shell. A socket cannot be opened again, but Node sets it
 * so itself at the first use of `process.stdout`. A file keeps nobody waiting; opened again it would have a place of its own to
 * write at, and what else is said on standard output would overwrite the lines.
 */
function unwaitingOutput(): number {
  try {
    if (fstatSync(process.stdout.fd).isFile()) return process.stdout.fd
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK)
  } catch {
    return process.stdout.fd
  }
}
