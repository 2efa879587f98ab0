import { randomUUID } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'
import { operationRoutes } from '@atom/contract/operations.ts'
import { AtomError } from '#foundation/errors.ts'
import { ProbeBoard } from './probe-board.ts'
import type { ProbeWorkerData } from './probe-listener.ts'
import { problemOf, problemType } from './problem.ts'
import { Readiness } from './readiness.ts'

// The thread of the probes: it answers while the main loop is blocked, from what that wrote last.

const { shared, host, port, publicUrl, stuckMs } = workerData as ProbeWorkerData
const board = new ProbeBoard(shared)
const headers = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

/** Far more than balancers and platforms open, and too few to use up what the process may open. */
const mostConnections = 200

const limits = { keepAliveTimeout: 5_000, requestTimeout: 5_000, connectionsCheckingInterval: 1_000 }
const server = createServer(limits, (request, response) => {
  const path = request.url?.split('?', 1)[0]
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    refuse(response, 'method_not_allowed')
  } else if (path === operationRoutes.live.path) live(response)
  else if (path === operationRoutes.ready.path) ready(response)
  else refuse(response, 'not_found')
})

function live(response: ServerResponse): void {
  const { silentMs } = board
  if (silentMs < stuckMs) answer(response, { status: 'up' })
  else refuse(response, 'unavailable', `The main loop has not turned for ${Math.round(silentMs / 1_000)} s.`)
}

function ready(response: ServerResponse): void {
  const { word, silentMs } = board
  // Long before it counts as dead, a process that does not turn is no place for requests.
  if (silentMs > stuckMs / 3) refuse(response, 'unavailable', 'The process is busy with itself.')
  else if (!Readiness.says(word)) refuse(response, word === 'down' ? 'unavailable' : word)
  else {
    board.noteAsked()
    answer(response, { status: word })
  }
}

function answer(response: ServerResponse, body: object): void {
  response.writeHead(200, { ...headers, 'content-type': 'application/json; charset=utf-8' })
  response.end(JSON.stringify(body))
}

function refuse(response: ServerResponse, code: AtomError['code'], detail?: string): void {
  const error = new AtomError(code, detail)
  const requestId = randomUUID()
  response.writeHead(error.row.status, {
    ...headers,
    'content-type': problemType,
    'x-request-id': requestId,
    ...(error.row.status === 503 && { 'retry-after': '1' }),
  })
  response.end(JSON.stringify(problemOf(error, { requestId, publicUrl })))
}

server.maxConnections = mostConnections
server.once('error', (error: NodeJS.ErrnoException) =>
  parentPort?.postMessage({ failed: { code: error.code, message: error.message } }),
)
server.listen(port, host, () => {
  const bound = server.address()
  parentPort?.postMessage({ port: typeof bound === 'object' ? bound?.port : port })
})
