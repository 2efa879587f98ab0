import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Health } from '@atom/contract/health.ts'
import { AtomProcess } from './support/atom-process.ts'
import { PlainClient, range, until } from './support/live.ts'
import { TestRedis } from './support/redis.ts'

const patienceMs = 120_000

/** The worker processes that have served so far, in the order in which they came. */
function workersOf(atom: AtomProcess): number[] {
  return atom.output
    .split('\n')
    .filter((line) => line.includes('a worker serves'))
    .map((line) => (JSON.parse(line) as { pid: number }).pid)
}

async function post<T>(url: string, body: object, token?: string): Promise<T> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  })
  assert.ok(answer.ok, `${url}: ${answer.status}`)
  return (await answer.json()) as T
}

/** Child processes of a server that run it as well, as its workers do; its database does not. */
async function workersUnder(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const found: number[] = []
  for (const child of children.split(' ').filter((id) => id !== '')) {
    const command = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '')
    if (command.includes('main.ts') && command.includes('--workers')) found.push(Number(child))
  }
  return found
}

async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline; ) {
    const found = await look()
    if (found !== undefined) return found
    await delay(5)
  }
  throw new Error('it did not happen')
}

/** Processes whose command or environment names this folder. */
async function processesOf(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const id of await readdir('/proc')) {
    if (!/^\d+$/.test(id) || Number(id) === process.pid) continue
    const said = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${id}/${file}`, 'utf8').catch(() => '')),
    )
    if (said.some((text) => text.includes(folder))) found.push(said[0] ?? id)
  }
  return found
}

test('[RT59] with --workers several processes serve one port as nodes of one installation: a room’s events reach all of them once and in order, one that is killed is replaced while the others serve, and SIGTERM ends all with 0', async () => {
  await using redis = await TestRedis.started()
  await using atom = await AtomProcess.prepare({ REDIS_URL: redis.url.reveal(), ATOM_LOG_LEVEL: 'info' }, [
    '--workers',
    '2',
  ])
  await atom.start()
  await until(
    () => workersOf(atom).length === 2 && atom.output.includes('#token='),
    'two workers',
    patienceMs,
  )
  const token = new URL(atom.setupUrl).hash.replace('#token=', '')
  const { accessToken } = await post<{ accessToken: string }>(`${atom.url}/v1/setup`, {
    token,
    email: 'ada@example.com',
    password: 'seven calm otters sing',
    name: 'Ada',
    workspace: 'Engines',
  })
  const { id: roomId } = await post<{ id: string }>(`${atom.url}/v1/rooms`, { name: 'The room' }, accessToken)
  const clients: PlainClient[] = []
  using release = new DisposableStack()
  const join = async (number: number) => {
    const client = new PlainClient(atom.url, { token: accessToken, deviceId: `device-${number}` })
    release.use(client)
    await until(() => client.first('hello'), 'hello', patienceMs)
    const joined = await client.ask('room.join', { roomId, after: 0 })
    assert.ok(joined.ok)
    return { client, before: joined.events.map((event) => event.seq) }
  }
  const seen: number[][] = []
  // One after the other, so that they are dealt out in turn.
  for (const number of range(1, 6)) {
    const { client, before } = await join(number)
    clients.push(client)
    seen.push(before)
  }
  const say = async (client: PlainClient | undefined, number: number) => {
    const said = await client?.ask('message.send', {
      roomId,
      clientId: `client-${number}`,
      text: `m ${number}`,
    })
    assert.ok(said?.ok && 'seq' in said)
    return said.seq
  }
  let last = 0
  for (const number of range(1, 30)) last = await say(clients[number % clients.length], number)
  for (const [index, client] of clients.entries()) {
    await until(() => client.seqs().includes(last), 'the last message', patienceMs)
    const all = [...(seen[index] ?? []), ...client.seqs()]
    assert.deepEqual(all, range(1, all.length))
    assert.deepEqual(client.problems, [])
  }

  const [victim] = workersOf(atom)
  assert.ok(victim !== undefined)
  process.kill(victim, 'SIGKILL')
  const living = () => clients.filter((client) => client.socket.connected)
  await until(() => living().length === 3, 'its three sockets are gone', patienceMs)
  const others = living()
  last = await say(others[0], 31)
  for (const client of others) await until(() => client.seqs().includes(last), 'the others go on', patienceMs)
  await until(() => workersOf(atom).length === 3, 'it is replaced', patienceMs)
  // Two in turn: one of them comes to the new worker.
  const late = [(await join(7)).client, (await join(8)).client]
  last = await say(others[1], 32)
  for (const client of late) await until(() => client.seqs().includes(last), 'at the new one too', patienceMs)

  assert.equal(await atom.stop(), 0)
  assert.deepEqual(await processesOf(atom.dataDir), [])
})

test('[RT113] SIGTERM while workers start ends them at once, and the server with 0', async () => {
  await using atom = await AtomProcess.prepare({ ATOM_LOG_LEVEL: 'info' }, ['--workers', '2'])
  const ended = atom.runToEnd()
  const { pid } = atom
  const starting = await eventually(async () => {
    const workers = await workersUnder(pid)
    return workers.length === 2 ? workers : undefined
  })
  // So that none of them ever serves, however slow this test is.
  for (const worker of starting) process.kill(worker, 'SIGSTOP')
  process.kill(pid, 'SIGTERM')
  assert.equal((await ended).code, 0)
  assert.equal(workersOf(atom).length, 0)
  assert.deepEqual(await processesOf(atom.dataDir), [])
})

test('[RT60] Redis stands behind the cache in the health: away it makes an installation degraded, and never down', async () => {
  await using redis = await TestRedis.prepared()
  await using atom = await AtomProcess.started({ REDIS_URL: redis.url.reveal() })
  const token = new URL(atom.setupUrl).hash.replace('#token=', '')
  const { accessToken } = await post<{ accessToken: string }>(`${atom.url}/v1/setup`, {
    token,
    email: 'ada@example.com',
    password: 'seven calm otters sing',
    name: 'Ada',
    workspace: 'Engines',
  })
  const health = async () => {
    const answer = await fetch(`${atom.url}/health`, { headers: { authorization: `Bearer ${accessToken}` } })
    return (await answer.json()) as Health
  }
  const away = await health()
  assert.deepEqual([away.status, away.components?.['cache']?.status], ['degraded', 'down'])
  assert.equal((await fetch(`${atom.url}/ready`)).status, 200)
  await redis.start()
  const deadline = performance.now() + patienceMs
  while ((await health()).components?.['cache']?.status !== 'up') {
    assert.ok(performance.now() < deadline, 'Redis is used once it is there')
    await delay(20)
  }
})

test('[MO29] a scrape of several workers tells what each of them counts, whichever is asked, and leaves out one that stands still', async () => {
  const scraperToken = 'a-token-for-the-scraper'
  await using atom = await AtomProcess.prepare({ ATOM_METRICS_TOKEN: scraperToken, ATOM_LOG_LEVEL: 'info' }, [
    '--workers',
    '2',
    '--stuck-after',
    '0',
  ])
  await atom.start()
  await until(() => workersOf(atom).length === 2, 'two workers', patienceMs)
  const get = async (path: string) => {
    // Each on a connection of its own: they are dealt out in turn.
    const headers = { authorization: `Bearer ${scraperToken}`, connection: 'close' }
    const answer = await fetch(`${atom.url}${path}`, { headers })
    return { status: answer.status, text: await answer.text() }
  }
  const counted = (text: string) =>
    text
      .split('\n')
      .filter((line) => /^http_server_request_duration_seconds_count\{.*"\/v1\/setup"/.test(line))
      .map((line) => ({ worker: /worker="(\d)"/.exec(line)?.[1], count: Number(line.split(' ').at(-1)) }))
  for (let asked = 0; asked < 9; asked++) assert.equal((await get('/v1/setup')).status, 200)
  for (let scrape = 0; scrape < 4; scrape++) {
    const { status, text } = await get('/metrics')
    assert.equal(status, 200)
    const parts = counted(text)
    assert.deepEqual(
      parts.map(({ worker }) => worker),
      ['1', '2'],
    )
    assert.equal(
      parts.reduce((sum, { count }) => sum + count, 0),
      9,
    )
    const types = text.split('\n').filter((line) => line.startsWith('# TYPE '))
    assert.equal(new Set(types).size, types.length, 'each name stands once')
    assert.ok(
      text.split('\n').every((line) => line === '' || line.startsWith('# ') || line.includes('worker="')),
    )
  }
  const [still] = workersOf(atom)
  assert.ok(still !== undefined)
  process.kill(still, 'SIGSTOP')
  try {
    // One in two reaches the one that stands still, and waits.
    const answers = await Promise.race([get('/metrics'), get('/metrics'), get('/metrics')])
    assert.equal(counted(answers.text).length, 1)
  } finally {
    process.kill(still, 'SIGCONT')
  }
  assert.equal(await atom.stop(), 0)
})
