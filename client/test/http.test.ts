import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { roomRoutes } from '@atom/contract/rooms.ts'
import { Http } from '../src/http.ts'

function answering(answer: () => Response | Promise<Response>): {
  http: Http
  seen: [string, RequestInit | undefined][]
} {
  const seen: [string, RequestInit | undefined][] = []
  const http = new Http({
    baseUrl: 'http://atom.test/',
    transport: 'cookie',
    fetch: async (input, init) => {
      seen.push([String(input), init])
      return await answer()
    },
  })
  return { http, seen }
}

suite('a request', () => {
  test('[CL25] is built from the contract: path, query and body each in their place', async () => {
    const { http, seen } = answering(() => Response.json({ epoch: '', head: 0, events: [], more: false }))
    await http.send(roomRoutes.events, { params: { id: 'a/b' }, query: { after: 3 } }, 'token')
    const [url, init] = seen[0] ?? ['', undefined]
    assert.equal(url, 'http://atom.test/v1/rooms/a%2Fb/events?after=3')
    assert.equal(init?.method, 'GET')
    assert.equal(new Headers(init?.headers).get('authorization'), 'Bearer token')
    assert.equal(init?.body, undefined)
  })

  test('[CL25] that is refused throws the server’s code, sentence, request id and fields', async () => {
    const problem = {
      type: '/docs/errors#validation_failed',
      code: 'validation_failed',
      status: 400,
      title: 'The request is not valid',
      detail: 'Correct the fields.',
      retryable: false,
      requestId: 'r-7',
      errors: [{ pointer: '/name', detail: 'must not be empty' }],
    }
    const { http } = answering(() => Response.json(problem, { status: 400 }))
    await assert.rejects(http.send(roomRoutes.createRoom, { body: { name: '' } }), {
      name: 'AtomClientError',
      code: 'validation_failed',
      status: 400,
      message: 'Correct the fields.',
      retryable: false,
      requestId: 'r-7',
      errors: problem.errors,
    })
  })

  test('[CL25] that is put off says until when', async () => {
    const problem = { code: 'rate_limited', status: 429, detail: 'Wait.', retryable: true, requestId: 'r' }
    const { http } = answering(() => Response.json(problem, { status: 429, headers: { 'retry-after': '3' } }))
    await assert.rejects(http.send(roomRoutes.rooms, {}), {
      code: 'rate_limited',
      retryable: true,
      retryAfterMs: 3_000,
    })
  })

  test('[CL26] a proxy’s page, a dead network and a caller who gives up are told apart', async () => {
    const proxy = answering(() => new Response('<h1>502</h1>', { status: 502 }))
    await assert.rejects(proxy.http.send(roomRoutes.rooms, {}), {
      code: 'bad_answer',
      status: 502,
      retryable: true,
    })
    const page = answering(() => new Response('<h1>Log in to the hotel network</h1>'))
    await assert.rejects(page.http.send(roomRoutes.rooms, {}), { code: 'bad_answer', status: 200 })
    const dead = answering(() => Promise.reject(new TypeError('fetch failed')))
    await assert.rejects(dead.http.send(roomRoutes.rooms, {}), {
      code: 'offline',
      retryable: true,
      status: 0,
    })
    const gone = new AbortController()
    gone.abort()
    const left = answering(() => Promise.reject(new DOMException('aborted', 'AbortError')))
    await assert.rejects(left.http.send(roomRoutes.rooms, { signal: gone.signal }), {
      code: 'aborted',
      retryable: false,
    })
  })
})
