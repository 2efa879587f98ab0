import type { Connection } from '@atom/contract/connections.ts'
import { type Sandbox, startSandbox } from '@atom/sandbox/sandbox.ts'
import { sandboxProviders } from '../../src/local-sandbox.ts'
import { type ConnectionHouse, connected, openHouse, type Person } from './connection-house.ts'
import { testDatabase } from './postgres.ts'
import { visitSandbox } from './sandbox-visitor.ts'

/** A person with one connection to a provider of the sandbox, and what the provider's own SDK is given. */
export interface SdkScene extends AsyncDisposable {
  readonly sandbox: Sandbox
  readonly house: ConnectionHouse
  readonly ada: Person
  readonly connection: Connection
  /** The base address for the SDK, without a slash at its end. */
  readonly base: string
  /** Atom's access token, which the SDK takes for the provider's. */
  readonly token: string
  /** How often the provider's token endpoint was asked. */
  tokenRequests(): number
}

export async function sdkScene(
  provider: (typeof sandboxProviders)[number],
  options: {
    readonly before?: (sandbox: Sandbox) => void
    readonly wish?: object
    readonly publicUrl?: string
  } = {},
): Promise<SdkScene> {
  await using born = new AsyncDisposableStack()
  const sandbox = born.use(await startSandbox())
  options.before?.(sandbox)
  const database = born.use(await testDatabase())
  const house = born.use(
    await openHouse({
      database: database.database,
      sandbox: { providers: sandboxProviders, running: () => sandbox, open: async () => sandbox },
      reach: [sandbox.url],
      ...(options.publicUrl !== undefined && { publicUrl: options.publicUrl }),
    }),
  )
  const publicUrl = options.publicUrl ?? house.url
  sandbox.allowRedirect(`${publicUrl}/v1/oauth/callback/${provider}`)
  const ada = await house.person()
  const browser = ada.browser()
  const url = await browser.connect(provider, options.wish)
  const back = await visitSandbox(url, { person: 'ada', decision: 'agree' })
  const connection = await connected(ada, await browser.open(back))
  const alive = born.move()
  return {
    sandbox,
    house,
    ada,
    connection,
    base: `${publicUrl}/v1/connections/${connection.id}/proxy`,
    token: ada.token,
    tokenRequests: () =>
      sandbox.control
        .requests({ method: 'POST', path: `/${provider}*` })
        .filter(({ path }) => /token$|oauth\.v2\.access$/.test(path)).length,
    [Symbol.asyncDispose]: () => alive.disposeAsync(),
  }
}
