import assert from 'node:assert/strict'
import { test } from 'node:test'
import sql, { raw } from 'sql-template-tag'
import { type Database, type DatabaseAddress, openDatabase } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { createLog } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'
import { Network } from './support/network.ts'
import { asOperator, emptyTestDatabase, named, testLog, testServer } from './support/postgres.ts'
import { until } from './support/until.ts'

function code(expected: string): (error: unknown) => boolean {
  return (error) => error instanceof AtomError && error.code === expected
}

/** A promise and the means to settle it, to hold something until the test says so. */
const gate = () => Promise.withResolvers<void>()

function sessionsOf(connection: DatabaseAddress): Promise<number> {
  return asOperator(connection, async (client) => {
    const counted = await client.query<{ sessions: number }>(
      `select count(*)::int as sessions from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    )
    return counted.rows[0]?.sessions ?? 0
  })
}

test('[DB1] a bigint comes back as a number, a timestamp as a Date, a date as text, jsonb parsed', async () => {
  await using own = await emptyTestDatabase()
  const [row] = await own.database.query(sql`
    select 9007199254740991::bigint as big, array[1, null, 3]::bigint[] as list, '2026-02-03 04:05:06.789+02'::timestamptz as at,
      '2026-02-03'::date as day, '{"a": [1]}'::jsonb as body, null::bigint as nothing, ${Buffer.of(0, 255)}::bytea as bytes`)
  assert.deepEqual(row, {
    big: Number.MAX_SAFE_INTEGER,
    list: [1, null, 3],
    at: new Date('2026-02-03T02:05:06.789Z'),
    day: '2026-02-03',
    body: { a: [1] },
    nothing: null,
    bytes: Buffer.of(0, 255),
  })
})

test('[DB1] a bigint too large for a number is an error and not another number', async () => {
  await using own = await emptyTestDatabase()
  await assert.rejects(own.database.query(sql`select 9007199254740993::bigint as big`), RangeError)
  assert.deepEqual(await own.database.query(sql`select 1 as fine`), [{ fine: 1 }])
})

test('[DB2] two hundred callers share four sessions and all are answered', async () => {
  await using own = await emptyTestDatabase({ poolSize: 4 })
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) => own.database.query<{ i: number }>(sql`select ${i}::int as i`)),
  )
  assert.deepEqual(
    answers.flat().map((row) => row.i),
    Array.from({ length: 200 }, (_, i) => i),
  )
  assert.ok((await sessionsOf(own.connection)) <= 4)
})

test('[DB3] a caller for whom there is no room in the queue is refused as busy, and those who wait are served', async () => {
  await using own = await emptyTestDatabase()
  await using database = await openDatabase({
    connection: own.connection,
    poolSize: 1,
    maxWaiting: 2,
    log: testLog,
  })
  const held = gate()
  const holder = database.transaction(() => held.promise)
  const waiting = [database.query(sql`select 1`), database.query(sql`select 2`)]
  await assert.rejects(database.query(sql`select 3`), (error) => {
    return error instanceof AtomError && error.code === 'busy' && (error.retryAfterMs ?? 0) > 0
  })
  held.resolve()
  await Promise.all([holder, ...waiting])
})

test('[DB3] a caller that has waited too long for a session is refused as busy', async () => {
  await using own = await emptyTestDatabase()
  await using database = await openDatabase({
    connection: own.connection,
    poolSize: 1,
    acquireTimeoutMs: 50,
    log: testLog,
  })
  const held = gate()
  const holder = database.transaction(() => held.promise)
  await assert.rejects(database.query(sql`select 1`), code('busy'))
  held.resolve()
  await holder
  assert.deepEqual(await database.query(sql`select 1 as free`), [{ free: 1 }])
})

test('[DB4] while the database is away every call says unavailable, and when it is back the next one works', async () => {
  await using own = await emptyTestDatabase()
  await using network = await Network.before(own.connection)
  await using database = await openDatabase({
    connection: { ...own.connection, ...network.address },
    poolSize: 3,
    log: testLog,
  })
  await Promise.all([database.check(), database.check(), database.check()])
  const interrupted = database.query(sql`select pg_sleep(60)`)
  const refused = assert.rejects(interrupted, code('unavailable'))
  await until(async () => {
    const sleeping = await own.database.query(sql`
      select 1 from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'`)
    return sleeping.length === 1
  })
  await network.cut()
  await refused
  for (let round = 0; round < 5; round++) {
    await assert.rejects(database.query(sql`select 1`), code('unavailable'))
    await assert.rejects(
      database.transaction(async () => undefined),
      code('unavailable'),
    )
    await assert.rejects(database.check(), code('unavailable'))
  }
  await network.open()
  await database.check()
  assert.deepEqual(await database.query(sql`select 1 as back`), [{ back: 1 }])
})

test('[DB5] a network that swallows everything ends a call as unavailable instead of holding it for ever', async () => {
  await using own = await emptyTestDatabase()
  await using network = await Network.before(own.connection)
  await using database = await openDatabase({
    connection: { ...own.connection, ...network.address },
    poolSize: 1,
    statementTimeoutMs: 100,
    log: testLog,
  })
  await database.check()
  network.freeze()
  await assert.rejects(database.query(sql`select 1`), code('unavailable'))
  assert.deepEqual(await database.query(sql`select 1 as fresh`), [{ fresh: 1 }])
})

test('[DB6] a session that was left inside a transaction is not handed to the next caller', async () => {
  await using own = await emptyTestDatabase({ poolSize: 1 })
  await own.database.query(raw(`begin; set local application_name = 'left behind'`))
  const [row] = await own.database.query(sql`select current_setting('application_name') as name`)
  assert.deepEqual(row, { name: 'atom' })
  await assert.rejects(own.database.query(raw(`begin; set local application_name = 'broken'; select 1/0`)))
  const [next] = await own.database.query(sql`select current_setting('application_name') as name`)
  assert.deepEqual(next, { name: 'atom' })
})

async function table(database: Database): Promise<void> {
  await database.query(
    sql`create table thing (id int primary key, n int not null, constraint small check (n < 100))`,
  )
  await database.query(sql`insert into thing values (1, 0), (2, 0)`)
}

async function sum(database: Database): Promise<number | undefined> {
  const [row] = await database.query<{ sum: number }>(sql`select sum(n) as sum from thing`)
  return row?.sum
}

test('[DB7] two transactions that lock each other out are both done in the end', async () => {
  await using own = await emptyTestDatabase()
  await table(own.database)
  const bothHold = [gate(), gate()] as const
  const crossing = (first: number, second: number, mine: 0 | 1) =>
    own.database.transaction(async (tx) => {
      await tx.query(sql`update thing set n = n + 1 where id = ${first}`)
      bothHold[mine].resolve()
      await bothHold[mine === 0 ? 1 : 0].promise
      await tx.query(sql`update thing set n = n + 1 where id = ${second}`)
    })
  await Promise.all([crossing(1, 2, 0), crossing(2, 1, 1)])
  assert.equal(await sum(own.database), 4)
})

test('[DB8] a statement that runs too long is ended by the server, and the session goes on', async () => {
  await using own = await emptyTestDatabase()
  await using database = await openDatabase({
    connection: own.connection,
    poolSize: 1,
    statementTimeoutMs: 50,
    log: testLog,
  })
  await assert.rejects(database.query(sql`select pg_sleep(60)`), { code: '57014' })
  assert.deepEqual(await database.query(sql`select 1 as on`), [{ on: 1 }])
  await database.transaction((tx) => tx.query(sql`select pg_sleep(0.2)`), { statementTimeoutMs: 0 })
})

test('[DB9] what is told after a commit is told when others can see it, and never after a rollback', async () => {
  await using own = await emptyTestDatabase()
  await table(own.database)
  const told: string[] = []
  let seen: Promise<number | undefined> | undefined
  await own.database.transaction(async (tx) => {
    tx.afterCommit(() => {
      throw new Error('a listener fails')
    })
    tx.afterCommit(() => {
      told.push('committed')
      seen = sum(own.database)
    })
    await tx.query(sql`update thing set n = 7 where id = 1`)
    assert.deepEqual(told, [])
  })
  assert.deepEqual(told, ['committed'])
  assert.equal(await seen, 7)
  await assert.rejects(
    own.database.transaction(async (tx) => {
      tx.afterCommit(() => told.push('never'))
      await tx.query(sql`update thing set n = 8 where id = 1`)
      throw new Error('changed my mind')
    }),
    /changed my mind/,
  )
  assert.deepEqual(told, ['committed'])
  assert.equal(await sum(own.database), 7)
})

test('[DB9] a broken constraint surfaces with its name, and the transaction leaves nothing behind', async () => {
  await using own = await emptyTestDatabase()
  await table(own.database)
  await assert.rejects(
    own.database.transaction(async (tx) => {
      await tx.query(sql`update thing set n = 5 where id = 1`)
      await tx.query(sql`update thing set n = 500 where id = 2`)
    }),
    { code: '23514', constraint: 'small' },
  )
  assert.equal(await sum(own.database), 0)
})

test('[DB10] a transaction whose failed statement was overlooked does not pretend to have committed', async () => {
  await using own = await emptyTestDatabase()
  await table(own.database)
  const told: string[] = []
  await assert.rejects(
    own.database.transaction(async (tx) => {
      tx.afterCommit(() => told.push('never'))
      await tx.query(sql`update thing set n = 5 where id = 1`)
      await tx.query(sql`update thing set n = 500 where id = 2`).catch(() => undefined)
    }),
    /rolled back/,
  )
  assert.deepEqual(told, [])
  assert.equal(await sum(own.database), 0)
})

test('[DB10] a transaction cannot be used after its end', async () => {
  await using own = await emptyTestDatabase()
  const escaped = await own.database.transaction(async (tx) => tx)
  await assert.rejects(async () => escaped.query(sql`select 1`), /after its end/)
})

test('[DB10] statements asked for together inside one transaction run one after the other', async () => {
  await using own = await emptyTestDatabase()
  await table(own.database)
  const rows = await own.database.transaction((tx) =>
    Promise.all(
      Array.from({ length: 20 }, () =>
        tx.query<{ n: number }>(sql`update thing set n = n + 1 where id = 1 returning n`),
      ),
    ),
  )
  assert.deepEqual(
    rows.flat().map((row) => row.n),
    Array.from({ length: 20 }, (_, i) => i + 1),
  )
})

test('[DB11] a session that the server ends, idle or in a transaction, ends neither the process nor the service', async () => {
  await using own = await emptyTestDatabase({ poolSize: 2 })
  await table(own.database)
  await own.database.check()
  const endAll = () =>
    asOperator(own.connection, (client) =>
      client.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
      ),
    )
  await endAll()
  await until(async () => (await sessionsOf(own.connection)) === 0)
  await own.database.check().catch(() => own.database.check())
  await assert.rejects(
    own.database.transaction(async (tx) => {
      await tx.query(sql`update thing set n = 9 where id = 1`)
      await endAll()
      await tx.query(sql`update thing set n = 9 where id = 2`)
    }),
    code('unavailable'),
  )
  assert.equal(await sum(own.database), 0)
})

test('[DB12] a notification is heard, and after a lost session the listener hears that it may have missed some', async () => {
  await using own = await emptyTestDatabase()
  const heard: string[] = []
  const other: string[] = []
  await using listening = await own.database.listen('news', (payload) => heard.push(payload))
  await using _second = await own.database.listen('Other News', (payload) => other.push(payload))
  await own.database.query(sql`select pg_notify('news', 'one')`)
  await until(() => heard.length === 1)
  await asOperator(own.connection, (client) =>
    client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'`,
    ),
  )
  await until(() => heard.length === 2 && other.length === 1)
  await own.database.query(sql`select pg_notify('news', 'two'), pg_notify('Other News', 'three')`)
  await until(() => heard.length === 3 && other.length === 2)
  assert.deepEqual({ heard, other }, { heard: ['one', '', 'two'], other: ['', 'three'] })
  await listening[Symbol.asyncDispose]()
  await own.database.query(sql`select pg_notify('news', 'four'), pg_notify('Other News', 'five')`)
  await until(() => other.length === 3)
  assert.equal(heard.length, 3)
})

test('[DB12] a listener comes back by itself after the database was away for a while', async () => {
  await using own = await emptyTestDatabase()
  await using network = await Network.before(own.connection)
  await using database = await openDatabase({
    connection: { ...own.connection, ...network.address },
    poolSize: 1,
    log: testLog,
  })
  const heard: string[] = []
  await using _listening = await database.listen('news', (payload) => heard.push(payload))
  await network.cut()
  await assert.rejects(database.check(), code('unavailable'))
  await network.open()
  await until(() => heard.length === 1)
  await own.database.query(sql`select pg_notify('news', 'again')`)
  await until(() => heard.length === 2)
  assert.deepEqual(heard, ['', 'again'])
})

test('[DB12] a listener that rests hears everything in order, reads on after a lost session, and ends at once', async () => {
  await using own = await emptyTestDatabase()
  const heard: string[] = []
  let rests = 0
  const restMs = () => {
    rests++
    return 50
  }
  const listening = await own.database.listen('news', (payload) => heard.push(payload), { restMs })
  const told = Array.from({ length: 100 }, (_, index) => `news ${index}`)
  for (const news of told) await own.database.query(sql`select pg_notify('news', ${news})`)
  await until(() => heard.length === told.length)
  assert.deepEqual(heard, told)
  assert.ok(rests > 0)
  await asOperator(own.connection, (client) =>
    client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'`,
    ),
  )
  await until(() => heard.at(-1) === '')
  await own.database.query(sql`select pg_notify('news', 'again')`)
  await until(() => heard.at(-1) === 'again')
  await listening[Symbol.asyncDispose]()
  const before = heard.length
  await own.database.query(sql`select pg_notify('news', 'late')`)
  assert.equal(heard.length, before)
})

test('[RT132] a listener that rests keeps up with those who tell much: it rests when there is nothing left to read', async () => {
  await using own = await emptyTestDatabase()
  let heard = 0
  let rests = 0
  await using _listening = await own.database.listen('news', () => heard++, {
    restMs: () => {
      rests++
      return 20
    },
  })
  // 6 MB: as readings of 64 KB nearly a hundred.
  await own.database.query(
    sql`select pg_notify('news', repeat('x', 7500) || number) from generate_series(1, 800) number`,
  )
  await until(() => heard === 800)
  assert.ok(rests < 60, `it rested ${rests} times`)
})

test('[DB13] a database that closes lets running work finish and refuses new work', async () => {
  await using own = await emptyTestDatabase({ poolSize: 2 })
  await table(own.database)
  const held = gate()
  const begun = gate()
  const working = own.database.transaction(async (tx) => {
    await tx.query(sql`update thing set n = 3 where id = 1`)
    begun.resolve()
    await held.promise
  })
  await begun.promise
  const closed = own.database[Symbol.asyncDispose]()
  await assert.rejects(own.database.query(sql`select 1`), code('unavailable'))
  held.resolve()
  await Promise.all([working, closed])
  await using again = await openDatabase({ connection: own.connection, poolSize: 1, log: testLog })
  assert.equal(await sum(again), 3)
})

test('[DB14] a database that cannot be opened at start is one sentence that names the next step', async () => {
  const server = await testServer()
  const open = (connection: DatabaseAddress) =>
    openDatabase({ connection, poolSize: 1, patienceMs: 0, log: testLog })
  const says = (words: RegExp) => (error: unknown) => error instanceof StartError && words.test(error.message)
  await assert.rejects(
    open({ host: '127.0.0.1', port: 1, user: 'atom', database: 'atom' }),
    says(/127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\)\. Start it, or correct DATABASE_URL\.$/),
  )
  await assert.rejects(open({ connectionString: 'postgres://a:secret-word@127.0.0.1:1/b' }), (error) => {
    return error instanceof StartError && !error.message.includes('secret-word')
  })
  await assert.rejects(
    open(named(server, 'no_such_database')),
    says(/has no database "no_such_database"\. Create it/),
  )
  await assert.rejects(
    open({ ...named(server, 'postgres'), user: 'nobody_like_that' }),
    says(/does not let user "nobody_like_that" in/),
  )
})

test('[DB14] opening waits for a database that is still starting', async () => {
  await using own = await emptyTestDatabase()
  await using network = await Network.before(own.connection)
  await network.cut()
  const waiting = gate()
  const log = createLog({ level: 'info', write: () => waiting.resolve() })
  const opening = openDatabase({ connection: { ...own.connection, ...network.address }, poolSize: 1, log })
  await waiting.promise
  await network.open()
  await using database = await opening
  await database.check()
})

test('[RM111] statements sent one behind the other on one session are answered in order, each for itself; where the session is lost, all of them say unavailable', async () => {
  await using own = await emptyTestDatabase({ poolSize: 2 })
  const answered: number[] = []
  {
    await using line = await own.database.line()
    const ask = async (number: number, divisor = 1) => {
      try {
        const [row] = await line.query<{ pid: number }>(
          sql`select pg_backend_pid() as pid, ${number} / ${divisor}::int from pg_sleep(0.05)`,
        )
        return row?.pid
      } finally {
        answered.push(number)
      }
    }
    const [first, failed, third] = await Promise.allSettled([ask(1), ask(2, 0), ask(3)])
    assert.ok(failed.status === 'rejected' && failed.reason.code === '22012')
    assert.ok(first.status === 'fulfilled' && third.status === 'fulfilled')
    assert.equal(third.value, first.value)
  }
  assert.deepEqual(answered, [1, 2, 3])
  await table(own.database)
  {
    await using line = await own.database.line()
    const lost = Promise.allSettled([
      line.query(sql`select pg_sleep(60)`),
      line.query(sql`update thing set n = 7`),
    ])
    await until(async () => {
      const rows = await own.database.query<{ ended: boolean }>(sql`
        select pg_terminate_backend(pid) as ended from pg_stat_activity
        where wait_event = 'PgSleep' and datname = current_database()`)
      return rows.length > 0
    })
    for (const result of await lost)
      assert.ok(result.status === 'rejected' && code('unavailable')(result.reason))
    await assert.rejects(line.query(sql`select 1`), code('unavailable'))
  }
  assert.equal(await sum(own.database), 0)
})
