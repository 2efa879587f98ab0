interface Keyed {
  readonly key: string
}

/**
 * How many rows were put in before the ones that were there: what a virtual list must know so that nothing jumps when
 * older rows arrive. Counted at the first row that both have, since the rows at the seam may merge.
 */
export function rowsPutBefore(before: readonly Keyed[], after: readonly Keyed[]): number {
  if (before.length === 0 || before[0]?.key === after[0]?.key) return 0
  const place = new Map(after.map((row, at) => [row.key, at]))
  for (const [at, row] of before.entries()) {
    const found = place.get(row.key)
    if (found !== undefined) return found - at
  }
  return 0
}
