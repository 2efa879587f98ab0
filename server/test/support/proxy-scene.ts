import type { Connection } from '@atom/contract/connections.ts'
import { type ConnectionHouse, connected, newKeyring, openHouse, type Person } from './connection-house.ts'
import type { TestClock } from './doors.ts'
import { LoopbackProvider } from './loopback-provider.ts'
import { type TestDatabase, testDatabase } from './postgres.ts'
import { workAsSlack } from './provider-wires.ts'

/** Two processes of one installation, and a person's connection to a provider that does what a test says. */
export interface ProxyScene extends AsyncDisposable {
  readonly provider: LoopbackProvider
  readonly database: TestDatabase
  readonly house: ConnectionHouse
  readonly ada: Person
  readonly connection: Connection
  /** Path of the proxy, without a slash at its end. */
  readonly proxy: string
  /** The same person in another process. */
  elsewhere(): Promise<Person>
}

export async function proxyScene(
  provider: 'github' | 'google' | 'slack' = 'github',
  options: { readonly clock?: TestClock } = {},
): Promise<ProxyScene> {
  await using born = new AsyncDisposableStack()
  const loopback = born.use(await LoopbackProvider.start())
  loopback.workAsGitHub()
  loopback.workAsGoogle()
  workAsSlack(loopback)
  const database = born.use(await testDatabase())
  const keyring = newKeyring()
  const parts = { database: database.database, sandbox: loopback, reach: [loopback.url], keyring, ...options }
  const house = born.use(await openHouse(parts))
  const ada = await house.person()
  const browser = ada.browser()
  const url = await browser.connect(provider)
  const back = new URL(url.searchParams.get('redirect_uri') ?? '')
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  back.searchParams.set('code', url.searchParams.get('nonce') ?? 'code-1')
  const connection = await connected(ada, await browser.open(back))
  const alive = born.move()
  return {
    provider: loopback,
    database,
    house,
    ada,
    connection,
    proxy: `/v1/connections/${connection.id}/proxy`,
    elsewhere: async () => await alive.use(await openHouse(parts)).visited(ada),
    [Symbol.asyncDispose]: () => alive.disposeAsync(),
  }
}
