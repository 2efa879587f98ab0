import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Benchmark, Figure } from '../benchmark.ts'

const folder = join(import.meta.dirname, '..', 'rooms')

/** `t1-publish.ts` and its like: each exports `part`, one target of the rooms with its peer beside it. */
const files = readdirSync(folder)
  .filter((file) => /^t\d+-.+\.ts$/.test(file))
  .sort((a, b) => numberOf(a) - numberOf(b))

const parts: readonly Benchmark[] = await Promise.all(
  files.map(async (file) => ((await import(join(folder, file))) as { readonly part: Benchmark }).part),
)

/** `npm run bench -- rooms` runs every part, `npm run bench -- rooms t1 t6` only these. */
export const benchmark: Benchmark = {
  name: 'rooms',
  question: parts.map(({ name, question }) => `**${name}** ${question}`).join('\n\n'),
  parts: new Map(parts.map(({ name, question }) => [name, question])),
  async run(run) {
    const figures: Figure[] = []
    for (const part of parts) {
      if (run.only.length > 0 && !run.only.includes(part.name)) continue
      for (const figure of await part.run({ ...run, only: [] })) {
        figures.push({ ...figure, name: `${part.name} ${figure.name}` })
      }
    }
    return figures
  },
}

function numberOf(file: string): number {
  return Number.parseInt(file.slice(1), 10)
}
