import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

// The provider of the benchmark `proxy`: an API that answers at once, and as much OAuth as it takes to connect to it. Whoever
// brings the code `n` is person `n`.

const page = JSON.stringify(
  Array.from({ length: 10 }, (_, at) => ({
    number: at,
    title: `Issue ${at}`,
    state: 'open',
    body: 'The nightly export ran twice. Lock expired before the work was done. '.repeat(2),
    html_url: `https://github.com/o/r/issues/${at}`,
  })),
)
const json = { 'content-type': 'application/json; charset=utf-8' }

const server = createServer((request, response) => {
  const path = (request.url ?? '').split('?', 1)[0]
  if (path === '/api.github.com/repos/o/r/issues') {
    request.resume()
    response.writeHead(200, {
      ...json,
      'content-length': Buffer.byteLength(page),
      'x-ratelimit-remaining': '4999',
    })
    response.end(page)
    return
  }
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const person = /person-(\d+)/.exec(request.headers.authorization ?? '')?.[1] ?? '0'
    const code = new URLSearchParams(Buffer.concat(chunks).toString()).get('code') ?? '0'
    const answers: Readonly<Record<string, object>> = {
      '/github.com/login/oauth/access_token': {
        access_token: `token-of-person-${code}`,
        token_type: 'bearer',
        scope: 'read:user,user:email,repo',
      },
      '/api.github.com/user': { id: Number(person), login: `person-${person}`, name: null, email: null },
      '/api.github.com/user/emails': [],
    }
    const answer = answers[path ?? '']
    response.writeHead(answer === undefined ? 404 : 200, json)
    response.end(JSON.stringify(answer ?? {}))
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
})
