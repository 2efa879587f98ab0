import type { IConfiguration } from 'dependency-cruiser'

// The floors of the house (docs/ARCHITECTURE.md): an arrow may only go down, and no circle of any kind.
const rooms = {
  foundation: [],
  http: ['foundation'],
  audit: ['foundation'],
  providers: ['foundation'],
  access: ['audit', 'http', 'foundation'],
  accounts: ['access', 'audit', 'foundation'],
  rooms: ['access', 'audit', 'foundation'],
  connections: ['providers', 'access', 'audit', 'foundation'],
  realtime: ['rooms', 'access', 'foundation'],
  agents: ['rooms', 'connections', 'webhooks', 'access', 'audit', 'foundation'],
  operations: ['access', 'audit', 'http', 'foundation'],
}

/** Every rule holds, none is advice. */
const severity = 'error' as const

export const importArrows: Required<Pick<IConfiguration, 'forbidden' | 'options'>> = {
  forbidden: [
    { name: 'no-circles', severity, from: {}, to: { circular: true } },
    {
      name: 'no-orphan-imports',
      severity,
      from: {},
      to: { couldNotResolve: true, pathNot: '^virtual:' },
    },
    ...Object.entries(rooms).map(([room, below]) => ({
      name: `${room}-only-looks-down`,
      severity,
      from: { path: `^server/src/${room}/` },
      to: { path: '^server/src/', pathNot: `^server/src/(${[room, ...below].join('|')})/` },
    })),
    {
      name: 'nothing-sees-the-root',
      severity,
      from: { path: '^server/src/', pathNot: '^server/src/(main|app|commands/[^/]+)\\.ts$' },
      to: { path: '^server/src/(main|app|config)\\.ts$' },
    },
    {
      name: 'only-the-root-starts-the-sandbox',
      severity,
      from: {
        path: '^server/src/',
        pathNot: '^server/src/(local-sandbox|commands/sandbox-command)\\.ts$',
      },
      to: { path: '^sandbox/' },
    },
    {
      name: 'contract-stands-alone',
      severity,
      from: { path: '^contract/' },
      to: { path: '^(server|client|dashboard|sandbox)/' },
    },
    {
      name: 'client-knows-the-contract',
      severity,
      from: { path: '^client/src/' },
      to: { path: '^(server|dashboard|sandbox)/' },
    },
    {
      name: 'dashboard-knows-the-client',
      severity,
      from: { path: '^dashboard/src/' },
      to: { path: '^(server|sandbox)/' },
    },
    {
      name: 'sandbox-stands-alone',
      severity,
      from: { path: '^sandbox/src/' },
      to: { path: '^(server|client|dashboard|contract)/' },
    },
    {
      name: 'stores-are-private',
      comment: '*-store.ts and *-routes.ts belong to their room and to the composition root',
      severity,
      from: { path: '^server/src/([^/]+)/', pathNot: '^server/src/(main|app)\\.ts$' },
      to: { path: '^server/src/[^/]+/[^/]+-(store|routes)\\.ts$', pathNot: '^server/src/$1/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(\\.test\\.ts$|/test/|/dist/)' },
    tsPreCompilationDeps: true,
    combinedDependencies: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.tsx', '.js', '.mjs', '.css'],
    },
  },
}
