import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import { AtomError } from '#foundation/errors.ts'
import { createLog } from './log.ts'
import { type Address, createOutbound, isPublicAddress, type Outbound } from './outbound.ts'
import { Secret } from './secret.ts'

const log = createLog({ level: 'silent' })

async function server(listener: RequestListener) {
  const http = createServer(listener).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const { port } = http.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    async [Symbol.asyncDispose]() {
      http.closeAllConnections()
      http.close()
      await once(http, 'close')
    },
  }
}

function opened(
  allowLoopback: readonly string[] = [],
  resolve?: (name: string) => Promise<readonly Address[]>,
): Outbound {
  return createOutbound({ allowLoopback: () => allowLoopback, log, ...(resolve && { resolve }) })
}

function code(expected: string, words = /./): (error: unknown) => boolean {
  return (error) => error instanceof AtomError && error.code === expected && words.test(error.detail)
}

test('[OB1] only addresses of the public internet are public', () => {
  const forbidden = [
    '0.0.0.0',
    '10.0.0.1',
    '100.64.0.1',
    '100.100.100.200',
    '127.0.0.1',
    '127.255.255.254',
    '168.63.129.16',
    '169.254.169.254',
    '169.254.170.2',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.192',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '203.0.113.9',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '::ffff:0:7f00:1',
    '::127.0.0.1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::10.0.0.1',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '3fff::1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    '5f00::1',
    'localhost',
    '',
  ]
  for (const address of forbidden) assert.equal(isPublicAddress(address), false, address)
  const fine = [
    '1.1.1.1',
    '8.8.8.8',
    '100.63.255.255',
    '140.82.121.6',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.1',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450:4001:82a::200e',
    '::ffff:140.82.121.6',
    '::ffff:8c52:7906',
    '64:ff9b::8c52:7906',
  ]
  for (const address of fine) assert.equal(isPublicAddress(address), true, address)
})

test('[OB2] an address that leads inside, in whatever way it is written, is refused before anything is sent', async () => {
  let hits = 0
  await using inside = await server((_request, response) => {
    hits++
    response.end()
  })
  await using outbound = opened()
  for (const host of [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '127.0.0.1.',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::7f00:1]',
    '0.0.0.0',
    'localhost',
    '①②⑦.⓪.⓪.①',
  ]) {
    await assert.rejects(
      outbound.fetch(`https://${host}:${inside.port}/`),
      code('proxy_target_refused', /leads into a private network/),
      host,
    )
  }
  assert.equal(hits, 0)
})

test('[OB2] plain HTTP, other schemes and addresses with a password are refused', async () => {
  await using outbound = opened()
  for (const url of [
    'http://example.com/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'data:text/plain,x',
    'https://a:b@example.com/',
  ]) {
    await assert.rejects(outbound.fetch(url), code('proxy_target_refused'), url)
  }
})

test('[OB3] a name is judged by every address it has, and connected to what was judged', async () => {
  const answers: Record<string, readonly Address[]> = {
    'inside.example': [{ address: '10.1.2.3', family: 4 }],
    'metadata.example': [{ address: '169.254.169.254', family: 4 }],
    'mapped.example': [{ address: '::ffff:127.0.0.1', family: 6 }],
    'mixed.example': [
      { address: '140.82.121.6', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ],
  }
  const asked: string[] = []
  await using outbound = opened([], async (name) => {
    asked.push(name)
    return answers[name] ?? []
  })
  // Whoever shows a certificate goes no other way.
  const certificate = { chain: '', privateKey: new Secret('') }
  for (const shown of [{}, { certificate }]) {
    asked.length = 0
    for (const name of Object.keys(answers)) {
      await assert.rejects(outbound.fetch(`https://${name}/`, shown), code('proxy_target_refused'), name)
    }
    // Nobody asks a second time, between judging and connecting, when the answer may be another one (DNS rebinding).
    assert.deepEqual(asked, Object.keys(answers))
  }
})

test('[OB4] an origin the operator listed is called, and no other port, host or scheme beside it', async () => {
  await using inside = await server((request, response) => response.end(`hello ${request.url}`))
  await using other = await server((_request, response) => response.end('not me'))
  await using outbound = opened([inside.origin])
  assert.equal(await (await outbound.fetch(`${inside.origin}/a?b=c`)).text(), 'hello /a?b=c')
  for (const url of [
    other.origin,
    inside.origin.replace('127.0.0.1', 'localhost'),
    inside.origin.replace('http:', 'https:'),
    `${inside.origin}@${new URL(other.origin).host}/`,
  ]) {
    await assert.rejects(outbound.fetch(url), code('proxy_target_refused'), url)
  }
})

test('[OB5] a redirect is handed back and not followed', async () => {
  const seen: string[] = []
  await using inside = await server((request, response) => {
    seen.push(String(request.url))
    response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data' }).end()
  })
  await using outbound = opened([inside.origin])
  const answer = await outbound.fetch(`${inside.origin}/start`)
  assert.equal(answer.status, 302)
  assert.equal(answer.headers.get('location'), 'http://169.254.169.254/latest/meta-data')
  assert.deepEqual(seen, ['/start'])
})

test('[OB6] an answer longer than the limit is refused, announced or not, packed or not', async () => {
  const { gzipSync } = await import('node:zlib')
  await using inside = await server((request, response) => {
    if (request.url === '/announced')
      response.writeHead(200, { 'content-length': 5_000 }).end('x'.repeat(5_000))
    else if (request.url === '/packed') {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('x'.repeat(1_000_000)))
    } else {
      response.write('x'.repeat(900))
      response.end('x'.repeat(900))
    }
  })
  await using outbound = opened([inside.origin])
  const limit = { maxBytes: 1_000 }
  await assert.rejects(
    outbound.fetch(`${inside.origin}/announced`, limit),
    code('provider_refused', /longer than 1000/),
  )
  for (const path of ['/chunked', '/packed']) {
    const answer = await outbound.fetch(`${inside.origin}${path}`, limit)
    await assert.rejects(answer.text(), code('provider_refused', /longer than 1000/), path)
  }
  assert.equal(
    (await (await outbound.fetch(`${inside.origin}/chunked`, { maxBytes: 1_800 })).text()).length,
    1_800,
  )
})

test('[OB7] a server that never answers, or stops in the middle, ends in time as provider_unavailable', async () => {
  await using inside = await server((request, response) => {
    if (request.url === '/middle') response.write('the beginning')
  })
  await using outbound = opened([inside.origin])
  const limit = { timeoutMs: 100 }
  await assert.rejects(
    outbound.fetch(`${inside.origin}/never`, limit),
    code('provider_unavailable', /did not answer within 0\.1 seconds/),
  )
  const answer = await outbound.fetch(`${inside.origin}/middle`, limit)
  await assert.rejects(answer.text(), code('provider_unavailable'))
})

test('[OB7] a network that fails is provider_unavailable, and says no more to the outside than the host', async () => {
  const inside = await server((request) => request.socket.destroy())
  await using outbound = opened([inside.origin], async () => {
    throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
  })
  await assert.rejects(
    outbound.fetch(inside.origin),
    code('provider_unavailable', /^127\.0\.0\.1:\d+ cannot be reached\.$/),
  )
  await inside[Symbol.asyncDispose]()
  await assert.rejects(outbound.fetch(inside.origin), code('provider_unavailable'))
  await assert.rejects(
    outbound.fetch('https://unknown.example/x?secret=1'),
    code('provider_unavailable', /^unknown\.example cannot/),
  )
})

test('[OB7] a caller that gives up gets its own reason and not a failure of the provider', async () => {
  await using inside = await server(() => undefined)
  await using outbound = opened([inside.origin])
  const giveUp = new AbortController()
  const reason = new Error('the person closed the page')
  const asked = outbound.fetch(inside.origin, { signal: giveUp.signal })
  giveUp.abort(reason)
  await assert.rejects(asked, (error) => error === reason)
})

test('[OB8] bodies stream in both directions', async () => {
  await using inside = await server((request, response) => {
    response.writeHead(200, { 'x-method': String(request.method) })
    request.pipe(response)
  })
  await using outbound = opened([inside.origin])
  const upstream = new TransformStream<Uint8Array, Uint8Array>()
  const writer = upstream.writable.getWriter()
  const first = writer.write(Buffer.from('one '))
  const answer = await outbound.fetch(inside.origin, { method: 'POST', body: upstream.readable })
  assert.equal(answer.headers.get('x-method'), 'POST')
  const reader = answer.body?.getReader()
  // The first piece has come back before the second one was sent.
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'one ')
  await first
  await writer.write(Buffer.from('two'))
  await writer.close()
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'two')
  assert.equal((await reader?.read())?.done, true)
})

test('[OB8] leaving an answer unread closes the connection to the provider', async () => {
  const closed = Promise.withResolvers<void>()
  await using inside = await server((_request, response) => {
    response.write('endless')
    response.on('close', () => closed.resolve())
  })
  await using outbound = opened([inside.origin])
  const answer = await outbound.fetch(inside.origin)
  await answer.body?.cancel()
  await closed.promise
})

const dialled = {
  method: 'GET',
  headers: [],
  patienceMs: 5_000,
  timeoutMs: 5_000,
  maxBytes: 1_000_000,
} as const

test('[OB8] what is passed on arrives as a whole where it announces that it is short, else as a stream', async () => {
  await using it = await server((request, response) => {
    const text = 'x'.repeat(request.url === '/short' ? 100 : 101)
    if (request.url !== '/unannounced') response.setHeader('content-length', text.length)
    response.write(text.slice(0, 50))
    setImmediate(() => response.end(text.slice(50)))
  })
  await using outbound = opened([it.origin])
  const dial = (path: string, method: 'GET' | 'HEAD' = 'GET') =>
    outbound.dial(new URL(path, it.origin), { ...dialled, method, wholeBytes: 100 })
  const { body } = await dial('/short')
  assert.ok(Buffer.isBuffer(body))
  assert.equal(body.length, 100)
  for (const path of ['/long', '/unannounced']) {
    const { body } = await dial(path)
    assert.ok(body instanceof Readable)
    assert.equal((await body.toArray()).join('').length, 101)
  }
  const head = await dial('/short', 'HEAD')
  assert.equal(head.headers['content-length'], '100')
  assert.deepEqual(await (head.body as Readable).toArray(), [])
})

test('[OB7] what is passed on and stops in the middle, breaks off, or is given up ends in its own words, short or long', async () => {
  await using it = await server((request, response) => {
    response.writeHead(200, request.url?.startsWith('/short') ? { 'content-length': 100 } : {})
    response.write('half', () => {
      if (request.url?.endsWith('broken')) response.destroy()
    })
  })
  await using outbound = opened([it.origin])
  const read = async (path: string, more: { timeoutMs?: number; signal?: AbortSignal } = {}) => {
    const { body, translated } = await outbound.dial(new URL(path, it.origin), {
      ...dialled,
      wholeBytes: 100,
      ...more,
    })
    try {
      return Buffer.isBuffer(body) ? body : await body.toArray()
    } catch (error) {
      throw translated(error)
    }
  }
  for (const size of ['short', 'long']) {
    await assert.rejects(
      read(`/${size}`, { timeoutMs: 50 }),
      code('provider_unavailable', /did not answer within/),
    )
    await assert.rejects(read(`/${size}-broken`), code('provider_unavailable'))
    const given = new AbortController()
    const reading = read(`/${size}`, { signal: given.signal })
    given.abort(new Error('the caller left'))
    await assert.rejects(reading, /the caller left/)
    await assert.rejects(read(`/${size}`, { signal: given.signal }), /the caller left/)
  }
})

test('[OB7] a body that cannot be sent to its end is let go of with the request', async () => {
  await using it = await server((_request, response) => response.destroy())
  await using outbound = opened([it.origin])
  const body = new PassThrough()
  body.write('a beginning')
  await assert.rejects(
    outbound.dial(new URL(it.origin), { ...dialled, method: 'POST', body }),
    code('provider_unavailable'),
  )
  assert.equal(body.destroyed, true)
})
