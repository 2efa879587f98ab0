// `npm run check`: formatter and linter, types, import arrows, unused code. All of them run, then the verdict.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const bin = (name: string) => join(root, 'node_modules', '.bin', name)
const steps: readonly (readonly [string, string, ...string[]])[] = [
  ['format and lint', bin('biome'), 'check', '--error-on-warnings', '.'],
  // The chaos runs the client beside the server, so it is checked with the types of both.
  ...[
    'contract',
    'server',
    'server/test/chaos',
    'client',
    'dashboard',
    'sandbox',
    'benchmarks',
    'scripts',
  ].map((place) => [`types: ${place}`, bin('tsc'), '-p', place] as const),
  ['import arrows', process.execPath, '--test', join(root, 'scripts', 'arrows.test.ts')],
  ['promises', process.execPath, '--test', join(root, 'scripts', 'spec.test.ts')],
  ['unused code', bin('knip')],
]
const failed: string[] = []
for (const [title, command, ...args] of steps) {
  const began = Date.now()
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  const good = done.status === 0
  console.log(`${good ? 'ok  ' : 'FAIL'} ${title} (${((Date.now() - began) / 1000).toFixed(1)} s)`)
  if (!good) {
    failed.push(title)
    console.log(done.stdout, done.stderr)
  }
}
if (failed.length > 0) {
  console.log(
    `${failed.length} of ${steps.length} failed: ${failed.join(', ')}. \`npm run format\` mends the format.`,
  )
  process.exit(1)
}
