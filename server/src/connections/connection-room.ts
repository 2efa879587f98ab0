import type { Guards } from '#access/guarded-route.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Envelope } from '#foundation/crypto/envelope.ts'
import type { Database } from '#foundation/database/pool.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound } from '#foundation/outbound.ts'
import { catalog } from '#providers/catalog.ts'
import { AnswerSeal } from './answer-seal.ts'
import { Apps, type SandboxOffer } from './apps.ts'
import { Capabilities } from './capabilities.ts'
import { CapabilityStore } from './capability-store.ts'
import { ConnectionProxy } from './connection-proxy.ts'
import { connectionDoors } from './connection-routes.ts'
import { ConnectionStore } from './connection-store.ts'
import { ConnectionNews, Connections } from './connections.ts'
import { CredentialVault } from './credential-vault.ts'
import { AuthorizationCodeFlow } from './flows/authorization-code.ts'
import { IdentityReader } from './identity-reader.ts'
import { ProxyCredentials } from './proxy-credentials.ts'
import { proxyDoors } from './proxy-routes.ts'
import { SingleWrites } from './single-writes.ts'
import { TokenEndpoint } from './token-endpoint.ts'
import { TokenRefresh } from './token-refresh.ts'
import { WriteStore } from './write-store.ts'

export interface ConnectionRoom extends AsyncDisposable {
  readonly connections: Connections
  readonly apps: Apps
  readonly proxy: ConnectionProxy
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
}): ConnectionRoom {
  const { clock, log, outbound } = outside
  const store = new ConnectionStore(outside)
  const vault = new CredentialVault(outside)
  const apps = new Apps({ ...outside, catalog, store, vault })
  const tokenEndpoint = new TokenEndpoint({ outbound, clock })
  const identityReader = new IdentityReader({ outbound, log })
  const news = new ConnectionNews({ log })
  const flow = new AuthorizationCodeFlow({ store, vault, apps, tokenEndpoint, clock })
  const tokenRefresh = new TokenRefresh({
    store,
    vault,
    apps,
    tokenEndpoint,
    identityReader,
    clock,
    log,
    changed: (connection) => news.tellOf(connection),
  })
  const parts = { store, vault, apps, flow, tokenRefresh, identityReader, outbound, news, clock, log }
  const connections = new Connections(parts)
  const credentials = new ProxyCredentials(parts)
  const writes = new SingleWrites({ store: new WriteStore(outside), seal: new AnswerSeal(outside), log })
  const proxy = new ConnectionProxy({ ...parts, credentials, writes })
  const capabilities = new Capabilities({ ...parts, capabilityStore: new CapabilityStore(outside) })
  return {
    connections,
    apps,
    proxy,
    doors(guards) {
      connectionDoors(guards, { connections, apps })
      proxyDoors(guards, { proxy, capabilities, publicUrl: outside.publicUrl })
    },
    async [Symbol.asyncDispose]() {
      credentials[Symbol.dispose]()
      await tokenRefresh[Symbol.asyncDispose]()
    },
  }
}
