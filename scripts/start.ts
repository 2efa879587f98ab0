// `npm start`: the dashboard is built when its sources have changed, then the server runs as written.
import { fileURLToPath } from 'node:url'
import { buildDashboard } from './build-dashboard.ts'

await buildDashboard()
const main = fileURLToPath(new URL('../server/src/main.ts', import.meta.url))
// Workers are started with the same words: each of them is the server, and builds nothing.
process.argv.splice(1, 1, main, 'serve')
await import(main)
