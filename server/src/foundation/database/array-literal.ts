/*
 * Arrays as PostgreSQL reads them (manual, 8.15.6). The driver makes them too, asking of each element what it may be and
 * quoting it whatever it is; for batches of hundreds of rows that was measured as a sixth of this process's work.
 */

/** Of numbers and booleans. */
export function plainArray(values: readonly (number | boolean)[]): string {
  return `{${values.join(',')}}`
}

const special = /["\\]/g
/** Anything else may hold a delimiter or white space that would be trimmed, be empty, or be the word NULL. */
const needsNoQuotes = /^[\w.-]{5,}$/

/** Of any text, so also of what has a form of its own, such as ids. `null` becomes NULL. */
export function textArray(values: readonly (string | null)[]): string {
  let literal = '{'
  let comma = ''
  for (const value of values) {
    literal += comma
    if (value === null) literal += 'NULL'
    else if (needsNoQuotes.test(value)) literal += value
    else literal += `"${value.replace(special, '\\$&')}"`
    comma = ','
  }
  return `${literal}}`
}

/** Of values as JSON. */
export function jsonArray(values: readonly object[]): string {
  let literal = '{'
  let comma = ''
  for (const value of values) {
    // JSON holds no control characters, so quoting it once more as a JSON string is quoting it as an element.
    literal += comma + JSON.stringify(JSON.stringify(value))
    comma = ','
  }
  return `${literal}}`
}
