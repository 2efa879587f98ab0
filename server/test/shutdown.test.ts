import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { EventPage } from '@atom/contract/rooms.ts'
import { AtomProcess, freePort } from './support/atom-process.ts'
import { Balancer } from './support/balancer.ts'
import { call } from './support/calls.ts'
import { EventReader } from './support/event-reader.ts'
import { PlainClient, range } from './support/live.ts'
import { emptyTestDatabase, urlOf } from './support/postgres.ts'
import { until } from './support/until.ts'

const person = { email: 'ada@example.com', password: 'seven calm otters sing', name: 'Ada' }

const onlyEmbedded = {
  skip: process.env['ATOM_TEST_EXTERNAL'] === '1' && 'about the database that Atom brings along',
}

interface Made {
  readonly accessToken: string
  readonly rooms: readonly { readonly id: string }[]
}

async function setUp(atom: AtomProcess): Promise<Made> {
  const token = new URL(atom.setupUrl).hash.replace('#token=', '')
  const { body } = await call<{ accessToken: string }>(atom.url, 'POST', '/v1/setup', {
    body: { ...person, token, workspace: 'Engines' },
  })
  const { accessToken } = body
  const { body: list } = await call<{ items: Made['rooms'] }>(atom.url, 'GET', '/v1/rooms', {
    token: accessToken,
  })
  return { accessToken, rooms: list.items }
}

/** One connection that is kept, one request after the other on it; nothing is tried twice. */
class KeptAlive implements Disposable {
  readonly failures: string[] = []
  answered = 0
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #url: string
  readonly #token: string

  constructor(url: string, token: string) {
    this.#url = url
    this.#token = token
  }

  async ask(method: string, path: string, body?: object): Promise<number> {
    try {
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const headers = {
          authorization: `Bearer ${this.#token}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        }
        const asked = httpRequest(`${this.#url}${path}`, { method, headers, agent: this.#agent }, resolve)
        asked.once('error', reject)
        asked.end(body === undefined ? undefined : JSON.stringify(body))
      })
      const said = await text(answer)
      this.answered++
      const status = answer.statusCode ?? 0
      if (status >= 300) this.failures.push(`${method} ${path}: ${status} ${said}`)
      return status
    } catch (error) {
      this.failures.push(`${method} ${path}: ${String(error)}`)
      return 0
    }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }
}

/** A client of the live side that goes where it is sent, and keeps what it reads in order. */
class Traveller {
  readonly seqs: number[] = []
  moves = 0
  readonly #url: string
  readonly #token: string
  readonly #roomId: string
  readonly #deviceId: string
  readonly #open = new Set<PlainClient>()
  #over = false

  constructor(url: string, token: string, roomId: string, deviceId: string) {
    this.#url = url
    this.#token = token
    this.#roomId = roomId
    this.#deviceId = deviceId
    this.#enter()
  }

  close(): void {
    this.#over = true
    for (const client of this.#open) client[Symbol.dispose]()
  }

  #enter(before?: PlainClient): void {
    if (this.#over) return
    const client = new PlainClient(this.#url, { token: this.#token, deviceId: this.#deviceId })
    this.#open.add(client)
    let moved = false
    const again = (ms: number, from?: PlainClient) => {
      if (moved) return
      moved = true
      setTimeout(() => this.#enter(from), ms)
    }
    // What happens in the room may be in the same packet as the page before it, and is heard before a promise of that page.
    let held: { readonly seq: number }[] | undefined = []
    client.socket.on('hello', async () => {
      await this.#join(client, before)
      this.#take(held ?? [])
      held = undefined
    })
    client.socket.on('room.events', ({ events }: { events: readonly { seq: number }[] }) => {
      if (held === undefined) this.#take(events)
      else held.push(...events)
    })
    client.socket.on('drain', ({ afterMs }: { afterMs: number }) => {
      this.moves++
      again(afterMs, client)
    })
    client.socket.on('connect_error', () => again(200, before))
    client.socket.on('disconnect', () => {
      this.#open.delete(client)
      again(200)
    })
  }

  async #join(client: PlainClient, before?: PlainClient): Promise<void> {
    const roomId = this.#roomId
    for (;;) {
      const page = await client
        .ask('room.join', { roomId, after: this.seqs.at(-1) ?? 0 })
        // It was cut meanwhile: the next one asks again.
        .catch(() => undefined)
      if (page?.ok !== true) return
      this.#take(page.events)
      if (!page.more) break
    }
    before?.[Symbol.dispose]()
  }

  #take(events: readonly { readonly seq: number }[]): void {
    for (const { seq } of events) if (seq > (this.seqs.at(-1) ?? 0)) this.seqs.push(seq)
  }
}

test('[SD1] a rolling restart of two nodes under load loses nothing: no request of a kept-alive connection fails, streams and sockets go over with every event once and in order, and turns are taken up', async () => {
  await using database = await emptyTestDatabase()
  const environment = {
    DATABASE_URL: urlOf(database.connection),
    ATOM_MASTER_KEYS: `v1:${randomBytes(32).toString('base64url')}`,
    ATOM_LOG_LEVEL: 'info',
    ATOM_STOP_GRACE: '4',
    ATOM_STOP_DEADLINE: '40',
    ATOM_PUBLIC_URL: 'http://atom.test',
  }
  await using first = await AtomProcess.prepare(environment)
  await using second = await AtomProcess.prepare(environment)
  await first.start()
  await second.start()
  const { accessToken, rooms } = await setUp(first)
  const agentRoom = rooms[0]?.id ?? ''
  // Here one account and one address say what thousands would.
  const { body: me } = await call<{ account: { id: string } }>(first.url, 'GET', '/v1/me', {
    token: accessToken,
  })
  for (const whom of [{ network: '127.0.0.0/8' }, { accountId: me.account.id }]) {
    const rule = { ...whom, verdict: 'allow', reason: 'A test', forSeconds: 3_600 }
    const made = await call(first.url, 'POST', '/v1/operations/caller-rules', {
      token: accessToken,
      body: rule,
    })
    assert.equal(made.status, 201)
  }
  const { body: room } = await call<{ id: string }>(first.url, 'POST', '/v1/rooms', {
    token: accessToken,
    body: { name: 'Load' },
  })
  await using balancer = await Balancer.before([first.url, second.url])
  await until(() => balancer.ready === 2)

  const over = new AbortController()
  await using release = new AsyncDisposableStack()
  release.defer(() => over.abort())
  // Whoever fails ends the others, and the test.
  const all = (parts: readonly Promise<unknown>[]) =>
    void Promise.all(parts).catch((error: unknown) => over.abort(error))
  const holds = (condition: () => boolean | Promise<boolean>) =>
    until(() => {
      over.signal.throwIfAborted()
      return condition()
    })
  const posted: string[] = []
  const asked: string[] = []
  const load = range(1, 4).map(async (number) => {
    using line = new KeptAlive(balancer.url, accessToken)
    while (!over.signal.aborted) {
      const clientId = randomUUID()
      const body = { clientId, text: `from ${number}` }
      if ((await line.ask('POST', `/v1/rooms/${room.id}/messages`, body)) === 201) posted.push(clientId)
      await line.ask('GET', `/v1/rooms/${room.id}`)
      await delay(40)
    }
    return line
  })
  // Somebody asks the agent all the while: a turn that is under way when its node ends goes on at the other.
  const talk = (async () => {
    using line = new KeptAlive(balancer.url, accessToken)
    while (!over.signal.aborted) {
      const body = { clientId: randomUUID(), text: 'hello' }
      if ((await line.ask('POST', `/v1/rooms/${agentRoom}/messages`, body)) === 201) asked.push(body.clientId)
      await delay(800)
    }
    return line
  })()
  const hints: number[] = []
  const streams = range(1, 6).map(async () => {
    const seqs: number[] = []
    let lastEventId: string | undefined
    while (!over.signal.aborted) {
      const address = `${balancer.url}/v1/rooms/${room.id}/stream?after=0`
      await using reader = await EventReader.open(address, { token: accessToken, lastEventId })
      assert.equal(reader.status, 200)
      while (!reader.over && !over.signal.aborted) await delay(10)
      seqs.push(...reader.named('message').map(({ data }) => Number(data['seq'])))
      lastEventId = reader.lastEventId
      if (over.signal.aborted) break
      assert.deepEqual(reader.named('closing')[0]?.data, { reason: 'draining' })
      hints.push(reader.retryMs ?? 0)
      await delay(reader.retryMs)
    }
    return seqs
  })
  const travellers = range(1, 4).map(
    (number) => new Traveller(balancer.url, accessToken, room.id, `device-${number}`),
  )
  for (const traveller of travellers) release.defer(() => traveller.close())
  all([...load, talk, ...streams])
  await holds(() => posted.length > 20 && travellers.every(({ seqs }) => seqs.length > 5))

  for (const node of [first, second]) {
    assert.equal(await node.stop(), 0, node.output.slice(-2_000))
    const before = posted.length
    await holds(() => posted.length > before + 10)
    await node.start()
    await holds(() => balancer.ready === 2)
  }
  const { body: state } = await call<{ head: number }>(first.url, 'GET', `/v1/rooms/${room.id}`, {
    token: accessToken,
  })
  await holds(() => travellers.every(({ seqs }) => (seqs.at(-1) ?? 0) >= state.head))
  over.abort()

  const lines = [...(await Promise.all(load)), await talk]
  assert.deepEqual(
    lines.flatMap((line) => line.failures),
    [],
  )
  const timeline = async (roomId: string) => {
    const events: EventPage['events'] = []
    for (;;) {
      const path = `/v1/rooms/${roomId}/events?after=${events.at(-1)?.seq ?? 0}&limit=200`
      const { body: page } = await call<EventPage>(first.url, 'GET', path, { token: accessToken })
      if (page.events.length === 0) return events
      events.push(...page.events)
    }
  }
  const events = await timeline(room.id)
  assert.deepEqual(
    events.flatMap((event) => (event.type === 'message.created' ? [event.clientId] : [])).toSorted(),
    posted.toSorted(),
  )
  for (const seqs of await Promise.all(streams)) assert.deepEqual(seqs, range(1, seqs.length))
  for (const traveller of travellers) {
    traveller.close()
    assert.deepEqual(traveller.seqs, range(1, traveller.seqs.length))
    assert.ok(traveller.moves >= 1, 'it was moved')
  }
  assert.ok(hints.length >= 6 && hints.every((hint) => hint >= 500 && hint <= 1_000), hints.join())
  assert.ok(asked.length > 3)
  await until(async () => {
    const said = await timeline(agentRoom)
    return said.filter((event) => event.type === 'message.final').length === asked.length
  })
  for (const node of [first, second]) assert.doesNotMatch(node.output, /"requests":[1-9]/)
})

/** A request whose body is on its way: the server has it in hand, and waits. */
async function halfSent(atom: AtomProcess): Promise<{ finish(): Promise<string>; readonly socket: Socket }> {
  const { hostname, port } = new URL(atom.url)
  const body = JSON.stringify({ email: 'nobody@example.com', password: 'seven calm otters sing' })
  const socket = connect(Number(port), hostname)
  const head = [
    'POST /v1/auth/login HTTP/1.1',
    `Host: ${hostname}:${port}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ]
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.write(`${head.join('\r\n')}\r\n\r\n${body.slice(0, 10)}`)
  // A second request, answered, came after it: the server has read the first.
  await fetch(`${atom.url}/live`)
  await fetch(`${atom.url}/live`)
  return {
    socket,
    finish: async () => {
      socket.write(body.slice(10))
      return await text(socket)
    },
  }
}

function lineOf(atom: AtomProcess, words: string): Record<string, unknown> {
  const line = atom.output.split('\n').find((one) => one.startsWith('{') && one.includes(words))
  assert.ok(line !== undefined, `"${words}" is not in\n${atom.output.slice(-3_000)}`)
  return JSON.parse(line) as Record<string, unknown>
}

test('[SD2] what is not over at the deadline is cut, named in one line, and the exit status is 1; with time enough it ends with 0', async () => {
  await using atom = await AtomProcess.started({ ATOM_STOP_DEADLINE: '6', ATOM_LOG_LEVEL: 'info' })
  {
    const { finish } = await halfSent(atom)
    process.kill(atom.pid, 'SIGTERM')
    await until(() => atom.output.includes('"draining"'))
    const answer = await finish()
    assert.match(answer, /^HTTP\/1\.1 401 /)
    assert.match(answer, /\r\nconnection: close\r\n/i)
    assert.equal(await atom.ended(), 0)
  }
  await atom.start()
  const { socket } = await halfSent(atom)
  socket.on('error', () => socket.destroy())
  assert.equal(await atom.stop(), 1)
  const { requests } = lineOf(atom, 'connections cut')
  assert.equal(requests, 1)
})

test('[SD3] a second signal ends it at once, and says what was cut', async () => {
  await using atom = await AtomProcess.started({ ATOM_STOP_DEADLINE: '3000', ATOM_LOG_LEVEL: 'info' })
  const { socket } = await halfSent(atom)
  socket.on('error', () => socket.destroy())
  process.kill(atom.pid, 'SIGTERM')
  await until(() => atom.output.includes('"draining"'))
  process.kill(atom.pid, 'SIGTERM')
  assert.equal(await atom.ended(), 143)
  const { cut } = lineOf(atom, 'stopped at once')
  assert.deepEqual(cut, { requests: 1, streams: 0, sockets: 0, turns: 0 })
})

test('[SD4] the grace is for balancers: it is left out where nobody keeps asking /ready, and for Ctrl-C', async () => {
  await using atom = await AtomProcess.started({ ATOM_STOP_GRACE: '3000', ATOM_STOP_DEADLINE: '3600' })
  // The test's own time limit is far below the grace.
  assert.equal(await atom.stop('SIGTERM'), 0)
  await atom.start()
  for (const _ of range(1, 3)) assert.equal((await fetch(`${atom.url}/ready`)).status, 200)
  assert.equal(await atom.stop('SIGINT'), 0)
  await atom.start()
  for (const _ of range(1, 3)) assert.equal((await fetch(`${atom.url}/ready`)).status, 200)
  process.kill(atom.pid, 'SIGTERM')
  await until(async () => (await fetch(`${atom.url}/ready`)).status === 503)
  const served = await fetch(`${atom.url}/openapi.json`)
  assert.deepEqual([served.status, served.headers.get('connection')], [200, 'close'])
  await atom.kill()
})

/** Processes whose command or environment names this folder. */
async function processesOf(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const id of await readdir('/proc')) {
    if (!/^\d+$/.test(id) || Number(id) === process.pid) continue
    const said = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${id}/${file}`, 'utf8').catch(() => '')),
    )
    if (said.some((one) => one.includes(folder))) found.push(said[0] ?? id)
  }
  return found
}

test(
  '[SD5] SIGTERM while it starts: what has begun is taken down, nothing is left, and it ends with 0',
  onlyEmbedded,
  async () => {
    for (const moment of ['database', join('database', 'postmaster.pid')]) {
      await using atom = await AtomProcess.prepare()
      const ended = atom.runToEnd()
      await until(() => existsSync(join(atom.dataDir, moment)))
      process.kill(atom.pid, 'SIGTERM')
      const { code, said } = await ended
      assert.equal(code, 0, said)
      assert.match(said, /stopped before it was ready/)
      assert.doesNotMatch(said, /Atom is ready/)
      assert.deepEqual(await processesOf(atom.dataDir), [])
      // And nothing is broken.
      await atom.start()
    }
  },
)

/** Makes a process fail as a bug would: out of any request, where nobody catches it. */
function bug(kind: 'thrown' | 'rejected'): Record<string, string> {
  const failure = `new Error('the canary of a bug')`
  const how = kind === 'thrown' ? `throw ${failure}` : `void Promise.reject(${failure})`
  const code = `process.on('SIGUSR2', () => setImmediate(() => { ${how} }))`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` }
}

test('[SD6] a crash leaves its line, lets what is under way end, and exits with 1', async () => {
  for (const kind of ['thrown', 'rejected'] as const) {
    await using atom = await AtomProcess.started({ ...bug(kind), ATOM_LOG_LEVEL: 'info' })
    const { finish } = await halfSent(atom)
    process.kill(atom.pid, 'SIGUSR2')
    await until(() => atom.output.includes('stopping after a failure'))
    const { level, err } = lineOf(atom, 'stopping after a failure')
    assert.equal(level, 'fatal')
    assert.match(JSON.stringify(err), /the canary of a bug/)
    assert.match(await finish(), /^HTTP\/1\.1 401 /)
    assert.equal(await atom.ended(), 1)
    assert.match(atom.output, /"stopped"/)
  }
})

test('[SD30] a crash is among the errors when the process is back: what was thrown, at the door `process`, with its alert', async () => {
  await using db = await emptyTestDatabase()
  await using atom = await AtomProcess.started({
    ...bug('thrown'),
    ATOM_LOG_LEVEL: 'info',
    DATABASE_URL: urlOf(db.connection),
  })
  process.kill(atom.pid, 'SIGUSR2')
  assert.equal(await atom.ended(), 1)
  const rows = await db.database.query<{ door: string; code: string; title: string; count: string }>({
    text: 'select door, code, title, count from error_groups',
    values: [],
  } as never)
  assert.deepEqual(
    rows.map(({ door, code, count }) => [door, code, Number(count)]),
    [['process', 'internal', 1]],
  )
  assert.match(rows[0]?.title ?? '', /the canary of a bug/)
  const alerts = await db.database.query<{ kind: string; title: string }>({
    text: 'select kind, title from alerts where resolved_at is null',
    values: [],
  } as never)
  assert.deepEqual(
    alerts.map(({ kind }) => kind),
    ['error_new'],
  )
})

test('[SD7] several workers share the port of the probes, and drain together', async () => {
  const probePort = await freePort()
  await using atom = await AtomProcess.prepare({ ATOM_PROBE_PORT: String(probePort) }, ['--workers', '2'])
  await atom.start()
  const probe = `http://127.0.0.1:${probePort}`
  assert.equal((await fetch(`${probe}/live`)).status, 200)
  await until(async () => (await fetch(`${probe}/ready`)).status === 200)
  assert.equal(await atom.stop(), 0)
  await assert.rejects(fetch(`${probe}/live`))
  assert.deepEqual(await processesOf(atom.dataDir), [])
})
