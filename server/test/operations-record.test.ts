import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorGroup } from '@atom/contract/failures.ts'
import type { LogLine, ModuleLevel } from '@atom/contract/log.ts'
import { OpenStreams } from '#access/open-streams.ts'
import { Notes } from '#foundation/database/notes.ts'
import { AtomError } from '#foundation/errors.ts'
import { Failures } from '#foundation/failure-groups.ts'
import { createLog } from '#foundation/log.ts'
import { LogModules } from '#foundation/log-modules.ts'
import { LogTail } from '#foundation/log-tail.ts'
import { type ErrorNews, ErrorsSeen } from '#operations/errors-seen.ts'
import { LogDesk } from '#operations/log-desk.ts'
import { recordDoors } from '#operations/record-routes.ts'
import { call } from './support/calls.ts'
import { founder, openDoors, TestClock } from './support/doors.ts'
import { EventReader } from './support/event-reader.ts'
import { testDatabase, testLog } from './support/postgres.ts'
import { until } from './support/until.ts'

/** A node whose doors fail as the test says, with the operator's doors beside them. */
async function scene() {
  await using born = new AsyncDisposableStack()
  const { database } = born.use(await testDatabase())
  const nodes = born.use(new AsyncDisposableStack())
  const clock = new TestClock()
  const node = async () => {
    const failures = new Failures()
    const told: ErrorNews[] = []
    const errors = nodes.use(
      new ErrorsSeen({
        ...{ failures, database, clock, log: testLog, keepMs: 3_600_000 },
        tell: (news) => void told.push(news),
        ranSince: async () => undefined,
      }),
    )
    const tail = new LogTail()
    const log = createLog({ level: 'info', write: () => undefined, tail })
    const modules = new LogModules(log)
    for (const name of ['rooms', 'agents']) modules.of(name)
    const notes = nodes.use(await Notes.open({ database, log: testLog }))
    const desk = nodes.use(
      new LogDesk({ node: 'here', tail, modules, database, notes, clock, log: modules.of('operations') }),
    )
    return { failures, told, errors, tail, log, modules, desk }
  }
  const one = await node()
  let thrown: unknown = new Error('nothing to throw')
  const doors = born.use(
    await openDoors(database, {
      clock,
      http: { failures: one.failures },
      register: ({ guards, http }) => {
        const revocations = { has: () => false, subscribe: () => ({ [Symbol.dispose]: () => undefined }) }
        const streams = born.use(new OpenStreams({ revocations, clock }))
        recordDoors(guards, {
          ...{ errors: one.errors, log: one.desk, streams },
          nodes: {
            log: async ({ node: _, q, ...wanted }) => ({
              ...{ node: one.desk.node, ...one.desk.lines({ ...wanted, text: q }) },
            }),
          },
        })
        http.get('/fails/:id', async () => {
          throw thrown
        })
      },
    }),
  )
  const setup = await call<{ accessToken: string }>(doors.url, 'POST', '/v1/setup', { body: founder })
  const token = setup.body.accessToken
  await one.errors.keep()
  const alive = born.move()
  return {
    ...{ ...one, clock, database, doors, token, node },
    ask: async <T>(method: string, path: string, body?: object) =>
      await call<T>(doors.url, method, `/v1/operations${path}`, {
        token,
        ...(body !== undefined && { body }),
      }),
    fail: async (with_: unknown) => {
      thrown = with_
      return await call<{ requestId: string }>(doors.url, 'GET', '/fails/17')
    },
    [Symbol.asyncDispose]: () => alive.disposeAsync(),
  }
}

const canary = 'hunter2hunter2'
const stranger = (id: number) => new Error(`row ${id} of "things" cannot be read, password=${canary}`)

test('[ER100] failures of one kind are one entry, whatever ids they name, with an example and how often', async () => {
  await using it = await scene()
  for (let n = 0; n < 3; n++) await it.fail(stranger(n))
  const last = await it.fail(new AtomError('provider_unavailable'))
  await it.errors.keep()
  const { body } = await it.ask<{ items: ErrorGroup[] }>('GET', '/errors')
  assert.deepEqual(
    body.items.map(({ code, place, count, door, category }) => [code, place, count, door, category]),
    [
      ['provider_unavailable', 'GET /fails/:id', 1, 'http', 'provider'],
      ['internal', 'GET /fails/:id', 3, 'http', 'internal'],
    ],
  )
  const [known, unforeseen] = body.items
  assert.equal(known?.exampleRequestId, last.body.requestId)
  assert.match(unforeseen?.title ?? '', /^Error: row \d of "things" cannot be read, password=\[secret\]/)
  assert.equal(unforeseen?.lastHour, 3)
  const whole = await it.ask<ErrorGroup & { stack: string; history: { counts: number[] } }>(
    'GET',
    `/errors/${unforeseen?.id}`,
  )
  assert.match(whole.body.stack, /operations-record\.test/)
  assert.equal(
    whole.body.history.counts.reduce((sum, count) => sum + count, 0),
    3,
  )
  assert.ok(!JSON.stringify(whole.body).includes(canary))
  assert.equal((await it.ask('GET', '/errors/0000000000000000')).status, 404)
})

test('[ER101] what several nodes count adds up, and what could not be kept is kept the next time', async () => {
  await using it = await scene()
  const other = await it.node()
  const error = new AtomError('internal', undefined, { cause: stranger(1) })
  for (const { failures } of [it, other]) failures.note({ door: 'job', place: 'turn', error })
  await Promise.all([it.errors.keep(), other.errors.keep()])
  const count = async () =>
    (await it.ask<{ items: ErrorGroup[] }>('GET', '/errors?door=job')).body.items[0]?.count
  assert.equal(await count(), 2)
  await it.database.query({ text: 'alter table error_groups rename to away', values: [] } as never)
  it.failures.note({ door: 'job', place: 'turn', error })
  await it.errors.keep()
  await it.database.query({ text: 'alter table away rename to error_groups', values: [] } as never)
  it.failures.note({ door: 'job', place: 'turn', error })
  await it.errors.keep()
  assert.equal(await count(), 4)
})

test('[ER102] a new error of nobody’s making is told once, and again when it comes back after it was resolved', async () => {
  await using it = await scene()
  const happen = async () => {
    await it.fail(stranger(1))
    await it.errors.keep()
  }
  await happen()
  await happen()
  assert.deepEqual(
    it.told.map(({ kind, latest }) => [kind, latest]),
    [['new', 1]],
  )
  const id = it.told[0]?.id
  assert.equal((await it.ask('POST', `/errors/${id}/resolve`)).status, 200)
  assert.equal((await it.ask<{ items: ErrorGroup[] }>('GET', '/errors?state=resolved')).body.items.length, 1)
  await happen()
  assert.deepEqual(
    it.told.map(({ kind }) => kind),
    ['new', 'resolved', 'new'],
  )
  assert.equal(
    (await it.ask<{ items: ErrorGroup[] }>('GET', '/errors?state=open&q=THINGS')).body.items.length,
    1,
  )
})

test('[ER103] an error that comes four times as often as in the hour before is told, once while it lasts', async () => {
  await using it = await scene()
  const error = new AtomError('provider_unavailable')
  const happen = async (times: number) => {
    for (let n = 0; n < times; n++)
      it.failures.note({ door: 'http', place: 'GET /v1/me', error }, it.clock.now())
    await it.errors.keep()
  }
  for (let minute = 0; minute < 60; minute += 5) {
    await happen(10)
    it.clock.pass(5 * 60_000)
  }
  assert.deepEqual(it.told, [])
  await happen(60)
  await happen(5)
  assert.deepEqual(
    it.told.map(({ kind, code, latest }) => [kind, code, latest]),
    [['rising', 'provider_unavailable', 60]],
  )
  // Nothing for a while, then again.
  it.clock.pass(2 * 60 * 60_000)
  await happen(1)
  await happen(60)
  assert.deepEqual(
    it.told.map(({ kind }) => kind),
    ['rising', 'calm', 'rising'],
  )
})

test('[ER104] the list is given page by page without a double, and a cursor of somebody else’s making is refused', async () => {
  await using it = await scene()
  for (let n = 0; n < 25; n++) {
    it.failures.note({ door: 'socket', place: `frame ${n}`, error: new AtomError('busy') }, it.clock.now())
    if (n % 5 === 0) it.clock.pass(1_000)
  }
  await it.errors.keep()
  const places: string[] = []
  let cursor = ''
  for (;;) {
    const { body } = await it.ask<{ items: ErrorGroup[]; next: string | null }>(
      'GET',
      `/errors?limit=10${cursor}`,
    )
    places.push(...body.items.map(({ place }) => place))
    if (body.next === null) break
    cursor = `&cursor=${body.next}`
  }
  assert.equal(places.length, 25)
  assert.equal(new Set(places).size, 25)
  assert.equal((await it.ask('GET', '/errors?cursor=bm9uc2Vuc2U')).status, 400)
  const { body } = await it.ask<{ counts: number[]; codes: { code: string }[] }>(
    'GET',
    '/errors/history?minutes=60',
  )
  assert.deepEqual(
    body.codes.map(({ code }) => code),
    ['busy'],
  )
  assert.equal(
    body.counts.reduce((sum, count) => sum + count, 0),
    25,
  )
})

test('[ER105] whatever is thrown, the answer is a problem of the closed list that says nothing of it, and it is counted', async () => {
  await using it = await scene()
  const cyclic: Record<string, unknown> = { canary }
  cyclic['self'] = cyclic
  const hostile = Object.defineProperties(new Error(canary), {
    message: {
      get: () => {
        throw new Error(canary)
      },
    },
    stack: {
      get: () => {
        throw new Error(canary)
      },
    },
  })
  const nasty: unknown[] = [
    ...[undefined, null, 0, '', canary, Symbol(canary), 10n, () => canary, cyclic, hostile],
    ...[
      Object.freeze(new Error(canary)),
      new Error(canary.repeat(100_000)),
      new AggregateError([new Error(canary)], canary),
    ],
    ...[
      Object.assign(new Error(canary), { code: 'ECONNREFUSED', statusCode: 200 }),
      {
        toJSON: () => {
          throw new Error(canary)
        },
      },
    ],
    ...[
      Object.assign(new Error(canary), { statusCode: 999, code: 'FST_ERR_NONSENSE' }),
      new Proxy(
        {},
        {
          get: () => {
            throw new Error(canary)
          },
        },
      ),
    ],
  ]
  for (const thrown of nasty) {
    const answer = await it.fail(thrown)
    const told = JSON.stringify(answer.body)
    assert.equal(answer.status, 500, told)
    assert.match(told, /"code":"internal"/)
    assert.ok(!told.includes(canary), told)
  }
  await it.errors.keep()
  const { body } = await it.ask<{ items: ErrorGroup[] }>('GET', '/errors?category=internal&limit=100')
  assert.equal(
    body.items.reduce((sum, { count }) => sum + count, 0),
    nasty.length,
  )
})

test('[LG9] an operator reads the log of a node by level, part, request and text, and listens to it', async () => {
  await using it = await scene()
  it.modules.of('rooms').warn({ requestId: 'r-1', password: canary }, 'a slow room')
  it.modules.of('agents').info('a turn')
  const { body } = await it.ask<{ node: string; items: LogLine[]; next: string | null }>(
    'GET',
    '/log?level=warn',
  )
  assert.deepEqual(
    body.items.map(({ message, module, requestId, fields }) => [
      message,
      module,
      requestId,
      fields['password'],
    ]),
    [['a slow room', 'rooms', 'r-1', '[secret]']],
  )
  const page = await it.ask<{ items: LogLine[]; next: string }>('GET', '/log?limit=1')
  assert.equal(page.body.items[0]?.message, 'a turn')
  const older = await it.ask<{ items: LogLine[] }>('GET', `/log?limit=1&cursor=${page.body.next}`)
  assert.equal(older.body.items[0]?.message, 'a slow room')
  const stream = `${it.doors.url}/v1/operations/log/stream?module=rooms`
  await using reader = await EventReader.open(stream, { token: it.token })
  it.modules.of('agents').info('not asked for')
  it.modules.of('rooms').info('heard')
  await until(() => reader.events.length > 0)
  assert.deepEqual(
    reader.events.map(({ data }) => data['message']),
    ['heard'],
  )
})

test('[LG10] the level of one part is changed on every node, and ends by itself', async () => {
  await using it = await scene()
  const other = await it.node()
  const set = await it.ask<ModuleLevel>('PUT', '/log/levels/rooms', { level: 'debug', minutes: 1 })
  assert.equal(set.status, 200)
  await until(() => other.modules.level('rooms') === 'debug')
  assert.deepEqual([it.modules.level('rooms'), it.modules.level('agents')], ['debug', 'info'])
  const late = await it.node()
  await until(() => late.modules.level('rooms') === 'debug')
  assert.equal((await it.ask('PUT', '/log/levels/nobody', { level: 'debug', minutes: 1 })).status, 404)
  assert.equal((await it.ask('PUT', '/log/levels/rooms', { level: 'loud', minutes: 10 })).status, 400)
  it.clock.pass(2 * 60_000)
  await it.ask('PUT', '/log/levels/agents', { level: 'warn', minutes: 1 })
  await until(() => other.modules.level('agents') === 'warn' && other.modules.level('rooms') === 'info')
  const { body } = await it.ask<{ items: ModuleLevel[] }>('GET', '/log/levels')
  assert.equal(body.items.find(({ module }) => module === 'rooms')?.until, null)
})
