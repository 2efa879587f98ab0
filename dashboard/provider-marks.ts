import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vite'

/** A provider's id → its name in the `logos` set. One more provider is one more line; nothing else of the set is shipped. */
const marks = { github: 'github-icon', google: 'google-icon' } as const

interface IconSet {
  readonly width?: number
  readonly height?: number
  readonly icons: Readonly<
    Record<string, { readonly body: string; readonly width?: number; readonly height?: number }>
  >
}

const moduleId = 'virtual:provider-marks'

/**
 * `virtual:provider-marks`: each mark as a `data:` image, so that the page needs no request and no raw markup for it, and
 * the policy `img-src 'self' data:` holds. `oneColour` marks are near-black and must be inverted on a dark surface.
 */
export function providerMarks(): Plugin {
  return {
    name: 'provider-marks',
    resolveId: (id) => (id === moduleId ? `\0${moduleId}` : undefined),
    load(id) {
      if (id !== `\0${moduleId}`) return undefined
      const file = fileURLToPath(import.meta.resolve('@iconify-json/logos/icons.json'))
      const set = JSON.parse(readFileSync(file, 'utf8')) as IconSet
      const entries = Object.entries(marks).map(([provider, name]) => {
        const icon = set.icons[name]
        if (icon === undefined) throw new Error(`the logos set has no icon ${name}`)
        const size = `${icon.width ?? set.width ?? 256} ${icon.height ?? set.height ?? 256}`
        const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size}">${icon.body}</svg>`
        const colours = new Set(icon.body.match(/#[0-9a-f]{3,6}/gi))
        const source = `data:image/svg+xml,${encodeURIComponent(svg)}`
        return [provider, { source, oneColour: colours.size === 1 }] as const
      })
      return `export const marks = ${JSON.stringify(Object.fromEntries(entries))}`
    },
  }
}
