import assert from 'node:assert/strict'
import { type IncomingMessage, request } from 'node:http'
import { json } from 'node:stream/consumers'
import { test } from 'node:test'
import { limitPolicies } from '@atom/contract/limits.ts'
import { AtomProcess } from './support/atom-process.ts'
import { call } from './support/calls.ts'
import { range } from './support/live.ts'
import { until } from './support/until.ts'

/** On a connection of its own: they are dealt out to the workers in turn. */
async function apart<T>(
  url: string,
  path: string,
  { token, body }: { token?: string; body?: object },
): Promise<{ status: number; body: T }> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request(
      `${url}${path}`,
      {
        method: body === undefined ? 'GET' : 'POST',
        agent: false,
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
      },
      resolve,
    )
    asked.once('error', reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
  return { status: answer.statusCode ?? 0, body: (await json(answer)) as T }
}

test('[LS22] the workers of one machine count together: guesses at three of them get what one limit allows, to the point', async () => {
  await using atom = await AtomProcess.prepare({ ATOM_LOG_LEVEL: 'info' }, ['--workers', '3'])
  await atom.start()
  await until(() => atom.output.includes('/setup#token='))
  const email = 'ada@example.com'
  const { body: setup } = await call<{ accessToken: string }>(atom.url, 'POST', '/v1/setup', {
    body: {
      token: new URL(atom.setupUrl).hash.replace('#token=', ''),
      ...{ email, password: 'seven calm otters sing', name: 'Ada', workspace: 'Engines' },
    },
  })
  const { burst } = limitPolicies['sign-in']
  const guesses = await Promise.all(
    range(1, 3 * burst).map((at) =>
      apart<{ code: string }>(atom.url, '/v1/auth/login', {
        body: { email, password: `a guess, number ${at}` },
      }),
    ),
  )
  const codes = guesses.map(({ body }) => body.code)
  assert.equal(codes.filter((code) => code === 'invalid_credentials').length, burst, codes.join())
  assert.equal(codes.filter((code) => code === 'rate_limited').length, 2 * burst)

  // And they were several who were asked.
  const states = await Promise.all(
    range(1, 6).map(() =>
      apart<{ node: string; together: boolean }>(atom.url, '/v1/operations/limits', {
        token: setup.accessToken,
      }),
    ),
  )
  assert.ok(states.every(({ body }) => body.together))
  assert.ok(new Set(states.map(({ body }) => body.node)).size > 1)
})
