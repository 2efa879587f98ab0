// `npm start`: the dashboard is built when its sources have changed, then the server runs as written.
import { buildDashboard } from './build-dashboard.ts'

await buildDashboard()
process.argv.splice(2, 0, 'serve')
await import('../server/src/main.ts')
