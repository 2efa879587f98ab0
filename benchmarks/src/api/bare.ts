import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { itemBytes, tellProcessorTime } from './exchange.ts'

// The physical limit of the benchmark `api`: Node's own server, which reads a body, parses it and answers the same bytes.

const head = { 'content-type': 'application/json; charset=utf-8', 'content-length': itemBytes.length }
const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.writeHead(200, head)
    response.end(itemBytes)
    return
  }
  const pieces: Buffer[] = []
  request.on('data', (piece: Buffer) => pieces.push(piece))
  request.on('end', () => {
    JSON.parse(Buffer.concat(pieces).toString())
    response.writeHead(200, head)
    response.end(itemBytes)
  })
})
server.keepAliveTimeout = 72_000
server.listen(0, '127.0.0.1', () => {
  tellProcessorTime(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
