import assert from 'node:assert/strict'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RefreshCheckpoint } from '#connections/refresh/token-refresh.ts'
import { Network } from './support/network.ts'
import { RefreshScene } from './support/refresh-scene.ts'
import { until } from './support/until.ts'

test('[CN63] two hundred callers of a stale token in two processes cause one request to a rotating provider, and get two hundred fresh tokens', async () => {
  await using it = await RefreshScene.open()
  const processes = await Promise.all([it.process(), it.process()])
  it.provider.endAccess()
  const statuses = await it.storm(processes, 200)
  assert.deepEqual(new Set(statuses), new Set([200]))
  assert.deepEqual(it.provider.tokenRequests, ['5Aep.1'])
  assert.deepEqual([it.provider.taken.length, ...new Set(it.provider.taken)], [200, 'Bearer 00D!2'])
  assert.equal((await it.lease()).generation, 2)
})

test('[CN64] a token endpoint slower than every lease is still asked once: its holder renews the lease until the answer is stored', async () => {
  await using it = await RefreshScene.open()
  const processes = await Promise.all([it.process({ leaseSeconds: 4 }), it.process({ leaseSeconds: 4 })])
  const answer = Promise.withResolvers<void>()
  it.provider.beforeAnswer = () => answer.promise
  it.provider.endAccess()
  const calls = it.storm(processes, 200)
  // The lease that was taken first is over, and the one after it, and the one after that.
  const first = new Date(
    await new Promise<string>((resolve) => {
      void until(async () => {
        const { until: held } = await it.lease()
        if (held !== null) resolve(held)
        return held !== null
      })
    }),
  )
  await until(async () => {
    const { until: held } = await it.lease()
    return held !== null && new Date(held).getTime() > first.getTime() + 8_000
  })
  answer.resolve()
  assert.deepEqual(new Set(await calls), new Set([200]))
  assert.deepEqual(it.provider.tokenRequests, ['5Aep.1'])
  assert.equal(it.provider.taken.length, 200)
})

/** What a kill at each step leaves, where the next process has the same data folder. */
const steps: readonly {
  readonly name: string
  readonly dieAt?: RefreshCheckpoint
  readonly killWhen?: 'asked' | 'spent'
  readonly works: boolean
  /** Refresh tokens that the provider is sent, over all processes. */
  readonly sent: readonly string[]
}[] = [
  { name: 'claimed', dieAt: 'claimed', works: true, sent: ['5Aep.1'] },
  { name: 'sent, and lost on the way', killWhen: 'asked', works: true, sent: ['5Aep.1', '5Aep.1'] },
  { name: 'sent, and answered to nobody', killWhen: 'spent', works: false, sent: ['5Aep.1', '5Aep.1'] },
  { name: 'answered', dieAt: 'answered', works: false, sent: ['5Aep.1', '5Aep.1'] },
  { name: 'journalled, before it is stored', dieAt: 'journalled', works: true, sent: ['5Aep.1'] },
  { name: 'stored', dieAt: 'stored', works: true, sent: ['5Aep.1'] },
]

for (const { name, dieAt, killWhen, works, sent } of steps) {
  test(`[CN65] kill -9 in a refresh, ${name}: afterwards the connection ${works ? 'works' : 'says that it has to be reconnected, and why'}`, async () => {
    await using it = await RefreshScene.open()
    const doomed = await it.process({ leaseSeconds: 1, ...(dieAt && { dieAt }) })
    it.provider.endAccess()
    const forever = new Promise<void>(() => undefined)
    const strike = async () => {
      doomed.child.kill('SIGKILL')
      await forever
    }
    if (killWhen === 'asked') it.provider.beforeEffect = strike
    if (killWhen === 'spent') it.provider.beforeAnswer = strike
    await assert.rejects(it.call(doomed), 'the caller hears nothing')
    await doomed.ended
    it.provider.beforeEffect = async () => undefined
    it.provider.beforeAnswer = async () => undefined

    const next = await it.process({ leaseSeconds: 1 })
    const statuses = await it.storm([next], 20)
    assert.deepEqual(new Set(statuses), new Set([works ? 200 : 409]))
    assert.deepEqual(it.provider.tokenRequests, sent)
    const state = await it.state()
    if (works) {
      assert.equal(state.status, 'active')
      assert.equal(it.provider.familyEnded, false)
    } else {
      assert.equal(state.status, 'needs_reconnect')
      assert.match(state.reason ?? '', /cut off before its answer arrived/)
      assert.deepEqual(state.remedy, {
        whose: 'person',
        action: 'reconnect',
        label: 'Reconnect Salesforce',
      })
    }
    // What was stored already is forgotten with the next refresh.
    if (works) assert.equal((await it.refresh(next)).status, 200)
    assert.deepEqual(await it.journal(), [], 'nothing stays in the journal')
  })
}

test('[CN65] a pair that arrives while the database is away outlives kill -9: it is stored when the server is back, also where nobody asks', async () => {
  await using it = await RefreshScene.open()
  await using network = await Network.before(it.database.connection)
  const doomed = await it.process({
    leaseSeconds: 1,
    connection: { ...it.database.connection, ...network.address },
  })
  it.provider.endAccess()
  it.provider.beforeAnswer = () => network.cut()
  const call = assert.rejects(it.call(doomed), 'the caller hears nothing')
  await until(async () => (await it.journal()).some((name) => name.endsWith('.json')))
  doomed.child.kill('SIGKILL')
  await call
  await doomed.ended
  assert.equal((await it.lease()).generation, 1)
  await it.sweep()
  assert.equal((await it.lease()).generation, 2)
  assert.deepEqual(await it.journal(), [])
  assert.equal(await it.call(await it.process()), 200)
  assert.deepEqual(it.provider.tokenRequests, ['5Aep.1'])
})

test('[CN74] a disk that is full costs no refresh and leaves no half file', async () => {
  await using it = await RefreshScene.open()
  const folder = join(it.dataDir, 'refreshes')
  await mkdir(folder, { recursive: true })
  // Whatever is written there meets a full disk.
  await symlink('/dev/full', join(folder, `${it.connection.id}.first.1.json.new`))
  const process = await it.process()
  it.provider.endAccess()
  assert.deepEqual(new Set(await it.storm([process], 10)), new Set([200]))
  assert.deepEqual(it.provider.tokenRequests, ['5Aep.1'])
  assert.equal((await it.lease()).generation, 2)
  assert.deepEqual(await it.journal(), [])
  it.provider.endAccess()
  assert.equal(await it.call(process), 200)
  assert.deepEqual(it.provider.tokenRequests, ['5Aep.1', '5Aep.2'])
})
