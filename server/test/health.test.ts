import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { SignedIn } from '@atom/contract/accounts.ts'
import type { ErrorCode } from '@atom/contract/errors.ts'
import { Health as HealthShape, type StatusWord } from '@atom/contract/health.ts'
import sql from 'sql-template-tag'
import { Compile } from 'typebox/compile'
import type { Clock } from '#foundation/clock.ts'
import { DatabaseProbe } from '#foundation/database/database-probe.ts'
import { startEmbedded } from '#foundation/database/embedded.ts'
import { type Database, openDatabase } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { createLog } from '#foundation/log.ts'
import { diskOf, SystemReadings } from '#foundation/system/system-readings.ts'
import { Metrics } from '#foundation/telemetry/metrics.ts'
import { type Finding, Health, type HealthCheck } from '#http/health.ts'
import { ProbeListener } from '#http/probe-listener.ts'
import { Readiness } from '#http/readiness.ts'
import { diskFinding, type HealthSources, healthChecks } from '#operations/health-checks.ts'
import { registerHealthMetrics } from '#operations/health-metrics.ts'
import { createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { assertProblem, call } from './support/calls.ts'
import { founder, openDoors } from './support/doors.ts'
import { emptyTestDatabase, testDatabase, testLog, testServer, urlOf } from './support/postgres.ts'
import { smallDisk } from './support/small-disk.ts'
import { until } from './support/until.ts'

/** A health of one check that a test steers: every look takes the next word, the last one again and again. */
function scripted(words: readonly (Finding['status'] | 'throws')[]) {
  let looks = 0
  const lines: string[] = []
  const check: HealthCheck = {
    name: 'database',
    required: true,
    check: async () => {
      const word = words[Math.min(looks++, words.length - 1)] ?? 'up'
      if (word === 'throws') throw new Error('canary of the driver')
      return { status: word, detail: `look ${looks}` }
    },
  }
  const log = createLog({ level: 'info', write: (line) => void lines.push(line) })
  const health = new Health({ log, checks: [check], everyMs: 8 })
  return { health, lines, looks: () => looks }
}

test('[HE1] a status gets worse after three looks in a row and better after two, so what flaps stays what it was and writes nothing', async () => {
  const seen: string[] = []
  const steps: readonly [words: ('up' | 'throws')[], status: string][] = [
    [['up'], 'up'],
    [['up', 'throws', 'throws'], 'up'],
    [['up', 'throws', 'throws', 'throws'], 'down'],
    [['up', 'throws', 'throws', 'throws', 'up'], 'down'],
    [['up', 'throws', 'throws', 'throws', 'up', 'up'], 'up'],
  ]
  for (const [words, status] of steps) {
    // What comes after the last word is the same again, which must not be looked at: the script ends by alternating.
    const flaps = Array.from({ length: 40 }, (_, at) => (at % 2 === 0 ? invert(words.at(-1)) : words.at(-1)))
    const it = scripted([...words, ...flaps.map((word) => word ?? 'up')])
    using health = it.health
    await health.start()
    await until(() => it.looks() >= words.length + 30)
    assert.equal(health.overall, status, words.join())
    const changes = it.lines.filter((line) => line.includes('health changed')).length
    assert.equal(changes, words.length < 4 ? 0 : words.length < 6 ? 1 : 2, words.join())
    seen.push(JSON.stringify(health.components()))
  }
  assert.ok(seen.every((text) => !text.includes('canary')))
  assert.match(seen.at(-1) ?? '', /"lastError":\{"detail":"The check failed; see the log\."/)
})

function invert(word: string | undefined): 'up' | 'throws' {
  return word === 'up' ? 'throws' : 'up'
}

test('[HE2] a database that hangs (stopped, not gone) holds no probe up: the answer is there at once, /ready says no after three looks, and yes again by itself', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'atom-health-'))
  await chmod(folder, 0o755)
  after(() => rm(folder, { recursive: true, force: true }))
  await using server = await startEmbedded({ dataDir: folder, log: testLog })
  await using database = await openDatabase({ connection: server.connection, poolSize: 2, log: testLog })
  await using probe = new DatabaseProbe({ connection: server.connection, log: testLog, timeoutMs: 200 })
  let looks = 0
  await using db = await testDatabase()
  await using doors = await openDoors(db.database, {
    checks: [
      {
        name: 'database',
        required: true,
        timeoutMs: 300,
        check: async () => {
          looks++
          await probe.ask()
          return undefined
        },
      },
    ],
  })
  assert.equal((await call(doors.url, 'GET', '/ready')).status, 200)
  const processes = await processesOf(database)
  assert.ok(processes.length > 3)
  const stopped = (signal: 'SIGSTOP' | 'SIGCONT') => {
    for (const pid of processes) process.kill(pid, signal)
  }
  stopped('SIGSTOP')
  try {
    const before = looks
    // Every probe is answered; the first that says no comes after the third look at the earliest.
    for (;;) {
      const { status, body } = await call<{ code?: string }>(doors.url, 'GET', '/ready')
      if (status !== 200) {
        assert.equal(body.code, 'unavailable')
        break
      }
      await delay(5)
    }
    assert.ok(looks - before >= 2, `it was believed after ${looks - before + 1} looks`)
    assert.equal((await call(doors.url, 'GET', '/health')).status, 503)
    assert.equal((await call(doors.url, 'GET', '/live')).status, 200)
  } finally {
    stopped('SIGCONT')
  }
  await until(async () => (await call(doors.url, 'GET', '/ready')).status === 200)
  await database.check()
})

/** The server and all that it has started. */
async function processesOf(database: Database): Promise<number[]> {
  const [own] = await database.query<{ pid: number }>(sql`select pg_backend_pid() as pid`)
  const parents = new Map<number, number>()
  for (const name of await readdir('/proc')) {
    const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '')
    parents.set(Number(name), Number(/^PPid:\s*(\d+)/m.exec(status)?.[1]))
  }
  const server = parents.get(own?.pid ?? 0)
  assert.ok(server !== undefined, 'the server was found')
  return [server, ...[...parents].filter(([, parent]) => parent === server).map(([pid]) => pid)]
}

test('[HE3] a thousand probes at once cost no look, and a look that hangs is never joined by a second one', async () => {
  await using db = await testDatabase()
  const never = Promise.withResolvers<undefined>()
  let hanging = 0
  let looks = 0
  await using doors = await openDoors(db.database, {
    checks: [
      { name: 'database', required: true, check: async () => void looks++ },
      {
        name: 'hangs',
        required: false,
        timeoutMs: 20,
        check: async () => {
          hanging++
          return await never.promise
        },
      },
    ],
  })
  const before = looks
  const began = performance.now()
  for (let round = 0; round < 20; round++) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => call(doors.url, 'GET', round % 2 === 0 ? '/ready' : '/status')),
    )
    assert.ok(answers.every(({ status }) => status === 200))
  }
  // One every 50 ms, however many ask.
  assert.ok(looks - before <= (performance.now() - began) / 50 + 1)
  assert.equal(hanging, 1)
  never.resolve(undefined)
})

test('[HE4] without a look nothing is known: /ready says no until the first ones are over', async () => {
  const first = Promise.withResolvers<undefined>()
  using health = new Health({
    log: testLog,
    checks: [{ name: 'database', required: true, check: () => first.promise }],
  })
  const readiness = new Readiness({ phase: () => 'ready', health })
  const started = health.start()
  assert.equal(readiness.word, 'down')
  first.resolve(undefined)
  await started
  assert.equal(readiness.word, 'up')
})

/** Sources of a healthy process, with what a test makes of them. */
function sources(changes: Partial<HealthSources> = {}): HealthSources {
  return {
    database: {
      ask: async () => ({ latencyMs: 1, clockAheadMs: 0 }),
      load: () => ({ size: 10, inUse: 0, waiting: 0, refusal: undefined }),
      hears: () => true,
    },
    archive: async () => ({ on: false, any: false, ageMs: 0, failing: false, failures: 0, timeoutMs: 0 }),
    cache: { redis: undefined, together: () => false, own: {} },
    masterKeys: { check: async () => undefined, versions: [1] },
    queue: { standing: async () => ({ waiting: 0, oldestMs: 0, running: 0, places: 16 }) },
    realtime: { sockets: () => 0, behind: () => 0, streams: () => 0 },
    resting: () => [],
    system: {
      cpu: () => ({ busy: 0.1, processors: 2 }),
      descriptors: async () => ({ open: 30, limit: 1_024 }),
      eventLoop: () => ({ utilisation: 0.1, delayP99Ms: 2, delayMaxMs: 3 }),
      memory: async () => ({ rss: 1, heap: 1, used: 1, limit: 100 }),
    },
    dataDir: tmpdir(),
    log: testLog,
    ...changes,
  }
}

async function found(name: string, from: HealthSources): Promise<Finding> {
  const check = healthChecks(from).find((one) => one.name === name)
  assert.ok(check !== undefined, name)
  // The first look at the loop only starts the watch.
  await check.check()
  return (await check.check()) ?? { status: 'up' }
}

test('[HE5] each component says in words what is wrong with it, and none of them but the database takes the process out of traffic', async () => {
  const { system, database } = sources()
  const sick: readonly [name: string, words: RegExp, changes: Partial<HealthSources>][] = [
    [
      'database',
      /101 callers wait/,
      { database: { ...database, load: () => ({ size: 10, inUse: 10, waiting: 101, refusal: undefined }) } },
    ],
    [
      'queue',
      /61 s/,
      { queue: { standing: async () => ({ waiting: 3, oldestMs: 61_000, running: 0, places: 16 }) } },
    ],
    [
      'cache',
      /counts its limits by itself/,
      { cache: { redis: { check: async () => undefined }, together: () => false, own: {} } },
    ],
    ['realtime', /not heard/, { database: { ...database, hears: () => false } }],
    ['realtime', /too slowly/, { realtime: { sockets: () => 20, behind: () => 11, streams: () => 0 } }],
    [
      'providers',
      /github: It was out\./,
      { resting: () => [{ provider: 'github', connections: 3, detail: 'It was out.' }] },
    ],
    [
      'memory',
      /93 %/,
      { system: { ...system, memory: async () => ({ rss: 1, heap: 1, used: 93, limit: 100 }) } },
    ],
    [
      'descriptors',
      /ulimit/,
      { system: { ...system, descriptors: async () => ({ open: 900, limit: 1_024 }) } },
    ],
    [
      'event_loop',
      /more to do/,
      { system: { ...system, eventLoop: () => ({ utilisation: 1, delayP99Ms: 2, delayMaxMs: 3 }) } },
    ],
  ]
  for (const [name, words, changes] of sick) {
    const finding = await found(name, sources(changes))
    assert.equal(finding.status, 'degraded', name)
    assert.match(finding.detail ?? '', words)
    assert.equal((await found(name, sources())).status, 'up', name)
  }
  const required = healthChecks(sources()).filter((check) => check.required)
  assert.deepEqual(
    required.map(({ name }) => name),
    ['database'],
  )
})

test('[HE51] a database that answers whoever is there, and lets nobody in any more, is down with its reason, and up again by itself', async () => {
  await using db = await testDatabase({ poolSize: 3 })
  await using probe = new DatabaseProbe({ connection: db.connection, log: testLog })
  const { database } = sources()
  const from = sources({
    database: { ...database, ask: () => probe.ask(), load: () => db.database.load },
    queue: {
      standing: async () => {
        await db.database.check()
        return { waiting: 0, oldestMs: 0, running: 0, places: 16 }
      },
    },
  })
  using health = new Health({
    log: testLog,
    checks: healthChecks(from).flatMap(({ everyMs: _, ...check }) =>
      ['database', 'queue'].includes(check.name) ? [check] : [],
    ),
    everyMs: 10,
  })
  await health.start()
  assert.equal(health.overall, 'up')
  const [own] = await db.database.query<{ name: string }>(sql`select current_database() as name`)
  await using admin = await openDatabase({ connection: await testServer(), poolSize: 1, log: testLog })
  const letIn = async (whether: boolean) =>
    await admin.query(sql`update pg_database set datallowconn = ${whether} where datname = ${own?.name}`)
  await letIn(false)
  // As after a minute in which nobody asked for anything: the sessions are gone, but for the one that asks how it is.
  await admin.query(sql`
    select pg_terminate_backend(pid) from pg_stat_activity where datname = ${own?.name} and query not like '%clock_timestamp%'`)
  await until(() => health.overall === 'down')
  assert.match(
    health.components()['database']?.detail ?? '',
    /^It answers, but opens no new session: .*not currently accepting connections\.$/,
  )
  await letIn(true)
  await until(() => health.overall === 'up')
})

test('[HE43] a database that is away is told in an operator’s words, and of its archive what was known before; [MO51] a scraper reads how each part is', async () => {
  const { database } = sources()
  let away = false
  const checks = healthChecks(
    sources({
      database: {
        ...database,
        ask: async () => {
          if (away) throw new AtomError('unavailable')
          return await database.ask()
        },
      },
      archive: async () => {
        if (away) throw new AtomError('unavailable')
        return { on: true, any: true, ageMs: 90_000, failing: false, failures: 0, timeoutMs: 0 }
      },
    }),
  ).filter(({ name }) => name === 'database' || name === 'backups')
  let looks = 0
  using health = new Health({
    log: testLog,
    checks: checks.map(({ everyMs: _, ...check }) => ({
      ...check,
      check: () => {
        looks++
        return check.check()
      },
    })),
    everyMs: 10,
  })
  await health.start()
  const archive = health.components()['backups']
  away = true
  await until(() => health.overall === 'down')
  const before = looks
  await until(() => looks > before + 20)
  const { database: told, backups } = health.components()
  assert.equal(told?.detail, 'The database or the key service cannot be reached.')
  assert.deepEqual([backups?.status, backups?.detail], [archive?.status, archive?.detail])
  assert.equal(backups?.detail, 'The last was archived 1 min ago.')
  // A scraper reads the same.
  const metrics = new Metrics()
  registerHealthMetrics(metrics, health)
  const lines = (await metrics.text()).split('\n').filter((line) => !line.startsWith('#') && line !== '')
  assert.deepEqual(lines.toSorted(), [
    'atom_backup_age_seconds{kind="archive"} 90',
    'atom_component_status{component="backups"} 1',
    'atom_component_status{component="database"} 0',
  ])
})

test('[HE6] a clock that runs away from the database’s, and one that jumps, are told; a jump is forgotten, and no probe or hysteresis runs by that clock', async () => {
  // It goes as the database's does, however long this takes, and is put forward and back.
  let shiftMs = 0
  const clock: Clock = { now: () => new Date(Date.now() + shiftMs) }
  await using probe = new DatabaseProbe({ connection: await testServer(), clock, log: testLog })
  const lines: string[] = []
  const log = createLog({ level: 'warn', write: (line) => void lines.push(line) })
  const { database } = sources()
  const checks = healthChecks(sources({ log, database: { ...database, ask: () => probe.ask() } }))
  using health = new Health({
    log,
    clock,
    checks: checks.filter(({ name }) => name === 'database' || name === 'clock'),
    everyMs: 10,
  })
  await health.start()
  const status = () => health.components()['clock']?.status
  await until(() => health.components()['clock']?.figures?.['aheadMs'] !== undefined)
  assert.equal(status(), 'up')
  shiftMs = 3_600_000
  await until(() => status() === 'degraded')
  assert.match(health.components()['clock']?.detail ?? '', /36\d\d(\.\d)? s ahead of its database/)
  assert.equal(health.components()['database']?.status, 'up')
  assert.ok(lines.some((line) => line.includes('a clock jumped')))
  shiftMs = 0
  // It is right again, and still said to have jumped.
  await until(() => /jumped within/.test(health.components()['clock']?.detail ?? ''))
  assert.equal(health.overall, 'degraded')
})

test('[HE8] a disk that fills up is told before it is full, and full is down; the process stays in traffic', async (t) => {
  await using disk = await smallDisk()
  if (disk === undefined) {
    t.skip('no small file system can be had here')
    return
  }
  const { folder, bytes } = disk
  assert.equal((await diskFinding(folder)).status, 'up')
  const { free } = await diskOf(folder)
  await writeFile(join(folder, 'most'), Buffer.alloc(free - bytes * 0.05))
  const low = await diskFinding(folder)
  assert.deepEqual([low.status, /has \d+ % left/.test(low.detail ?? '')], ['degraded', true])
  // Until nothing more goes in.
  await assert.rejects(writeFile(join(folder, 'rest'), Buffer.alloc(bytes * 0.1)), /ENOSPC/)
  const full = await diskFinding(folder)
  assert.deepEqual([full.status, full.figures?.['freeBytes']], ['down', 0])
  using health = new Health({
    log: testLog,
    checks: healthChecks(sources({ dataDir: folder })).filter(({ name }) => name === 'disk'),
  })
  await health.start()
  assert.equal(health.overall, 'degraded')
  assert.equal(health.components('system')['disk']?.status, 'down')
})

interface Answer {
  readonly status: number
  readonly body: string
  readonly at: number
}

/** From another thread: this one is about to be blocked. Asks again and again, and tells each answer when asked for them. */
function askingElsewhere(url: string): AsyncDisposable & { answers(): Promise<readonly Answer[]> } {
  const code = `
    import { parentPort, workerData } from 'node:worker_threads'
    const answers = []
    parentPort.on('message', () => parentPort.postMessage(answers))
    for (;;) {
      const answer = await fetch(workerData)
      answers.push({ status: answer.status, body: await answer.text(), at: Number(process.hrtime.bigint() / 1000000n) })
      await new Promise((resolve) => setTimeout(resolve, 5))
    }`
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: url })
  return {
    answers: () =>
      new Promise((resolve) => {
        worker.once('message', resolve)
        worker.postMessage('')
      }),
    [Symbol.asyncDispose]: async () => void (await worker.terminate()),
  }
}

function duringThe(
  block: { readonly from: number; readonly to: number },
  answers: readonly Answer[],
): Answer[] {
  return answers.filter(({ at }) => at > block.from && at < block.to)
}

function block(ms: number): { readonly from: number; readonly to: number } {
  const from = Number(process.hrtime.bigint() / 1_000_000n)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  return { from, to: Number(process.hrtime.bigint() / 1_000_000n) }
}

test('[HE9] /live is answered while the main loop is blocked, again and again; only one that stands still for long is called dead, and much sooner it gets no traffic', async () => {
  let word: StatusWord = 'up'
  let asked = 0
  await using probes = await ProbeListener.open({
    host: '127.0.0.1',
    port: 0,
    publicUrl: 'http://127.0.0.1',
    word: () => word,
    asked: () => asked++,
    log: testLog,
    stuckMs: 4_500,
  })
  const url = `http://127.0.0.1:${probes.port}`
  {
    await using live = askingElsewhere(`${url}/live`)
    await using ready = askingElsewhere(`${url}/ready`)
    await until(async () => (await live.answers()).length > 0 && (await ready.answers()).length > 0)
    const blocked = block(3_000)
    const within = duringThe(blocked, await live.answers())
    assert.ok(within.length >= 3, `${within.length} answers during the block`)
    assert.ok(within.every(({ status, body }) => status === 200 && body === '{"status":"up"}'))
    const noTraffic = duringThe(blocked, await ready.answers()).at(-1)
    assert.equal(noTraffic?.status, 503, 'a third of the time that counts as dead')
    await until(async () => (await ready.answers()).at(-1)?.status === 200)
    const dead = duringThe(block(5_500), await live.answers()).at(-1)
    assert.equal(dead?.status, 503)
    assert.match(dead?.body ?? '', /"detail":"The main loop has not turned for \d+ s\."/)
  }
  assert.ok(asked > 0, 'the process hears that somebody asks')
  const refusals: readonly [StatusWord, ErrorCode][] = [
    ['starting', 'starting'],
    ['down', 'unavailable'],
    ['draining', 'draining'],
  ]
  for (const [said, code] of refusals) {
    word = said
    probes.beat()
    const refusal = await call(url, 'GET', '/ready')
    assertProblem(refusal, code)
    assert.match(refusal.headers.get('retry-after') ?? '', /^\d+$/)
    assert.equal((await call(url, 'GET', '/live')).status, 200)
  }
  word = 'degraded'
  probes.beat()
  assert.deepEqual((await call(url, 'GET', '/ready')).body, { status: 'degraded' })
  assertProblem(await call(url, 'GET', '/v1/me'), 'not_found')
  const odd = await call(url, 'POST', '/live')
  assertProblem(odd, 'method_not_allowed')
  assert.equal(odd.headers.get('allow'), 'GET, HEAD')
})

test('[HE30] whoever opens connections to the port of the probes and keeps them gets few, and the probes go on', async () => {
  await using probes = await ProbeListener.open({
    host: '127.0.0.1',
    port: 0,
    publicUrl: 'http://127.0.0.1',
    word: () => 'up',
    log: testLog,
  })
  const sockets = Array.from({ length: 400 }, () => connect(probes.port, '127.0.0.1'))
  let closed = 0
  for (const socket of sockets) socket.on('error', () => undefined).on('close', () => closed++)
  await until(() => closed >= 200)
  // Those that say nothing lose their places to those who ask.
  await until(async () => {
    const answer = await fetch(`http://127.0.0.1:${probes.port}/live`).catch(() => undefined)
    return answer?.status === 200
  })
  for (const socket of sockets) socket.destroy()
})

test('[HE10] the whole of a running process, in the shape of the contract, for operators only: every component and the machine, with readings', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-health-'))
  await using database = await emptyTestDatabase()
  const port = await freePort()
  const probePort = await freePort()
  const config = readConfig({
    ATOM_DATA_DIR: dataDir,
    ATOM_PORT: String(port),
    ATOM_PROBE_PORT: String(probePort),
    ATOM_SETUP_TOKEN: founder.token,
    ATOM_MASTER_KEYS: `v1:${randomBytes(32).toString('base64url')}`,
    ATOM_SANDBOX: '0',
    DATABASE_URL: urlOf(database.connection),
  })
  {
    await using app = await createApp(config, { log: testLog })
    assert.equal(app.word, 'starting')
    assert.equal((await call(`http://127.0.0.1:${probePort}`, 'GET', '/ready')).status, 503)
    await app.listen()
    const { body: me } = await call<SignedIn>(app.url, 'POST', '/v1/setup', { body: founder })
    const { body: stranger } = await call<HealthShape>(app.url, 'GET', '/health')
    assert.deepEqual(Object.keys(stranger), ['status'])
    const { body } = await call<HealthShape>(app.url, 'GET', '/health', { token: me.accessToken })
    assert.ok(Compile(HealthShape).Check(body), JSON.stringify(Compile(HealthShape).Errors(body)[0]))
    assert.deepEqual(Object.keys(body.components ?? {}).toSorted(), [
      'backups',
      'cache',
      'clock',
      'database',
      'master_key',
      'providers',
      'queue',
      'realtime',
    ])
    assert.deepEqual(Object.keys(body.system ?? {}).toSorted(), [
      'cpu',
      'descriptors',
      'disk',
      'event_loop',
      'memory',
    ])
    for (const name of ['database', 'master_key', 'providers', 'queue', 'realtime'])
      assert.equal(body.components?.[name]?.status, 'up', name)
    const figures = { ...body.components?.['database']?.figures, ...body.system?.['memory']?.figures }
    assert.equal(figures['poolSessions'], 10)
    for (const name of ['answerMs', 'limitBytes', 'usedBytes', 'rssBytes'])
      assert.ok((figures[name] ?? 0) > 0, `${name} ${figures[name]}`)
    assert.ok((body.system?.['descriptors']?.figures?.['open'] ?? 0) > 10)
    assert.equal(body.components?.['database']?.required, true)
    await until(async () => (await call(`http://127.0.0.1:${probePort}`, 'GET', '/ready')).status === 200)
    assert.deepEqual((await call(app.url, 'GET', '/ready')).body, { status: body.status })
  }
  await assert.rejects(fetch(`http://127.0.0.1:${probePort}/live`))
  await rm(dataDir, { recursive: true })
})

test('[HE11] what blocked the loop is seen in its readings', async () => {
  using system = new SystemReadings()
  await delay(50)
  system.eventLoop()
  // The first turn after a reading only starts the watch.
  await delay(100)
  block(400)
  await delay(50)
  const { delayMaxMs, utilisation } = system.eventLoop()
  assert.ok(delayMaxMs >= 300, `${delayMaxMs} ms`)
  assert.ok(utilisation > 0.3)
  const { used, limit, rss } = await system.memory()
  assert.ok(used > 0 && limit > rss)
})
