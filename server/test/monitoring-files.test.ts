import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RoomEvent } from '@atom/contract/rooms.ts'
import { createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { assertProblem, call } from './support/calls.ts'
import { founder } from './support/doors.ts'
import { emptyTestDatabase, testLog, urlOf } from './support/postgres.ts'
import { until } from './support/until.ts'

const deploy = join(import.meta.dirname, '..', '..', 'deploy')
const token = 'the-token-of-the-scraper'

interface Dashboard {
  readonly uid: string
  readonly panels: readonly { readonly targets: readonly { readonly expr: string }[] }[]
}

/** Names of metrics in a PromQL expression: neither labels nor functions. */
function metricsIn(expression: string): string[] {
  const bare = expression
    .replaceAll(/\{[^}]*\}/g, ' ')
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .replaceAll(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, ' ')
  return [...bare.matchAll(/[a-z_][\w:]*(?=\s*(\(?))/gi)]
    .filter(({ 0: word, 1: call }) => call !== '(' && !['and', 'or', 'unless', 'by'].includes(word))
    .map(([word]) => word)
}

test('[MO15] every metric that the shipped dashboards and rules name exists, and so does every recorded one', async () => {
  await using database = await emptyTestDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-files-'))
  const config = readConfig({
    ATOM_DATA_DIR: dataDir,
    ATOM_PORT: String(await freePort()),
    ATOM_METRICS_TOKEN: token,
    ATOM_SANDBOX: '0',
    DATABASE_URL: urlOf(database.connection),
  })
  const exist = new Set<string>()
  {
    await using app = await createApp(config, { log: testLog })
    await app.listen()
    const answer = await fetch(`${app.url}/metrics`, { headers: { authorization: `Bearer ${token}` } })
    for (const [, name = '', type] of (await answer.text()).matchAll(/^# TYPE (\S+) (\w+)$/gm)) {
      if (type === 'histogram') for (const part of ['bucket', 'sum', 'count']) exist.add(`${name}_${part}`)
      else exist.add(name)
    }
  }
  await rm(dataDir, { recursive: true })
  assert.ok(exist.has('atom_cache_hits_total') && exist.has('atom_cache_entries'))
  assert.ok(exist.has('process_cpu_seconds_total') && exist.has('http_server_active_requests'))

  const rules = readFileSync(join(deploy, 'prometheus', 'atom.yml'), 'utf8')
  const recorded = [...rules.matchAll(/record: (\S+)/g)].map(([, name = '']) => name)
  const expressions = [...rules.matchAll(/expr: >-\n((?: {10}.*\n)+)/g)].map(([, lines = '']) => lines)
  assert.equal(expressions.length, rules.match(/^ +expr:/gm)?.length)
  const dashboards = globSync('grafana/*.json', { cwd: deploy }).map(
    (file) => JSON.parse(readFileSync(join(deploy, file), 'utf8')) as Dashboard,
  )
  assert.equal(new Set(dashboards.map(({ uid }) => uid)).size, 2)
  for (const { panels } of dashboards)
    expressions.push(...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)))
  assert.ok(expressions.length > 40)
  for (const name of recorded) exist.add(name)
  const named = expressions.flatMap(metricsIn)
  assert.ok(named.length >= expressions.length)
  assert.deepEqual([...new Set(named.filter((name) => !exist.has(name)))], [])
})

test('[MO18] in the room that an operator chose the server itself speaks, in a room of theirs only', async () => {
  await using database = await emptyTestDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-alerts-'))
  const config = readConfig({
    ATOM_DATA_DIR: dataDir,
    ATOM_PORT: String(await freePort()),
    ATOM_SETUP_TOKEN: founder.token,
    ATOM_SANDBOX: '0',
    DATABASE_URL: urlOf(database.connection),
  })
  {
    await using app = await createApp(config, { log: testLog })
    await app.listen()
    const { body } = await call<{ accessToken: string }>(app.url, 'POST', '/v1/setup', { body: founder })
    const as = { token: body.accessToken }
    const rooms = await call<{ items: { id: string }[] }>(app.url, 'GET', '/v1/rooms', as)
    const roomId = rooms.body.items[0]?.id ?? assert.fail('there is no room')
    const put = (to: string) =>
      call(app.url, 'PUT', '/v1/operations/alert-targets', { ...as, body: { roomId: to, webhookUrl: null } })
    assertProblem(await put('0199e000-0000-7000-8000-00000000000b'), 'not_found')
    assert.equal((await put(roomId)).status, 200)
    assert.equal((await call(app.url, 'POST', '/v1/operations/alert-targets/test', as)).status, 202)
    const spoken = async () => {
      const page = await call<{ events: RoomEvent[] }>(
        app.url,
        'GET',
        `/v1/rooms/${roomId}/events?after=0`,
        as,
      )
      return page.body.events.filter(
        (event) => event.type === 'message.created' && event.actor.kind === 'system',
      )
    }
    await until(async () => (await spoken()).length === 2)
    const [first, second] = await spoken()
    assert.ok(first?.type === 'message.created' && second?.type === 'message.created')
    assert.equal(first.actor.name, 'Atom')
    assert.match(first.text, /^To be looked at: This is a test of the alerts/)
    assert.match(second.text, /^Over: /)
  }
  await rm(dataDir, { recursive: true })
})
