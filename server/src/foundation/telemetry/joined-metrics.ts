/** What one process counts, in Prometheus' text format. */
export interface Exposition {
  readonly worker: number
  readonly text: string
}

/**
 * Several processes behind one port as one answer: each keeps its own series, under a label `worker`, so that a counter only grows
 * whichever of them is asked, and a gauge is still that of a process. All samples of a name stand together, as the format wants it.
 *
 * @returns the text format, version 0.0.4
 */
export function joinedMetrics(parts: readonly Exposition[]): string {
  const families = new Map<string, { readonly head: string[]; readonly samples: string[] }>()
  for (const { worker, text } of parts) {
    let family = { head: [] as string[], samples: [] as string[] }
    for (const line of text.split('\n')) {
      if (line === '') continue
      const [, kind, name = ''] = /^# (HELP|TYPE) (\S+)/.exec(line) ?? []
      if (kind === undefined) {
        family.samples.push(withLabel(line, worker))
        continue
      }
      family = families.get(name) ?? { head: [], samples: [] }
      families.set(name, family)
      if (!family.head.includes(line)) family.head.push(line)
    }
  }
  return Array.from(families.values(), ({ head, samples }) => [...head, ...samples, ''].join('\n')).join('\n')
}

/** A name has no brace and no space, so the first of either ends it. */
function withLabel(sample: string, worker: number): string {
  const label = `worker="${worker}"`
  return sample.replace(/^([^{ ]+)(?:\{(\}?))?/, (_all, name: string, empty: string | undefined) => {
    if (empty === undefined) return `${name}{${label}}`
    return `${name}{${label}${empty === '' ? ',' : '}'}`
  })
}
