import { join } from 'node:path'
import type { Guards } from '#access/guarded-route.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Envelope } from '#foundation/crypto/envelope.ts'
import type { Database } from '#foundation/database/pool.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound } from '#foundation/outbound.ts'
import type { CacheCounts } from '#foundation/telemetry/cache-counts.ts'
import { catalog as providers } from '#providers/catalog.ts'
import type { Provider } from '#providers/provider.ts'
import { AppStore } from './app-store.ts'
import { AppTester } from './app-tester.ts'
import { Apps, type SandboxOffer } from './apps.ts'
import { Arrivals } from './arrivals.ts'
import { ClientRegistration } from './authorization-server/client-registration.ts'
import { DpopProofs } from './authorization-server/dpop.ts'
import { ServerMetadata } from './authorization-server/server-metadata.ts'
import { TokenEndpoint } from './authorization-server/token-endpoint.ts'
import { ConnectionHistory } from './connection-history.ts'
import { ConnectionNews } from './connection-news.ts'
import { connectionDoors } from './connection-routes.ts'
import { ConnectionStore } from './connection-store.ts'
import { Connections } from './connections.ts'
import { CredentialVault } from './credential-vault.ts'
import { AppInstallation } from './flows/app-installation.ts'
import { AuthorizationCodeFlow } from './flows/authorization-code.ts'
import { CredentialFlow } from './flows/credential-flow.ts'
import { DeviceCodeFlow } from './flows/device-code.ts'
import { DevicePolls } from './flows/device-polls.ts'
import { FlowStore } from './flows/flow-store.ts'
import { StrayGrants } from './flows/stray-grant.ts'
import { Forecast } from './forecast.ts'
import { GrantRevocation } from './grant-revocation.ts'
import { IdentityReader } from './identity-reader.ts'
import { AnswerSeal } from './proxy/answer-seal.ts'
import { Capabilities } from './proxy/capabilities.ts'
import { CapabilityStore } from './proxy/capability-store.ts'
import { ConnectionProxy } from './proxy/connection-proxy.ts'
import { ConnectionStandings } from './proxy/connection-standings.ts'
import { ProviderTraffic } from './proxy/provider-traffic.ts'
import { ProxyCredentials } from './proxy/proxy-credentials.ts'
import { proxyDoors } from './proxy/proxy-routes.ts'
import { SingleWrites } from './proxy/single-writes.ts'
import { WriteStore } from './proxy/write-store.ts'
import { CredentialStore } from './refresh/credential-store.ts'
import { KeepAlive } from './refresh/keep-alive.ts'
import { RefreshJournal } from './refresh/refresh-journal.ts'
import { type RefreshCheckpoint, type RestingProvider, TokenRefresh } from './refresh/token-refresh.ts'

export interface ConnectionRoom extends AsyncDisposable {
  readonly connections: Connections
  readonly apps: Apps
  readonly proxy: ConnectionProxy
  /** What is counted of providers. */
  readonly providerTraffic: ProviderTraffic
  /** By name. */
  readonly caches: Readonly<Record<string, CacheCounts>>
  readonly keepAlive: KeepAlive
  /** Providers that are left alone now because they failed again and again. */
  resting(): readonly RestingProvider[]
  /** What a token that looks like a capability's is known to be: see `Capabilities.claim`. */
  claim(token: string): ReturnType<Capabilities['claim']>
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
  /** Whether a sign-in session has ended; nobody who was signed out finishes what they began. */
  readonly sessionEnded: (sessionId: string) => boolean
  /** Undefined: no sandbox on this server. */
  readonly sandbox: SandboxOffer | undefined
  /** Where renewals are journalled. */
  readonly dataDir: string
  /** What a test may change of refreshing. */
  readonly refresh?: {
    readonly leaseSeconds?: number
    readonly checkpoint?: (name: RefreshCheckpoint) => void
  }
  /** Other providers than those that Atom ships. */
  readonly catalog?: ReadonlyMap<string, Provider>
}): ConnectionRoom {
  const { clock, log, outbound } = outside
  const store = new ConnectionStore(outside)
  const appStore = new AppStore(outside)
  const flowStore = new FlowStore(outside)
  const credentialStore = new CredentialStore({ ...outside, changed: (id) => store.changed(id) })
  const vault = new CredentialVault(outside)
  const metadata = new ServerMetadata({ outbound, clock })
  const registration = new ClientRegistration({ outbound })
  const apps = new Apps({ catalog: providers, ...outside, store: appStore, vault, metadata, registration })
  const proofs = new DpopProofs({ clock })
  const tokenEndpoint = new TokenEndpoint({ outbound, clock, proofs })
  const identityReader = new IdentityReader({ outbound, log, proofs, clock })
  const news = new ConnectionNews({ log })
  const history = new ConnectionHistory({ store, clock, log })
  const strayGrants = new StrayGrants({ store, outbound, tokenEndpoint, log })
  const appTester = new AppTester({ apps, tokenEndpoint, outbound })
  const forecast = new Forecast({ catalog: providers, ...outside, store, appStore, clock })
  const flow = new AuthorizationCodeFlow({ ...outside, store: flowStore, vault, apps, tokenEndpoint, proofs })
  const deviceCode = new DeviceCodeFlow({ ...outside, store: flowStore, vault, apps, tokenEndpoint })
  const appInstallation = new AppInstallation({ apps, outbound, clock })
  const credentialFlow = new CredentialFlow({ apps, tokenEndpoint, appInstallation, clock })
  const tokenRefresh = new TokenRefresh({
    store,
    credentials: credentialStore,
    vault,
    apps,
    source: credentialFlow,
    identityReader,
    journal: new RefreshJournal({ folder: join(outside.dataDir, 'refreshes'), log }),
    clock,
    log,
    changed: (connection) => news.tellOf(connection),
    ...outside.refresh,
    noted: (event) => history.note(event),
  })
  const keepAlive = new KeepAlive({ store, credentials: credentialStore, tokenRefresh, clock, log })
  const parts = {
    ...{
      store,
      vault,
      apps,
      tokenRefresh,
      tokenEndpoint,
      identityReader,
      outbound,
      proofs,
      news,
      clock,
      log,
    },
    ...{ flowStore, history, strayGrants },
  }
  const flows = {
    flow,
    deviceCode,
    appInstallation,
    credentialFlow,
    deviceCodeGiven: () => devicePolls.wake(),
  }
  const arrivals = new Arrivals(parts)
  const grantRevocation = new GrantRevocation(parts)
  const connections = new Connections({ ...parts, ...flows, arrivals, grantRevocation })
  const devicePolls = new DevicePolls({
    store: flowStore,
    flow: deviceCode,
    arrived: async (flow, app, grant) => void (await arrivals.arrive({ flow, app }, grant)),
    log,
  })
  const credentials = new ProxyCredentials(parts)
  const writes = new SingleWrites({ store: new WriteStore(outside), seal: new AnswerSeal(outside), log })
  const standings = new ConnectionStandings(parts)
  const providerTraffic = new ProviderTraffic()
  const proxy = new ConnectionProxy({
    ...parts,
    credentials,
    standings,
    writes,
    traffic: providerTraffic,
  })
  const capabilities = new Capabilities({ ...parts, capabilityStore: new CapabilityStore(outside) })
  return {
    connections,
    apps,
    proxy,
    providerTraffic,
    caches: {
      connection_standings: standings.cache,
      open_credentials: credentials.cache,
      capabilities: capabilities.cache,
    },
    keepAlive,
    resting: () => tokenRefresh.resting(),
    claim: (token) => capabilities.claim(token),
    doors(guards) {
      connectionDoors(guards, { connections, apps, appTester, forecast })
      proxyDoors(guards, { proxy, capabilities, publicUrl: outside.publicUrl })
    },
    async [Symbol.asyncDispose]() {
      await devicePolls[Symbol.asyncDispose]()
      await keepAlive[Symbol.asyncDispose]()
      credentials[Symbol.dispose]()
      standings[Symbol.dispose]()
      await tokenRefresh[Symbol.asyncDispose]()
      await history[Symbol.asyncDispose]()
    },
  }
}
