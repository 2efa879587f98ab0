import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, randomUUID } from 'node:crypto'
import {
  type CredentialPlace,
  CredentialVault,
  type SealedTokens,
} from '../../../server/src/connections/credential-vault.ts'
import { DataKeyCache } from '../../../server/src/foundation/crypto/data-key-cache.ts'
import { Envelope } from '../../../server/src/foundation/crypto/envelope.ts'
import { parseKeyring } from '../../../server/src/foundation/crypto/keyring.ts'
import { Secret } from '../../../server/src/foundation/secret.ts'
import { KeyManagementService } from '../../../server/test/support/key-management-service.ts'
import { type Benchmark, figure, median } from '../benchmark.ts'

/** As long as an access token of Google. */
const tokenLength = 220
/** As many connections take turns. */
const connections = 1_000
/** Asked for at once, where an answer comes from outside this process. */
const atOnce = 50

const openTarget = '>=0.3'

interface Credential {
  readonly place: CredentialPlace
  readonly sealed: SealedTokens
}

/** Does the work so often and answers how often per second. */
type Lane = (times: number) => Promise<number>

export const benchmark: Benchmark = {
  name: 'credentials',
  question:
    'How many sealed access tokens are opened per second, with the data key in memory and without, on one thread; and how much is that of what node:crypto does with bare AES-256-GCM on bytes of the same length, in the same run?',
  async run({ quick, say }) {
    await using kms = await KeyManagementService.start()
    Object.assign(process.env, kms.environment)
    const local = parseKeyring(`v1:${randomBytes(32).toString('base64url')}`, 'the benchmark')
    const remote = parseKeyring(`v1:aws-kms:${kms.createKey()}`, 'the benchmark')
    const forgetful = () => new DataKeyCache({ lifeMs: 0 })
    const kept = new CredentialVault({ envelope: new Envelope({ keyring: local }) })
    const forgot = new CredentialVault({ envelope: new Envelope({ keyring: local, cache: forgetful() }) })
    const far = new CredentialVault({ envelope: new Envelope({ keyring: remote, cache: forgetful() }) })
    const credentials = await sealedBy(kept, connections)
    const farCredentials = await sealedBy(far, connections)
    const tokens = {
      accessToken: new Secret(randomBytes(165).toString('base64url')),
      refreshToken: undefined,
    }

    const lanes: Record<string, { lane: Lane; times: number }> = {
      bare: { lane: bare(), times: 200_000 },
      cached: { lane: opening(kept, credentials), times: 50_000 },
      uncached: { lane: opening(forgot, credentials), times: 30_000 },
      kms: { lane: openingAtOnce(far, farCredentials), times: 2_000 },
      sealing: {
        lane: perSecond(async (n) => {
          const { place, sealed } = at(credentials, n)
          await kept.sealTokens(place, tokens, Buffer.from(sealed.dataKey))
        }),
        times: 50_000,
      },
    }
    const measured = new Map<string, number[]>(Object.keys(lanes).map((name) => [name, []]))
    // Once without counting: until then nothing is compiled.
    for (const { lane, times } of Object.values(lanes)) await lane(times / 10)
    for (let round = 0; round < (quick ? 3 : 9); round++) {
      for (const [name, { lane, times }] of Object.entries(lanes))
        measured.get(name)?.push(await lane(quick ? times / 4 : times))
      say([...measured].map(([name, values]) => `${name} ${Math.round(values.at(-1) ?? 0)}/s`).join(', '))
    }
    const middle = (name: string) => median(measured.get(name) ?? [])
    const limit = { peer: 'bare AES-256-GCM in node:crypto', value: middle('bare') }
    return [
      figure({
        name: 'opened, data key in memory',
        value: middle('cached'),
        unit: 'tokens/s',
        against: limit,
        target: openTarget,
      }),
      figure({
        name: 'opened, data key not in memory, master key in this process',
        value: middle('uncached'),
        unit: 'tokens/s',
        against: { peer: 'the same twice, key and value', value: limit.value / 2 },
        target: openTarget,
      }),
      figure({
        name: `opened, data key not in memory, master key in a KMS on loopback, ${atOnce} at once`,
        value: middle('kms'),
        unit: 'tokens/s',
      }),
      figure({
        name: 'sealed, data key in memory',
        value: middle('sealing'),
        unit: 'tokens/s',
        against: limit,
      }),
    ]
  },
}

async function sealedBy(vault: CredentialVault, count: number): Promise<Credential[]> {
  return await Promise.all(
    Array.from({ length: count }, async () => {
      const place = { workspaceId: randomUUID(), connectionId: randomUUID(), generation: 7 }
      const accessToken = new Secret(randomBytes(165).toString('base64url').slice(0, tokenLength))
      return { place, sealed: await vault.sealTokens(place, { accessToken, refreshToken: undefined }) }
    }),
  )
}

/** As they come from the database: other bytes in memory each time. */
function opening(vault: CredentialVault, credentials: readonly Credential[]): Lane {
  return perSecond(async (n) => {
    const { place, sealed } = at(credentials, n)
    const row = { ...sealed, dataKey: Buffer.from(sealed.dataKey) }
    const token = await vault.openAccessToken(place, row)
    if (token.reveal().length !== tokenLength) throw new Error('it did not open')
  })
}

function openingAtOnce(vault: CredentialVault, credentials: readonly Credential[]): Lane {
  return async (times) => {
    const lane = opening(vault, credentials)
    const each = await Promise.all(Array.from({ length: atOnce }, () => lane(times / atOnce)))
    return each.reduce((sum, value) => sum + value, 0)
  }
}

/** A key, a nonce, associated data of the length that a binding has, and text as long as a token. */
function bare(): Lane {
  const key = createSecretKey(randomBytes(32))
  const nonce = randomBytes(12)
  const associated = randomBytes(150)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 }).setAAD(associated)
  const text = Buffer.concat([cipher.update(randomBytes(tokenLength)), cipher.final()])
  const tag = cipher.getAuthTag()
  return async (times) => {
    const began = performance.now()
    for (let n = 0; n < times; n++) {
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 })
      decipher.setAAD(associated).setAuthTag(tag)
      decipher.update(text)
      decipher.final()
    }
    return times / ((performance.now() - began) / 1000)
  }
}

function perSecond(work: (n: number) => Promise<void>): Lane {
  return async (times) => {
    const began = performance.now()
    for (let n = 0; n < times; n++) await work(n)
    return times / ((performance.now() - began) / 1000)
  }
}

function at(credentials: readonly Credential[], n: number): Credential {
  const one = credentials[n % credentials.length]
  if (one === undefined) throw new Error('there are no credentials')
  return one
}
