/** Rows stand in order of `seq`; what is not committed yet stands last, at no place of its own. */
interface Placed {
  readonly key: string
  readonly seq: number
}

/** The index of the first row that stands after `seq`; the length where none does. */
export function firstAfter(rows: readonly Pick<Placed, 'seq'>[], seq: number): number {
  let [low, high] = [0, rows.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((rows[middle]?.seq ?? seq) > seq) high = middle
    else low = middle + 1
  }
  return low
}

/**
 * How many rows were put in before the ones that were there: what a virtual list must know so that nothing jumps when
 * older rows arrive. Counted at the first row that both have, since the rows at the seam may merge.
 */
export function rowsPutBefore(before: readonly Placed[], after: readonly Placed[]): number {
  if (before.length === 0 || before[0]?.key === after[0]?.key) return 0
  for (const [at, row] of before.entries()) {
    const found = placeOf(row, after)
    if (found >= 0) return found - at
  }
  return 0
}

/** Where a row stands in `rows`; -1 where it does not. */
function placeOf({ key, seq }: Placed, rows: readonly Placed[]): number {
  // Committed meanwhile it has a place, which this one does not know.
  if (seq === Number.POSITIVE_INFINITY) return rows.findLastIndex((row) => row.key === key)
  for (let at = firstAfter(rows, seq) - 1; rows[at]?.seq === seq; at -= 1)
    if (rows[at]?.key === key) return at
  return -1
}
