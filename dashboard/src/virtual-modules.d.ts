declare module 'virtual:provider-marks' {
  /** By provider id. `source` is a `data:` URL of an SVG. */
  export const marks: Readonly<Record<string, { readonly source: string; readonly oneColour: boolean }>>
}

declare module 'virtual:emoji' {
  /** In the order of Unicode; each emoji with its name and further words that it is found by. */
  export const groups: readonly {
    readonly name: string
    readonly emojis: readonly (readonly [emoji: string, label: string, words: string])[]
  }[]
}
