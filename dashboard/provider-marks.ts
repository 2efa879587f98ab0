import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vite'

interface Mark {
  /** Name in the `logos` set. */
  readonly icon: string
  /** The part of it that is the sign, where the set has only the whole word: left, top, width, height. */
  readonly part?: string
}

/** Where the set has it under another name than the provider’s, or not by itself. */
const exceptions: Readonly<Record<string, Mark>> = {
  // The sprocket, which is the o of the word; its arm reaches over the letter before it.
  hubspot: { icon: 'hubspot', part: '333 0 134 149' },
}

interface IconSet {
  readonly width?: number
  readonly height?: number
  readonly icons: Readonly<
    Record<string, { readonly body: string; readonly width?: number; readonly height?: number }>
  >
}

/** One file each, by the provider’s id. */
const catalog = new URL('../server/src/providers/catalog/', import.meta.url)
const moduleId = 'virtual:provider-marks'

/**
 * `virtual:provider-marks`: each mark as a `data:` image, so that the page needs no request and no raw markup for it, and
 * the policy `img-src 'self' data:` holds. `oneColour` marks are
 * near-black and must be inverted on a dark surface.
 */
export function providerMarks(): Plugin {
  return {
    name: 'provider-marks',
    resolveId: (id) => (id === moduleId ? `\0${moduleId}` : undefined),
    load(id) {
      if (id !== `\0${moduleId}`) return undefined
      const file = fileURLToPath(import.meta.resolve('@iconify-json/logos/icons.json'))
      const set = JSON.parse(readFileSync(file, 'utf8')) as IconSet
      const providers = readdirSync(catalog).map((name) => name.replace(/\.ts$/, ''))
      const entries = providers.flatMap((provider) => {
        const own = [`${provider}-icon`, provider].find((name) => Object.hasOwn(set.icons, name))
        const { icon: name = own, part }: Partial<Mark> = exceptions[provider] ?? {}
        const icon = name === undefined ? undefined : set.icons[name]
        // Of a provider that the set does not know, the page shows the first letter.
        if (icon === undefined) return []
        const whole = `0 0 ${icon.width ?? set.width ?? 256} ${icon.height ?? set.height ?? 256}`
        // Of a part, only the path in the last colour: the letters beside it are in another.
        const body = part === undefined ? icon.body : icon.body.slice(icon.body.lastIndexOf('<path'))
        const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${part ?? whole}">${body}</svg>`
        const colours = [...new Set(body.match(/#[0-9a-f]{6}\b/gi))]
        const oneColour = colours.length === 1 && colours.every(isNearBlack)
        const source = `data:image/svg+xml,${encodeURIComponent(svg)}`
        return [[provider, { source, oneColour }] as const]
      })
      return `export const marks = ${JSON.stringify(Object.fromEntries(entries))}`
    },
  }
}

/** Hardly to be seen on a dark surface. */
function isNearBlack(colour: string): boolean {
  return [1, 3, 5].every((at) => Number.parseInt(colour.slice(at, at + 2), 16) < 0x40)
}
