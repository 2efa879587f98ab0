/** More are counted: nobody reads on, and a screen reader would read them all. */
const mostNamed = 12

/** "Ada, Grace, Alan", or "Ada, Grace, … and 188 others". */
export function nameList(names: readonly string[]): string {
  if (names.length <= mostNamed + 1) return names.join(', ')
  return `${names.slice(0, mostNamed).join(', ')} and ${names.length - mostNamed} others`
}
