import { join } from 'node:path'
import type { Guards } from '#access/guarded-route.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Envelope } from '#foundation/crypto/envelope.ts'
import type { Database } from '#foundation/database/pool.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound } from '#foundation/outbound.ts'
import { catalog } from '#providers/catalog.ts'
import { AppTester } from './app-tester.ts'
import { Apps, type SandboxOffer } from './apps.ts'
import { ConnectionHistory } from './connection-history.ts'
import { ConnectionProxy } from './connection-proxy.ts'
import { connectionDoors } from './connection-routes.ts'
import { ConnectionStore } from './connection-store.ts'
import { ConnectionNews, Connections } from './connections.ts'
import { CredentialVault } from './credential-vault.ts'
import { AuthorizationCodeFlow } from './flows/authorization-code.ts'
import { Forecast } from './forecast.ts'
import { IdentityReader } from './identity-reader.ts'
import { KeepAlive } from './keep-alive.ts'
import { RefreshJournal } from './refresh-journal.ts'
import { StrayGrants } from './stray-grant.ts'
import { TokenEndpoint } from './token-endpoint.ts'
import { type RefreshCheckpoint, TokenRefresh } from './token-refresh.ts'

export interface ConnectionRoom extends AsyncDisposable {
  readonly connections: Connections
  readonly apps: Apps
  readonly proxy: ConnectionProxy
  readonly keepAlive: KeepAlive
  /** Registers the room's doors. */
  doors(guards: Guards): void
}

/** The parts of this room, put together in the order in which they need each other. */
export function createConnectionRoom(outside: {
  readonly database: Database
  readonly envelope: Envelope
  readonly outbound: Outbound
  readonly clock: Clock
  readonly log: Log
  /** The origin people use; asked each time, because the port may be chosen late. */
  readonly publicUrl: () => string
  /** Undefined: no sandbox on this server. */
  readonly sandbox: SandboxOffer | undefined
  /** Where renewals are journalled. */
  readonly dataDir: string
  /** What a test may change of refreshing. */
  readonly refresh?: {
    readonly leaseSeconds?: number
    readonly checkpoint?: (name: RefreshCheckpoint) => void
  }
}): ConnectionRoom {
  const { clock, log, outbound } = outside
  const store = new ConnectionStore(outside)
  const vault = new CredentialVault(outside)
  const apps = new Apps({ ...outside, catalog, store, vault })
  const tokenEndpoint = new TokenEndpoint({ outbound, clock })
  const identityReader = new IdentityReader({ outbound, log })
  const news = new ConnectionNews({ log })
  const history = new ConnectionHistory({ store, clock, log })
  const strayGrants = new StrayGrants({ store, outbound, log })
  const appTester = new AppTester({ apps, tokenEndpoint, outbound })
  const forecast = new Forecast({ catalog, store, clock })
  const flow = new AuthorizationCodeFlow({ store, vault, apps, tokenEndpoint, clock })
  const tokenRefresh = new TokenRefresh({
    store,
    vault,
    apps,
    tokenEndpoint,
    identityReader,
    journal: new RefreshJournal({ folder: join(outside.dataDir, 'refreshes'), log }),
    clock,
    log,
    changed: (connection) => news.tellOf(connection),
    ...outside.refresh,
    noted: (event) => history.note(event),
  })
  const keepAlive = new KeepAlive({ store, tokenRefresh, clock, log })
  const parts = {
    ...{ store, vault, apps, flow, tokenRefresh, identityReader, outbound, news, clock, log },
    ...{ history, strayGrants },
  }
  const connections = new Connections(parts)
  const proxy = new ConnectionProxy(parts)
  return {
    connections,
    apps,
    proxy,
    keepAlive,
    doors: (guards) => connectionDoors(guards, { connections, apps, proxy, appTester, forecast }),
    async [Symbol.asyncDispose]() {
      await keepAlive[Symbol.asyncDispose]()
      await tokenRefresh[Symbol.asyncDispose]()
      await history[Symbol.asyncDispose]()
    },
  }
}
