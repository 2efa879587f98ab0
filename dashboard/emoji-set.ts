import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vite'

interface Emoji {
  readonly emoji: string
  readonly label: string
  readonly tags?: readonly string[]
  /** Absent for the letters that flags are made of. */
  readonly group?: number
  readonly order?: number
  /** Unicode version it came with. */
  readonly version: number
}

interface Messages {
  readonly groups: readonly { readonly message: string; readonly order: number }[]
}

const moduleId = 'virtual:emoji'
/** Skin tones and the like, which are no emoji by themselves. */
const components = 2
/** Systems of the last years can draw all of these. */
const newest = 15

/** `virtual:emoji`: the Unicode emoji in their groups, with what they are found by and nothing else. */
export function emojiSet(): Plugin {
  return {
    name: 'emoji-set',
    resolveId: (id) => (id === moduleId ? `\0${moduleId}` : undefined),
    load(id) {
      if (id !== `\0${moduleId}`) return undefined
      const all = read<readonly Emoji[]>(import.meta.resolve('emojibase-data/en/data.json'))
      const { groups } = read<Messages>(import.meta.resolve('emojibase-data/en/messages.json'))
      const shown = groups.flatMap(({ message, order }) => {
        const own = all
          .filter((each) => each.group === order && order !== components && each.version <= newest)
          .sort((a, b) => (a.order ?? 0) - (b.order ?? 0))
          .map((each) => [each.emoji, each.label, (each.tags ?? []).join(' ')])
        return own.length === 0 ? [] : [{ name: message, emojis: own }]
      })
      return `export const groups = ${JSON.stringify(shown)}`
    },
  }
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(fileURLToPath(file), 'utf8')) as T
}
