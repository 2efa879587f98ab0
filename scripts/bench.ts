// `npm run bench -- <name> [part …] [--json] [--quick] [--save]`: one benchmark, or parts of it, measured against its peers in
// the same run.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Benchmark, Figure } from '../benchmarks/src/benchmark.ts'
import { treeOf } from '../benchmarks/src/process-tree.ts'
import { buildDashboard } from './build-dashboard.ts'

const root = join(import.meta.dirname, '..')
const claims = join(root, 'benchmarks', 'src', 'claims')
const names = readdirSync(claims).map((file) => file.replace(/\.ts$/, ''))

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
  },
})
const [name, ...only] = positionals
if (name === undefined || !names.includes(name)) {
  console.error(`Usage: npm run bench -- <${names.join('|')}> [part …] [--json] [--quick] [--save]`)
  process.exit(2)
}

const { benchmark }: { benchmark: Benchmark } = await import(join(claims, `${name}.ts`))
const unknown = only.filter((part) => benchmark.parts?.has(part) !== true)
if (unknown.length > 0) {
  console.error(
    `${name} has no part ${unknown.join(', ')}; it has: ${[...(benchmark.parts?.keys() ?? [])].join(', ') || 'none'}`,
  )
  process.exit(2)
}
await buildDashboard()
const question =
  only.length === 0
    ? benchmark.question
    : only.map((part) => `**${part}** ${benchmark.parts?.get(part) ?? ''}`).join('\n\n')
console.error(`${benchmark.name}: ${question}`)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void interrupted())
const figures = await benchmark.run({ quick: values.quick, only, say: (line) => console.error(`  ${line}`) })
const result = { bench: name, commit: commit(), at: new Date().toISOString(), figures }
if (values.save) await save(result)
console.log(values.json ? JSON.stringify(result) : table(figures))
process.exit()

/** Nothing that a benchmark has started may outlive it. */
async function interrupted(): Promise<void> {
  for (const { pid } of (await treeOf(process.pid)).slice(1).reverse()) {
    try {
      process.kill(pid, 'SIGTERM')
    } catch (error) {
      // It has ended since it was listed.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }
  process.exit(130)
}

function commit(): string {
  if (!existsSync(join(root, '.git'))) return 'unknown'
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
  return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--', 'server', 'contract', 'client', 'dashboard') === '' ? '' : '+changes'}`
}

function table(rows: readonly Figure[]): string {
  const head = ['figure', 'value', 'against', 'ratio', 'target']
  const body = rows.map((row) => [
    row.name,
    `${row.value} ${row.unit}`,
    row.peer === undefined ? '' : `${row.peer}: ${row.peerValue} ${row.unit}`,
    row.ratio === undefined ? '' : String(row.ratio),
    row.target === undefined ? '' : `${row.target} ${row.holds ? 'holds' : 'DOES NOT HOLD'}`,
  ])
  return [head, head.map(() => '---'), ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

async function save(run: {
  bench: string
  commit: string
  at: string
  figures: readonly Figure[]
}): Promise<void> {
  const page = `# ${run.bench}

${question}

- Command: \`npm run bench -- ${[run.bench, ...only].join(' ')}${values.quick ? ' --quick' : ''}\`
- Commit: ${run.commit}, ${run.at}
- Machine: ${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${process.arch}, Node ${process.version}

${table(run.figures)}
`
  const results = join(root, 'benchmarks', 'results')
  await mkdir(results, { recursive: true })
  await writeFile(join(results, `${[run.bench, ...only].join('-')}.md`), page)
}
