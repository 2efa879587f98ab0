import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bearerToken } from '#access/authenticate.ts'
import { randomToken } from '#foundation/ids.ts'
import { MemoryRateLimits } from '#foundation/rate-limit/memory-rate-limit.ts'
import { LoadShedding } from '#http/load-shedding.ts'
import { PolicyLimits } from '#http/policy-limits.ts'
import { call } from './support/calls.ts'
import { openDoors } from './support/doors.ts'
import { range } from './support/live.ts'
import { testDatabase, testLog } from './support/postgres.ts'
import { proxyScene } from './support/proxy-scene.ts'

test('[LS20] made-up capabilities, from one address or from as many networks as a line of IPv6 has, take nothing of what a real agent asks for under overload', async () => {
  await using it = await proxyScene()
  const reply = await it.ada.call('POST', `/v1/connections/${it.connection.id}/capabilities`, {
    json: { methods: ['GET'], paths: ['/user'], expiresIn: 600 },
  })
  const real: string = reply.body.token
  // It has opened something once.
  assert.equal((await it.house.call('GET', `${it.proxy}/user`, { token: real })).status, 200)

  /** So many can be served in a tick. */
  const room = 20
  const state = { served: 0 }
  const shedding = new LoadShedding({
    log: testLog,
    // Busy to the brim, whatever is let in: it stays overloaded.
    utilisation: () => (state.served > room ? 1 : 0.94),
    knock: async () => 1_000,
  })
  // Its time is the test's.
  shedding[Symbol.dispose]()
  await using own = await testDatabase()
  await using doors = await openDoors(own.database, {
    http: { trustedProxies: ['127.0.0.1'] },
    edge: {
      limits: new PolicyLimits(new MemoryRateLimits()),
      shedding,
      claim: (authorization) => it.house.room.claim(bearerToken(authorization) ?? ''),
    },
    register: ({ http }) => {
      http.get('/v1/worked', async (_request, answer) => {
        state.served++
        return answer.send('{}')
      })
    },
  })
  const ask = async (token: string, from: string) =>
    (await call(doors.url, 'GET', '/v1/worked', { token, headers: { 'x-forwarded-for': from } })).status
  const crowds = [
    ['one address', () => '192.0.2.1'],
    ['networks of one line', (at: number) => `2001:db8:1:${at.toString(16)}::1`],
  ] as const
  for (const [whence, addressOf] of crowds) {
    let last: number[] = []
    for (let tick = 0; tick < 40; tick++) {
      state.served = 0
      const crowd = range(1, 60).map((at) => ask(`atom.capability.${randomToken()}`, addressOf(at)))
      const agent = range(1, 4).map(() => ask(real, '198.51.100.7'))
      await Promise.all(crowd)
      last = [...last, ...(await Promise.all(agent))].slice(-40)
      shedding.tick()
      await Promise.resolve()
    }
    assert.ok(shedding.admitting < 0.6, `${shedding.admitting}`)
    const served = last.filter((status) => status === 200).length
    assert.ok(served >= 36, `${whence}: ${served} of ${last.length}`)
  }
})
