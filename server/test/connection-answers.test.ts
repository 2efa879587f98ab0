import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { capabilityRoutes, connectionRoutes } from '@atom/contract/connections.ts'
import { Problem } from '@atom/contract/errors.ts'
import type { Route } from '@atom/contract/route.ts'
import { Errors } from 'typebox/value'
import { newId } from '#foundation/ids.ts'
import { errorsOf } from '#http/openapi.ts'
import {
  type Browser,
  type ConnectionHouse,
  connected,
  openHouse,
  type Person,
  type Reply,
} from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { testDatabase } from './support/postgres.ts'

const routes: Readonly<Record<string, Route>> = { ...connectionRoutes, ...capabilityRoutes }
const minute = 60_000
const nobody = newId()
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })

/** Holds each answer against the contract, and remembers which there were. */
class Answers {
  readonly #heard = new Map(Object.keys(routes).map((name) => [name, new Set<string>()]))

  hear(name: string, reply: Reply, expected: string | number): Reply {
    const route = routes[name]
    assert.ok(route !== undefined, name)
    const code: string | number = reply.status < 400 ? reply.status : reply.body?.code
    assert.equal(code, expected, `${name}: ${reply.text}`)
    const shape = reply.status < 400 ? route.answers[reply.status] : Problem
    assert.ok(shape !== undefined, `${name} answers ${reply.status}, which the contract does not name`)
    const found = Errors(shape, reply.text === '' ? null : reply.body)
    assert.deepEqual(found, [], `${name} ${expected}`)
    if (reply.status >= 400) {
      const codes: readonly string[] = errorsOf(route)
      assert.ok(codes.includes(String(code)), `${name} answers ${code}, which the contract does not name`)
    }
    this.#heard.get(name)?.add(String(code))
    return reply
  }

  /** What the contract names and nobody has provoked. */
  missing(): string[] {
    return Object.entries(routes).flatMap(([name, { answers, errors }]) =>
      [...Object.keys(answers), ...errors]
        .filter((code) => this.#heard.get(name)?.has(code) !== true)
        .map((code) => `${name}: ${code}`),
    )
  }
}

/** A call to a route, with its address filled in. */
function ask(person: Person, name: string, ids: Readonly<Record<string, string>> = {}, json?: object) {
  const route = routes[name]
  assert.ok(route !== undefined, name)
  const path = route.path.replace(/\{(\w+)\}/g, (_open, id: string) => ids[id] ?? '')
  return person.call(route.method, path, json === undefined ? {} : { json })
}

function back(authorizeUrl: URL, said: Readonly<Record<string, string>>): string {
  const url = new URL(
    authorizeUrl.searchParams.get('redirect_uri') ?? 'http://atom.test/v1/oauth/callback/github',
  )
  url.searchParams.set('state', authorizeUrl.searchParams.get('state') ?? '')
  for (const [name, value] of Object.entries(said)) url.searchParams.set(name, value)
  return url.pathname + url.search
}

interface Scene extends AsyncDisposable {
  readonly answers: Answers
  readonly loopback: LoopbackProvider
  readonly house: ConnectionHouse
  readonly clock: TestClock
  /** Somebody of a workspace of their own. */
  someone(): Promise<{ person: Person; browser: Browser }>
}

async function scene(): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  loopback.workAsGitHub()
  loopback.workAsGoogle()
  const { database } = stack.use(await testDatabase())
  const clock = new TestClock()
  const house = stack.use(
    await openHouse({ database, sandbox: loopback, reach: [loopback.url], detour: loopback.origins, clock }),
  )
  return {
    answers: new Answers(),
    loopback,
    house,
    clock,
    someone: async () => {
      const person = await house.person()
      return { person, browser: person.browser() }
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

const key = (value: string) => ({ provider: 'github', flow: 'api_key', credential: { key: value } })
const ownApp = { clientId: 'Iv23liAtom', clientSecret: 'an-own-secret-0123456789' }

async function providersAndApps({ answers, loopback, someone }: Scene): Promise<void> {
  const { person } = await someone()
  const github = { provider: 'github' }
  for (const name of ['configureApp', 'removeApp', 'testApp'])
    answers.hear(
      name,
      await ask(person, name, { provider: 'nowhere' }, name === 'configureApp' ? ownApp : undefined),
      'provider_unknown',
    )
  answers.hear('testApp', await ask(person, 'testApp', { provider: 'openid' }), 'provider_not_configured')
  answers.hear('configureApp', await ask(person, 'configureApp', github, ownApp), 200)
  answers.hear('testApp', await ask(person, 'testApp', github), 200)
  answers.hear('providers', await ask(person, 'providers'), 200)
  answers.hear('removeApp', await ask(person, 'removeApp', github), 204)
  const settings = { issuer: 'https://gitlab.com', api: 'https://gitlab.com/api' }
  const entered = await ask(person, 'configureApp', { provider: 'openid' }, { ...ownApp, settings })
  answers.hear('configureApp', entered, 200)
  loopback.on('gitlab.com', '/.well-known/openid-configuration', () => ({ status: 503 }))
  answers.hear('testApp', await ask(person, 'testApp', { provider: 'openid' }), 'provider_unavailable')
  // What a server says of itself is what is being tried.
  const elsewhere = { issuer: 'https://zoom.us', authorization_endpoint: 'https://zoom.us/a' }
  loopback.on('gitlab.com', '/.well-known/openid-configuration', () => ({ body: elsewhere }))
  const { body } = answers.hear('testApp', await ask(person, 'testApp', { provider: 'openid' }), 200)
  assert.deepEqual([body.ok, body.checks[0].name], [false, 'discovery'])
  assert.match(body.checks[0].detail, /calls itself by another issuer/)
}

async function connecting({ answers, loopback, house, someone }: Scene): Promise<void> {
  const { person } = await someone()
  const connect = async (wish: object, expected: string | number) =>
    answers.hear('connect', await ask(person, 'connect', {}, wish), expected).body
  const { flowId } = await connect({ provider: 'github' }, 201)
  await connect({ provider: 'nowhere' }, 'provider_unknown')
  await connect({ provider: 'openid' }, 'provider_not_configured')
  await connect({ provider: 'github', returnTo: 'https://evil.example/' }, 'return_to_refused')
  await connect({ provider: 'github', connectionId: nobody }, 'not_found')
  const member = await house.person('member', person.principal.workspaceId)
  const inItsOwnName = {
    provider: 'microsoft',
    flow: 'client_credentials',
    particulars: { tenant: '11111111-2222-3333-4444-555555555555' },
  }
  answers.hear('connect', await ask(member, 'connect', {}, inItsOwnName), 'forbidden')

  loopback.on('github.com', '/login/device/code', () => ({
    body: {
      device_code: 'device-code-0123456789',
      user_code: 'WDJB-MJHT',
      verification_uri: 'https://github.com/login/device',
      expires_in: 900,
      interval: 5,
    },
  }))
  await connect({ provider: 'github', flow: 'device_code' }, 201)
  loopback.on('github.com', '/login/device/code', () => ({ body: { error: 'device_flow_disabled' } }))
  await connect({ provider: 'github', flow: 'device_code' }, 'provider_misconfigured')

  const { connection } = await connect(key('a-personal-token-1'), 201)
  const me = { id: 1, login: 'ada', name: null }
  loopback.on('api.github.com', '/user', () => ({ body: { ...me, id: 2 } }))
  await connect({ ...key('a-personal-token-2'), connectionId: connection.id }, 'other_account')
  loopback.on('api.github.com', '/user', () => ({ status: 401, body: {} }))
  await connect(key('a-personal-token-3'), 'provider_refused')
  loopback.on('api.github.com', '/user', () => ({ status: 503 }))
  await connect(key('a-personal-token-4'), 'provider_unavailable')
  // Whoever reconnects ends the connection elsewhere at the same time.
  loopback.on('api.github.com', '/user', async () => {
    await ask(person, 'disconnect', { id: connection.id })
    return { body: me }
  })
  await connect({ ...key('a-personal-token-5'), connectionId: connection.id }, 'flow_invalid')
  loopback.workAsGitHub()

  answers.hear('connectionFlow', await ask(person, 'connectionFlow', { id: flowId }), 200)
  answers.hear('connectionFlow', await ask(person, 'connectionFlow', { id: nobody }), 'not_found')
}

async function comingBack({ answers, loopback, house, clock, someone }: Scene): Promise<void> {
  const { person, browser } = await someone()
  const open = async (by: Browser, path: string, expected: string | number) =>
    answers.hear('callback', await by.open(path, { page: expected === 303 }), expected)
  const begin = (wish: object = {}) => browser.connect('github', wish)
  const code = { code: 'code-1' }

  const first = await browser.open(back(await begin(), code))
  answers.hear('callback', first, 303)
  const { id } = await connected(person, first)
  await open(browser, '/v1/oauth/callback/nowhere?state=x', 'provider_unknown')
  await open(browser, '/v1/oauth/callback/github', 'flow_invalid')
  await open(browser, back(await begin(), { error: 'access_denied' }), 'consent_denied')
  const used = back(await begin(), code)
  // The page that was opened twice at once sends its cookie twice.
  const twin = person.browser()
  for (const [name, cookie] of browser.cookies) twin.cookies.set(name, cookie)
  await open(browser, used, 303)
  await open(twin, used, 'flow_used')
  await open(person.browser(), back(await begin(), code), 'flow_other_browser')

  loopback.on('api.github.com', '/user', () => ({ body: { id: 2, login: 'grace', name: null } }))
  await open(browser, back(await begin({ connectionId: id }), code), 'other_account')
  loopback.workAsGitHub()
  for (const [answer, expected] of [
    [{ body: { error: 'bad_verification_code' } }, 'provider_refused'],
    [{ body: { error: 'incorrect_client_credentials' } }, 'provider_misconfigured'],
    [{ status: 503 }, 'provider_unavailable'],
  ] as const) {
    const url = await begin()
    loopback.on('github.com', '/login/oauth/access_token', () => answer)
    await open(browser, back(url, code), expected)
  }
  loopback.workAsGitHub()

  const installed = {
    ...ownApp,
    privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
    settings: { slug: 'atom-test' },
  }
  assert.equal((await ask(person, 'configureApp', { provider: 'github' }, installed)).status, 200)
  const request = { installation_id: '4242', setup_action: 'request' }
  await open(browser, back(await begin({ flow: 'app_installation' }), request), 'consent_pending')
  const withoutApp = back(await begin(), code)
  assert.equal((await ask(person, 'removeApp', { provider: 'github' })).status, 204)
  await open(browser, withoutApp, 'flow_invalid')
  // A sandbox that began anew has another app.
  const ofAnother = back(await begin(), code)
  loopback.apps.github.clientId = 'the-next-sandbox'
  await open(browser, ofAnother, 'provider_not_configured')

  const late = back(await begin(), code)
  const signedOut = await begin()
  await house.signOut(person)
  await open(browser, back(signedOut, code), 'flow_signed_out')
  clock.pass(11 * minute)
  await open(browser, late, 'flow_expired')
}

async function living({ answers, loopback, someone }: Scene): Promise<void> {
  const { person, browser } = await someone()
  const url = await browser.connect('google')
  const code = url.searchParams.get('nonce') ?? ''
  const { id } = await connected(person, await browser.open(back(url, { code })))
  const own = { id }
  for (const name of ['connections', 'forecast']) answers.hear(name, await ask(person, name), 200)
  for (const name of ['connection', 'connectionEvents', 'capabilities', 'refreshConnection'])
    answers.hear(name, await ask(person, name, own), 200)
  const wish = { methods: ['GET'], paths: ['/calendar/**'], expiresIn: 60 }
  const lent = answers.hear('lend', await ask(person, 'lend', own, wish), 201).body
  const ended = await ask(person, 'endCapability', { id, capabilityId: lent.id })
  answers.hear('endCapability', ended, 204)

  for (const [answer, expected] of [
    [{ status: 503 }, 'provider_unavailable'],
    [{ status: 401, body: { error: 'invalid_client' } }, 'provider_misconfigured'],
    [{ status: 400, body: { error: 'invalid_request' } }, 'provider_refused'],
    [{ status: 400, body: { error: 'invalid_grant' } }, 'connection_needs_reconnect'],
  ] as const) {
    loopback.on('oauth2.googleapis.com', '/token', () => answer)
    answers.hear('refreshConnection', await ask(person, 'refreshConnection', own), expected)
  }
  answers.hear('disconnect', await ask(person, 'disconnect', own), 200)
  // A sandbox that began anew has another app, and knows nothing of what the former gave.
  const again = await browser.connect('github')
  const left = await connected(person, await browser.open(back(again, { code: 'code-1' })))
  const { clientId } = loopback.apps.github
  loopback.apps.github.clientId = 'the-next-sandbox'
  const orphan = await ask(person, 'refreshConnection', { id: left.id })
  answers.hear('refreshConnection', orphan, 'provider_not_configured')
  answers.hear('disconnect', await ask(person, 'disconnect', { id: left.id }), 200)
  loopback.apps.github.clientId = clientId
  for (const name of ['connection', 'connectionEvents', 'refreshConnection', 'disconnect', 'capabilities'])
    answers.hear(name, await ask(person, name, own), 'not_found')
  answers.hear('lend', await ask(person, 'lend', own, wish), 'not_found')
  const gone = await ask(person, 'endCapability', { id, capabilityId: nobody })
  answers.hear('endCapability', gone, 'not_found')
}

test('[CN251] every answer that the contract names for providers, connections and capabilities is given at the real door, in its form', async () => {
  await using it = await scene()
  await providersAndApps(it)
  await connecting(it)
  await living(it)
  await comingBack(it)
  assert.deepEqual(it.answers.missing(), [])
})

test('[CN251] whoever is not signed in, not an operator, or asks what cannot be asked, is told so at each of these doors', async () => {
  await using it = await scene()
  const { person } = await it.someone()
  const member = await it.house.person('member', person.principal.workspaceId)
  for (const [name, route] of Object.entries(routes)) {
    const path = route.path.replace(/\{(\w+)\}/g, (_open, id: string) =>
      id === 'provider' ? 'github' : nobody,
    )
    const json = route.body === undefined ? {} : { json: {} }
    if (route.audience !== 'anyone') {
      it.answers.hear(name, await it.house.call(route.method, path, json), 'unauthenticated')
    }
    if (route.audience === 'operator') {
      it.answers.hear(name, await member.call(route.method, path, json), 'forbidden')
    }
    if (route.body !== undefined) {
      it.answers.hear(
        name,
        await person.call(route.method, path, { json: { nothing: 'of it' } }),
        'validation_failed',
      )
      const unread = { body: '{', headers: { 'content-type': 'application/json' } }
      it.answers.hear(name, await person.call(route.method, path, unread), 'malformed_request')
    }
    const odd = route.path.replace(/\{(\w+)\}/g, 'Not%20One')
    if (odd !== route.path && route.body === undefined) {
      it.answers.hear(name, await person.call(route.method, odd, json), 'validation_failed')
    }
  }
})
