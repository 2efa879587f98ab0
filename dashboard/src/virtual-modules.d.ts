declare module 'virtual:provider-marks' {
  /** By provider id. `source` is a `data:` URL of an SVG. */
  export const marks: Readonly<Record<string, { readonly source: string; readonly oneColour: boolean }>>
}
