import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { cruise, type IReporterOutput } from 'dependency-cruiser'
import { importArrows } from './import-arrows.ts'

interface Cruised {
  readonly modules: readonly {
    readonly source: string
    readonly dependencies: readonly { readonly resolved: string }[]
  }[]
  readonly summary: {
    readonly violations: readonly {
      readonly from: string
      readonly to: string
      readonly rule: { readonly name: string }
    }[]
  }
}

const places = ['contract/src', 'server/src', 'client/src', 'dashboard/src', 'sandbox/src']

test('every import points down, and none goes round in a circle', async () => {
  const { output } = await cruised()
  assert.ok(output.modules.length > 30, `only ${output.modules.length} files were read`)
  const broken = output.summary.violations.map((one) => `${one.rule.name}: ${one.from} → ${one.to}`)
  assert.deepEqual(broken, [])
  console.log(drawing(output))
})

test('file names are unique in the server, so that a stack trace lands', async () => {
  const { output } = await cruised()
  const names = output.modules
    .map((module) => module.source)
    .filter((source) => source.startsWith('server/src/'))
    .map((source) => source.split('/').at(-1) ?? source)
  assert.deepEqual(
    names.filter((name, at) => names.indexOf(name) !== at),
    [],
  )
})

async function cruised(): Promise<{ output: Cruised }> {
  process.chdir(join(import.meta.dirname, '..'))
  const { forbidden, options } = importArrows
  const result: IReporterOutput = await cruise(places, { ...options, ruleSet: { forbidden }, validate: true })
  assert.ok(typeof result.output === 'object', 'the cruise gave no graph')
  return { output: result.output as Cruised }
}

/** One line per room: what it uses. */
function drawing({ modules }: Cruised): string {
  const uses = new Map<string, Set<string>>()
  for (const module of modules) {
    const from = roomOf(module.source)
    if (from === undefined) continue
    const rooms = uses.get(from) ?? new Set()
    uses.set(from, rooms)
    for (const { resolved } of module.dependencies) {
      const to = roomOf(resolved)
      if (to !== undefined && to !== from) rooms.add(to)
    }
  }
  return [...uses]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([room, below]) => `${room.padEnd(22)} → ${[...below].sort().join(' ') || '·'}`)
    .join('\n')
}

function roomOf(path: string): string | undefined {
  const [place, , room, inside] = path.split('/')
  if (place === undefined || !places.some((one) => path.startsWith(`${one}/`))) return undefined
  return place === 'server' ? (inside === undefined ? `server/${room}` : room) : place
}
