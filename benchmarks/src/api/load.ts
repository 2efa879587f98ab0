import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { itemBytes, itemPath, newItemBytes, origin } from './exchange.ts'

export interface Question {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly token: string | undefined
}

const inFlight = 32
const endOfHead = '\r\n\r\n'

/**
 * Asks the same again and again over kept connections. It writes bytes that were made once and compares bytes that came, and no
 * more: a client that is dearer than what it asks lets the quicker server rest, and a server that rests is woken for each request,
 * which then costs it more than the slower one. Connections outlive the rounds, so that no round pays for connecting.
 */
export class Load implements AsyncDisposable {
  readonly #open = new Map<string, Promise<readonly Socket[]>>()

  /** @returns how many answers came, each of them the one that is right */
  async run(question: Question, forMs: number): Promise<number> {
    // A server that rested too long between two rounds has closed its connections, as Express and Nest do after 5 s.
    const kept = ((await this.#open.get(question.url)) ?? []).filter(
      ({ readyState }) => readyState === 'open',
    )
    const missing = Array.from({ length: inFlight - kept.length }, () => connected(question.url))
    const sockets = Promise.all(missing).then((made) => [...kept, ...made])
    this.#open.set(question.url, sockets)
    const asked = requestOf(question)
    const until = performance.now() + forMs
    const answers = (await sockets).map((socket) => askUntil(socket, asked, until))
    let over = false
    // Never asleep: on one machine it is the server's write that wakes a client, and pays for it, the oftener the slower it is.
    const stayAwake = () => {
      if (!over) setImmediate(stayAwake)
    }
    stayAwake()
    try {
      return (await Promise.all(answers)).reduce((sum, count) => sum + count, 0)
    } finally {
      over = true
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const sockets of this.#open.values()) for (const socket of await sockets) socket.destroy()
  }
}

async function connected(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await once(socket, 'connect')
  return socket
}

/** As a page of another origin asks. */
function requestOf({ url, method, token }: Question): Buffer {
  const fields = [
    `host: ${new URL(url).host}`,
    'accept: application/json',
    'user-agent: benchmark',
    `origin: ${origin}`,
    ...(token === undefined ? [] : [`authorization: Bearer ${token}`]),
    ...(method === 'POST'
      ? ['content-type: application/json', `content-length: ${Buffer.byteLength(newItemBytes)}`]
      : []),
  ]
  const head = [`${method} ${itemPath(method)} HTTP/1.1`, ...fields].join('\r\n')
  return Buffer.from(`${head}${endOfHead}${method === 'POST' ? newItemBytes : ''}`)
}

function askUntil(socket: Socket, asked: Buffer, until: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  let answers = 0
  let came = ''
  const leave = (outcome: () => void) => {
    socket.removeAllListeners('data').removeAllListeners('close').removeAllListeners('error')
    outcome()
  }
  socket.on('data', (piece: Buffer) => {
    came += piece.toString('latin1')
    const head = came.indexOf(endOfHead)
    if (head < 0) return
    const good = came.startsWith('HTTP/1.1 200 ')
    const body = came.length - head - endOfHead.length
    if (good && body < itemBytes.length) return
    if (!good || !came.endsWith(itemBytes) || body !== itemBytes.length)
      return leave(() =>
        reject(new Error(`${asked.toString('latin1', 0, 60)} was answered: ${came.slice(0, 600)}`)),
      )
    came = ''
    answers++
    if (performance.now() < until) socket.write(asked)
    else leave(() => resolve(answers))
  })
  socket.on('error', (error) => leave(() => reject(error)))
  socket.on('close', () => leave(() => reject(new Error('a connection was closed'))))
  socket.write(asked)
  return promise
}
