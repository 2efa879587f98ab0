import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { test } from 'node:test'
import type { SignedIn } from '@atom/contract/accounts.ts'
import type { operationRoutes } from '@atom/contract/operations.ts'
import type { Answer } from '@atom/contract/route.ts'
import { createLocalJWKSet, jwtVerify } from 'jose'
import sql from 'sql-template-tag'
import { accessTokenLifetimeMs } from '#access/tokens.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { parseKeyring } from '#foundation/crypto/keyring.ts'
import { StartError } from '#foundation/start-error.ts'
import { assertProblem, call } from './support/calls.ts'
import { founder, masterKeys, openDoors } from './support/doors.ts'
import { testDatabase } from './support/postgres.ts'

type KeySet = Answer<typeof operationRoutes.keySet>

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const decode = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString())

test('[AC21] another service can verify an access token with the published keys alone', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const { accessToken, account, workspace } = (
    await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder })
  ).body
  const keySet = await call<KeySet>(doors.url, 'GET', '/.well-known/jwks.json')
  assert.match(keySet.headers.get('cache-control') ?? '', /max-age=300/)
  assert.deepEqual(Object.keys(keySet.body.keys[0] ?? {}).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'])
  const verified = await jwtVerify(accessToken, createLocalJWKSet(keySet.body), {
    issuer: doors.url,
    audience: doors.url,
    typ: 'at+jwt',
    algorithms: ['EdDSA'],
  })
  assert.partialDeepStrictEqual(verified.payload, { sub: account.id, workspace: workspace.id })
})

test('[AC22] [ER162] nothing but a token exactly as Atom writes it is accepted, and one for another address of the installation says so', async (t) => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const { accessToken } = (await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder })).body
  const [header = '', payload = '', signature = ''] = accessToken.split('.')
  const { kid } = decode(header)
  const claims = decode(payload)

  // The real key, so that each forgery fails for its own reason and not for its signature.
  const [row] = await db.database.query<{ wrapped: Buffer; sealed: Buffer }>(
    sql`select wrapped_key as wrapped, private_key as sealed from signing_keys`,
  )
  assert.ok(row !== undefined)
  const envelope = new Envelope({ keyring: parseKeyring(masterKeys, 'the test') })
  const binding = { table: 'signing_keys', column: 'private_key', kid }
  const realKey = createPrivateKey((await envelope.open(row.wrapped, row.sealed, binding)).reveal())
  const strangersKey = generateKeyPairSync('ed25519')
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })

  function token(head: unknown, body: unknown, key: KeyObject = realKey): string {
    const text = `${encode(head)}.${encode(body)}`
    return `${text}.${sign(key.asymmetricKeyType === 'rsa' ? 'sha256' : null, Buffer.from(text), key).toString('base64url')}`
  }
  const good = { alg: 'EdDSA', typ: 'at+jwt', kid }
  const lastOf = (text: string) => text.slice(0, -1)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const otherSpelling = (text: string) => lastOf(text) + alphabet[alphabet.indexOf(text.at(-1) ?? '') ^ 1]
  const now = claims.iat
  const publicKey = (await call<KeySet>(doors.url, 'GET', '/.well-known/jwks.json')).body.keys[0]

  const control = await doors.tokens.verify(token(good, { ...claims, jti: randomUUID() }))
  assert.equal(control.principal.id, claims.sub)

  const attacks: Record<string, string> = {
    empty: '',
    'one dot': `${header}.${payload}`,
    'four parts': `${accessToken}.x`,
    'no signature': `${header}.${payload}.`,
    'alg none': `${encode({ ...good, alg: 'none' })}.${payload}.`,
    'alg None': `${encode({ ...good, alg: 'None' })}.${payload}.${signature}`,
    'alg HS256 with the public key': token({ ...good, alg: 'HS256' }, claims),
    'alg RS256': token({ ...good, alg: 'RS256' }, claims, rsa.privateKey),
    'alg Ed25519, another name of the same': token({ ...good, alg: 'Ed25519' }, claims),
    'alg in lower case': token({ ...good, alg: 'eddsa' }, claims),
    'no alg': token({ typ: 'at+jwt', kid }, claims),
    'typ JWT': token({ ...good, typ: 'JWT' }, claims),
    'no typ': token({ alg: 'EdDSA', kid }, claims),
    'typ with prefix': token({ ...good, typ: 'application/at+jwt' }, claims),
    'no kid': token({ alg: 'EdDSA', typ: 'at+jwt' }, claims),
    'another kid': token({ ...good, kid: 'x'.repeat(43) }, claims),
    'kid as a path': token({ ...good, kid: '../../etc/passwd' }, claims),
    'kid as SQL': token({ ...good, kid: "' or 1=1--" }, claims),
    'header in another order': token({ typ: 'at+jwt', alg: 'EdDSA', kid }, claims),
    'header with a space': token(`{"alg": "EdDSA","typ":"at+jwt","kid":"${kid}"}`, claims),
    'alg twice': token(`{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"${kid}"}`, claims),
    crit: token({ ...good, crit: ['exp'] }, claims),
    'b64 false': token({ ...good, b64: false, crit: ['b64'] }, claims),
    'own jwk': token(
      { ...good, jwk: strangersKey.publicKey.export({ format: 'jwk' }) },
      claims,
      strangersKey.privateKey,
    ),
    jku: token({ ...good, jku: 'https://evil.example/jwks' }, claims, strangersKey.privateKey),
    zip: token({ ...good, zip: 'DEF' }, claims),
    'signed by a stranger': token(good, claims, strangersKey.privateKey),
    'payload changed': `${header}.${encode({ ...claims, role: 'admin' })}.${signature}`,
    'signature of zeros': `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`,
    'signature too short': `${header}.${payload}.${signature.slice(0, 40)}`,
    'signature too long': `${header}.${payload}.${signature}AAAA`,
    'signature spelled otherwise': `${header}.${payload}.${otherSpelling(signature)}`,
    'signature padded': `${accessToken}==`,
    'signature in base64': `${header}.${payload}.${signature.replaceAll('-', '+').replaceAll('_', '/')}=`,
    'header spelled otherwise': `${header}=.${payload}.${signature}`,
    'tab inside': `${header}.${payload}.\t${signature}`,
    'claims not an object': token(good, '"x"'),
    'claims not JSON': token(good, 'x'),
    'claims twice': token(
      good,
      JSON.stringify(claims).replace('{', '{"sub":"00000000-0000-7000-8000-000000000000",'),
    ),
    'unknown claim': token(good, { ...claims, admin: true }),
    'no exp': token(good, { ...claims, exp: undefined }),
    'exp as text': token(good, { ...claims, exp: String(claims.exp) }),
    'exp without end': token(good, JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e999')),
    'exp as a fraction': token(good, { ...claims, exp: claims.exp + 0.5 }),
    'exp beyond any that Atom writes': token(good, { ...claims, exp: claims.exp + 1 }),
    'exp before iat': token(good, { ...claims, exp: now - 1 }),
    'iat in the future': token(good, { ...claims, iat: now + 60, exp: now + 120 }),
    'another issuer': token(good, { ...claims, iss: 'https://evil.example' }),
    'issuer with a slash': token(good, { ...claims, iss: `${claims.iss}/` }),
    'another audience': token(good, { ...claims, aud: 'https://evil.example' }),
    'a list of audiences': token(good, { ...claims, aud: [claims.aud, 'https://evil.example'] }),
    'sub not an id': token(good, { ...claims, sub: 'admin' }),
    'unknown role': token(good, { ...claims, role: 'root' }),
    'a megabyte': `${header}.${payload}.${'A'.repeat(1_048_576)}`,
  }
  assert.equal(publicKey?.kid, kid)
  for (const [name, attack] of Object.entries(attacks))
    await t.test(name, async () => {
      await assert.rejects(async () => await doors.tokens.verify(attack), { code: 'unauthenticated' })
    })
  for (const [name, attack] of Object.entries(attacks)) {
    if (attack.length > 8_000 || name === 'tab inside') continue
    const { detail } = assertProblem(
      await call(doors.url, 'GET', '/v1/me', { token: attack }),
      'unauthenticated',
    )
    assert.equal(detail.includes('ATOM_PUBLIC_URL'), /issuer|another audience/.test(name), name)
  }
  const spelled = [
    `Basic ${accessToken}`,
    accessToken,
    `Bearer ${accessToken} x`,
    `Bearer ${accessToken},${accessToken}`,
    'Bearer',
  ]
  for (const authorization of spelled)
    assertProblem(await call(doors.url, 'GET', '/v1/me', { headers: { authorization } }), 'unauthenticated')
})

test('[AC23] an access token ends after ten minutes, also when it was seen before', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const { accessToken: token } = (await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder }))
    .body
  assert.equal((await call(doors.url, 'GET', '/v1/me', { token })).status, 200)
  doors.clock.pass(accessTokenLifetimeMs)
  const answer = await call(doors.url, 'GET', '/v1/me', { token })
  assertProblem(answer, 'token_expired')
  assert.equal(answer.headers.get('www-authenticate'), 'Bearer error="invalid_token"')
})

test('[AC24] processes that start together agree on one signing key, and it survives a restart', async () => {
  await using db = await testDatabase()
  const http = { publicUrl: 'http://atom.test' }
  const opened = await Promise.all(Array.from({ length: 4 }, () => openDoors(db.database, { http })))
  await using one = opened[0] ?? (await openDoors(db.database, { http }))
  const { accessToken: token } = (await call<SignedIn>(one.url, 'POST', '/v1/setup', { body: founder })).body
  for (const doors of opened) assert.equal((await call(doors.url, 'GET', '/v1/me', { token })).status, 200)
  for (const doors of opened.slice(1)) await doors[Symbol.asyncDispose]()
  assert.equal((await db.database.query(sql`select from signing_keys`)).length, 1)
  await using later = await openDoors(db.database, { http })
  assert.equal((await call(later.url, 'GET', '/v1/me', { token })).status, 200)
})

test('[AC25] after a rotation in another process its tokens are accepted, and the old ones until they are over', async () => {
  await using db = await testDatabase()
  const http = { publicUrl: 'http://atom.test' }
  await using one = await openDoors(db.database, { http })
  const before = (await call<SignedIn>(one.url, 'POST', '/v1/setup', { body: founder })).body.accessToken
  one.clock.pass(10_000)
  await db.database.query(sql`update signing_keys set retired_at = ${one.clock.now()}`)
  await using two = await openDoors(db.database, { http, clock: one.clock })
  const login = { body: { email: founder.email, password: founder.password } }
  const after = (await call<SignedIn>(two.url, 'POST', '/v1/auth/login', login)).body.accessToken
  for (const doors of [one, two])
    for (const token of [before, after])
      assert.equal((await call(doors.url, 'GET', '/v1/me', { token })).status, 200)
})

test('[RT130] a process checks tokens that another one signed with another key as strictly as its own', async () => {
  await using db = await testDatabase()
  const http = { publicUrl: 'http://atom.test' }
  await using one = await openDoors(db.database, { http })
  const first = (await call<SignedIn>(one.url, 'POST', '/v1/setup', { body: founder })).body.accessToken
  one.clock.pass(10_000)
  await db.database.query(sql`update signing_keys set retired_at = ${one.clock.now()}`)
  await using two = await openDoors(db.database, { http, clock: one.clock })
  const login = { body: { email: founder.email, password: founder.password } }
  const second = (await call<SignedIn>(two.url, 'POST', '/v1/auth/login', login)).body.accessToken
  const flipped = (bytes: Buffer, bit: number) => {
    const changed = Buffer.from(bytes)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    return changed.toString('base64url')
  }
  for (const doors of [one, two])
    for (const [token, other] of [
      [first, second],
      [second, first],
    ] as const) {
      const [header = '', payload = '', signature = ''] = token.split('.')
      const [, otherPayload = '', otherSignature = ''] = other.split('.')
      const bytes = Buffer.from(signature, 'base64url')
      const claims = decode(payload)
      const forgeries = [
        `${header}.${encode({ ...claims, role: 'member' })}.${signature}`,
        `${header}.${otherPayload}.${signature}`,
        `${header}.${payload}.${otherSignature}`,
        `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`,
        // In the point, in the number, and at the end of each.
        ...[0, 255, 256, 511].map((bit) => `${header}.${payload}.${flipped(bytes, bit)}`),
      ]
      for (const forged of forgeries)
        await assert.rejects(doors.tokens.verify(forged), { code: 'unauthenticated' })
      assert.equal((await doors.tokens.verify(token)).principal.id, claims.sub)
    }
})

test('[AC26] with another master key the server does not start, and one sentence says what to put back', async () => {
  await using db = await testDatabase()
  {
    await using _doors = await openDoors(db.database)
  }
  const otherKey = `v1:${Buffer.from(Array.from({ length: 32 }, (_, at) => at * 7)).toString('base64url')}`
  await assert.rejects(
    async () => await openDoors(db.database, { masterKeys: otherKey }),
    (thrown) =>
      thrown instanceof StartError && /ATOM_MASTER_KEYS/.test(thrown.message) && !/\n/.test(thrown.message),
  )
})

test('[AC27] the private signing key is in the database only as sealed bytes', async () => {
  await using db = await testDatabase()
  await using _doors = await openDoors(db.database)
  const [row] = await db.database.query<{ all: string; sealed: Buffer }>(
    sql`select k::text as all, private_key as sealed from signing_keys k`,
  )
  assert.ok(row !== undefined)
  assert.ok(!row.all.includes('PRIVATE') && !row.sealed.includes('PRIVATE'))
})
