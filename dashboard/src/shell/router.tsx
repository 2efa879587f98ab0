import { createRootRoute, createRoute, createRouter, Outlet, redirect } from '@tanstack/react-router'
import { AccountsPage } from '../connections/accounts-page.tsx'
import { CataloguePage } from '../connections/catalogue-page.tsx'
import { ConnectionPanel } from '../connections/connection-panel.tsx'
import { ConnectionsRoom } from '../connections/connections-room.tsx'
import { connectionsSearch } from '../connections/connections-search.ts'
import { ProviderPanel } from '../connections/provider-panel.tsx'
import { SetupPanel } from '../connections/setup-panel.tsx'
import { AlertsPage } from '../operations/alerts-page.tsx'
import { ErrorPage } from '../operations/error-page.tsx'
import { ErrorsPage } from '../operations/errors-page.tsx'
import { LimitsPage } from '../operations/limits-page.tsx'
import { LivePage } from '../operations/live-page.tsx'
import { LogPage } from '../operations/log-page.tsx'
import { ObjectivePage } from '../operations/objective-page.tsx'
import { ObjectivesPage } from '../operations/objectives-page.tsx'
import { OperationsRoom } from '../operations/operations-room.tsx'
import { errorsSearch, logSearch, objectiveSearch, trafficSearch } from '../operations/operations-search.ts'
import { OverviewPage } from '../operations/overview-page.tsx'
import { TrafficPage } from '../operations/traffic-page.tsx'
import { RoomPage } from '../rooms/room-page.tsx'
import { roomSearch } from '../rooms/room-search.ts'
import { NoRoomChosen, RoomsPage } from '../rooms/rooms-page.tsx'
import { SettingsPage } from '../settings/settings-page.tsx'
import { JoinPage } from '../sign-in/join-page.tsx'
import { SetupPage } from '../sign-in/setup-page.tsx'
import { SignInPage } from '../sign-in/sign-in-page.tsx'
import { Inside } from './inside.tsx'
import { NothingHere, PageFailed, PartFailed } from './page-failed.tsx'

const root = createRootRoute({
  component: Outlet,
  notFoundComponent: NothingHere,
  errorComponent: PageFailed,
})

const setup = createRoute({ getParentRoute: () => root, path: '/setup', component: SetupPage })
const join = createRoute({ getParentRoute: () => root, path: '/join', component: JoinPage })
const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  validateSearch: (search: { next?: unknown }): { next?: string } => {
    // A path of ours and nothing else: `//elsewhere` and `/\elsewhere` are addresses of other servers.
    const { next } = search
    return typeof next === 'string' && /^\/(?![/\\])/.test(next) ? { next } : {}
  },
  component: SignInPage,
})
const start = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/rooms', replace: true })
  },
})

const inside = createRoute({ getParentRoute: () => root, id: 'inside', component: Inside })

const rooms = createRoute({ getParentRoute: () => inside, path: '/rooms', component: RoomsPage })
const noRoom = createRoute({ getParentRoute: () => rooms, path: '/', component: NoRoomChosen })
const room = createRoute({
  getParentRoute: () => rooms,
  path: '$roomId',
  validateSearch: roomSearch,
  component: RoomPage,
})

const connections = createRoute({
  getParentRoute: () => inside,
  path: '/connections',
  validateSearch: connectionsSearch,
  component: ConnectionsRoom,
})
const accounts = createRoute({ getParentRoute: () => connections, id: 'accounts', component: AccountsPage })
const allAccounts = createRoute({ getParentRoute: () => accounts, path: '/' })
const connection = createRoute({
  getParentRoute: () => accounts,
  path: '$connectionId',
  component: ConnectionPanel,
})
const catalogue = createRoute({
  getParentRoute: () => connections,
  path: 'catalogue',
  component: CataloguePage,
})
const allProviders = createRoute({ getParentRoute: () => catalogue, path: '/' })
const provider = createRoute({
  getParentRoute: () => catalogue,
  path: '$provider',
  component: ProviderPanel,
})
const setupOfApp = createRoute({
  getParentRoute: () => catalogue,
  path: '$provider/setup',
  component: SetupPanel,
})

const operations = createRoute({
  getParentRoute: () => inside,
  path: '/operations',
  beforeLoad: ({ location }) => {
    if (/^\/operations\/?$/.test(location.pathname))
      throw redirect({ to: '/operations/overview', replace: true })
  },
  component: OperationsRoom,
})
const overview = createRoute({ getParentRoute: () => operations, path: '/overview', component: OverviewPage })
const alerts = createRoute({ getParentRoute: () => operations, path: '/alerts', component: AlertsPage })
const objectives = createRoute({ getParentRoute: () => operations, path: '/objectives' })
const allObjectives = createRoute({
  getParentRoute: () => objectives,
  path: '/',
  component: ObjectivesPage,
})
const objective = createRoute({
  getParentRoute: () => objectives,
  path: '$objectiveId',
  validateSearch: objectiveSearch,
  component: ObjectivePage,
})
const traffic = createRoute({
  getParentRoute: () => operations,
  path: '/traffic',
  validateSearch: trafficSearch,
  component: TrafficPage,
})
const limits = createRoute({ getParentRoute: () => operations, path: '/limits', component: LimitsPage })
const errors = createRoute({ getParentRoute: () => operations, path: '/errors' })
const allErrors = createRoute({
  getParentRoute: () => errors,
  path: '/',
  validateSearch: errorsSearch,
  component: ErrorsPage,
})
const error = createRoute({ getParentRoute: () => errors, path: '$errorId', component: ErrorPage })
const log = createRoute({
  getParentRoute: () => operations,
  path: '/log',
  validateSearch: logSearch,
  component: LogPage,
})
const live = createRoute({
  getParentRoute: () => operations,
  path: '/live',
  validateSearch: (search: {
    q?: unknown
    slow?: unknown
    node?: unknown
  }): { q?: string; slow?: true; node?: string } => ({
    ...(typeof search.q === 'string' && search.q !== '' && { q: search.q }),
    ...(search.slow === true && { slow: true }),
    ...(typeof search.node === 'string' && search.node !== '' && { node: search.node }),
  }),
  component: LivePage,
})

const settings = createRoute({ getParentRoute: () => inside, path: '/settings', component: SettingsPage })

const tree = root.addChildren([
  setup,
  join,
  signIn,
  start,
  inside.addChildren([
    rooms.addChildren([noRoom, room]),
    connections.addChildren([
      accounts.addChildren([allAccounts, connection]),
      catalogue.addChildren([allProviders, provider, setupOfApp]),
    ]),
    operations.addChildren([
      overview,
      alerts,
      objectives.addChildren([allObjectives, objective]),
      traffic,
      errors.addChildren([allErrors, error]),
      limits,
      log,
      live,
    ]),
    settings,
  ]),
])

export function createDashboardRouter() {
  return createRouter({ routeTree: tree, defaultErrorComponent: PartFailed })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createDashboardRouter>
  }
}
