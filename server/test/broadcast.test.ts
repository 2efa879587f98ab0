import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Broadcast } from '#foundation/broadcast/broadcast.ts'
import { PostgresBroadcast } from '#foundation/broadcast/postgres.ts'
import { RedisBroadcast } from '#foundation/broadcast/redis.ts'
import { Secret } from '#foundation/secret.ts'
import { Network } from './support/network.ts'
import { testDatabase, testLog } from './support/postgres.ts'
import { TestRedis } from './support/redis.ts'
import { until } from './support/until.ts'

/** What carries a broadcast, with as many processes on it as a test wants. */
interface Ground extends AsyncDisposable {
  join(): Promise<Broadcast>
}

const grounds: Record<string, () => Promise<Ground>> = {
  PostgreSQL: async () => {
    await using born = new AsyncDisposableStack()
    const own = born.use(await testDatabase())
    const alive = born.move()
    return {
      join: async () => alive.use(await PostgresBroadcast.open({ database: own.database, log: testLog })),
      [Symbol.asyncDispose]: () => alive.disposeAsync(),
    }
  },
  Redis: async () => {
    await using born = new AsyncDisposableStack()
    const redis = born.use(await TestRedis.started())
    const alive = born.move()
    return {
      join: async () => alive.use(await RedisBroadcast.open({ url: redis.url, log: testLog })),
      [Symbol.asyncDispose]: () => alive.disposeAsync(),
    }
  },
}

/** What one process hears of a topic, once it is sure to. */
async function hear(broadcast: Broadcast, topic: string): Promise<Disposable & { heard: string[] }> {
  const heard: string[] = []
  const listening = broadcast.listen(topic, (message) => heard.push(message))
  await until(() => broadcast.hears(topic))
  return { heard, [Symbol.dispose]: () => listening[Symbol.dispose]() }
}

for (const [name, open] of Object.entries(grounds)) {
  test(`[BR1] ${name}: what one process tells is heard by every other one that listens to the topic, in order, once, and not by itself`, async () => {
    await using ground = await open()
    const [one, two, three] = await Promise.all([ground.join(), ground.join(), ground.join()])
    using atOne = await hear(one, 'room')
    using atTwo = await hear(two, 'room')
    using atThree = await hear(three, 'room')
    using another = await hear(three, 'another-room')
    const told = Array.from({ length: 500 }, (_, number) => `message ${number}`)
    for (const message of told) one.tell('room', message)
    two.tell('another-room', 'the end')
    two.tell('room', 'the end')
    await until(() => [atOne, atThree].every(({ heard }) => heard.includes('the end')))
    await until(() => atTwo.heard.length >= 500 && atThree.heard.length >= 501)
    assert.deepEqual(atOne.heard, ['the end'])
    assert.deepEqual(atTwo.heard, told)
    assert.deepEqual(
      atThree.heard.filter((message) => message !== 'the end'),
      told,
    )
    assert.deepEqual(another.heard, ['the end'])
  })

  test(`[BR2] ${name}: a message of any text comes whole, up to the longest; a longer one is not told and holds up nothing`, async () => {
    await using ground = await open()
    const [one, two] = await Promise.all([ground.join(), ground.join()])
    using there = await hear(two, 'topic:with:colons')
    const texts = ['', ' 7 ', '{"a":"b 3 c"}', '€ and 😀\n\t\u0001', 'x'.repeat(one.mostBytes)]
    one.tell('topic:with:colons', 'y'.repeat(one.mostBytes + 1))
    for (const text of texts) one.tell('topic:with:colons', text)
    await until(() => there.heard.length >= texts.length)
    assert.deepEqual(there.heard, texts)
  })

  test(`[BR3] ${name}: who has stopped listening hears no more; the others of the same process do, whatever one of them throws`, async () => {
    await using ground = await open()
    const [one, two] = await Promise.all([ground.join(), ground.join()])
    using _failing = two.listen('room', () => {
      throw new Error('a listener of the test')
    })
    const leaving = await hear(two, 'room')
    using staying = await hear(two, 'room')
    one.tell('room', 'first')
    await until(() => staying.heard.length === 1)
    leaving[Symbol.dispose]()
    one.tell('room', 'second')
    await until(() => staying.heard.length === 2)
    assert.deepEqual(leaving.heard, ['first'])
  })

  test(`[BR4] ${name}: a hundred topics joined, left and joined again at once are heard in the end, and the left ones are not`, async () => {
    await using ground = await open()
    const [one, two] = await Promise.all([ground.join(), ground.join()])
    const heard: string[] = []
    const topics = Array.from({ length: 100 }, (_, number) => `topic-${number}`)
    const listen = (topic: string) => two.listen(topic, () => heard.push(topic))
    let listening = topics.map(listen)
    await until(() => two.hears('topic-3'))
    for (const listener of listening) listener[Symbol.dispose]()
    listening = topics.map(listen)
    for (const [number, listener] of listening.entries()) if (number % 2 === 1) listener[Symbol.dispose]()
    const kept = topics.filter((_, number) => number % 2 === 0)
    await until(() => kept.every((topic) => two.hears(topic)))
    for (const topic of topics) one.tell(topic, 'hello')
    await until(() => heard.length >= 50)
    assert.deepEqual(heard, kept)
  })
}

test('[BR5] a killed Redis is noticed, keeps nobody waiting, and is used again when it is back: every listener is told that it may have missed something', async () => {
  await using redis = await TestRedis.started()
  await using one = await RedisBroadcast.open({ url: redis.url, log: testLog })
  await using two = await RedisBroadcast.open({ url: redis.url, log: testLog })
  const heard: string[] = []
  let missed = 0
  using _listening = two.listen(
    'room',
    (message) => heard.push(message),
    () => missed++,
  )
  await until(() => two.hears('room'))
  await redis.kill()
  await until(() => !two.hears('room'))
  await assert.rejects(two.check())
  one.tell('room', 'into the void')
  await redis.start()
  await until(() => two.hears('room') && missed === 1)
  await two.check()
  await until(() => {
    one.tell('room', 'again')
    return heard.length > 0
  })
  assert.ok(heard.every((message) => message === 'again'))
})

test('[BR6] a Redis that stands still without a word is not believed for longer than a few beats', async () => {
  await using redis = await TestRedis.started()
  await using network = await Network.beforePort(redis.port)
  const url = new Secret(`redis://127.0.0.1:${network.address.port}`)
  await using broadcast = await RedisBroadcast.open({ url, log: testLog, beatMs: 50 })
  using _there = await hear(broadcast, 'room')
  network.freeze()
  await until(() => !broadcast.hears('room'))
  // What was frozen stays so; new connections go through.
  await until(() => broadcast.hears('room'))
})

test('[BR7] a Redis that is away when a process starts keeps it from nothing, and is used as soon as it is there', async () => {
  await using redis = await TestRedis.prepared()
  await using broadcast = await RedisBroadcast.open({ url: redis.url, log: testLog, patienceMs: 50 })
  await assert.rejects(broadcast.check())
  using _listening = broadcast.listen('room', () => undefined)
  assert.equal(broadcast.hears('room'), false)
  await redis.start()
  await until(() => broadcast.hears('room'))
})
