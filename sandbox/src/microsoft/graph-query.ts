import { isDeepStrictEqual } from 'node:util'

type Row = Readonly<Record<string, unknown>>

/** What of OData a list understands. Throws `QueryProblem` for what it does not. */
export interface ListQuery {
  readonly top: number
  readonly skip: number
  readonly select: readonly string[] | undefined
  readonly count: boolean
  matches(row: Row): boolean
  compare(one: Row, other: Row): number
}

export class QueryProblem extends Error {}

/** `order`: the order where none is asked for, as in `$orderby`. */
export function listQuery(query: URLSearchParams, order: string): ListQuery {
  const whole = (name: string, fallback: number, most: number) => {
    const text = query.get(name)
    const value = text === null ? fallback : Number(text)
    if (!Number.isInteger(value) || value < 0 || value > most) {
      throw new QueryProblem(`Invalid value '${text}' for ${name} query option found.`)
    }
    return value
  }
  const search = /^"?(.*?)"?$/.exec(query.get('$search') ?? '')?.[1]?.toLowerCase() ?? ''
  const filters = conditions(query.get('$filter') ?? '')
  return {
    top: whole('$top', 10, 1000),
    skip: whole('$skip', 0, 1_000_000),
    select: query
      .get('$select')
      ?.split(',')
      .map((name) => name.trim()),
    count: query.get('$count') === 'true',
    matches: (row) =>
      filters.every((holds) => holds(row)) &&
      (search === '' || JSON.stringify(row).toLowerCase().includes(search)),
    compare: comparison(query.get('$orderby') ?? order),
  }
}

/** The row with the chosen properties only; its id and etag always stay. */
export function selected(row: Row, select: readonly string[] | undefined): Row {
  if (select === undefined) return row
  const wanted = new Set([...select, 'id', '@odata.etag'])
  return Object.fromEntries(Object.entries(row).filter(([name]) => wanted.has(name)))
}

/** Comparisons, `contains` and `startswith`, joined by `and`. */
function conditions(filter: string): ((row: Row) => boolean)[] {
  if (filter.trim() === '') return []
  return filter.split(/\s+and\s+(?=(?:[^']*'[^']*')*[^']*$)/i).map((part) => {
    const call = /^(contains|startswith)\(\s*([\w/]+)\s*,\s*'((?:[^']|'')*)'\s*\)$/i.exec(part.trim())
    if (call !== null) {
      const [, name = '', path = '', text = ''] = call
      const sought = text.replaceAll("''", "'").toLowerCase()
      return (row) => {
        const value = String(valueAt(row, path) ?? '').toLowerCase()
        return name.toLowerCase() === 'contains' ? value.includes(sought) : value.startsWith(sought)
      }
    }
    const [, path, operator, literal] = /^([\w/]+)\s+(eq|ne|gt|ge|lt|le)\s+(.+)$/i.exec(part.trim()) ?? []
    if (path === undefined || operator === undefined || literal === undefined) {
      throw new QueryProblem('The query filter contains one or more invalid nodes.')
    }
    const sought = literalOf(literal.trim())
    return (row) => holds(operator.toLowerCase(), valueAt(row, path), sought)
  })
}

function holds(operator: string, value: unknown, sought: unknown): boolean {
  if (operator === 'eq') return isDeepStrictEqual(folded(value), folded(sought))
  if (operator === 'ne') return !isDeepStrictEqual(folded(value), folded(sought))
  if (value === undefined || value === null) return false
  const order = ordered(value, sought)
  if (operator === 'gt') return order > 0
  if (operator === 'ge') return order >= 0
  return operator === 'lt' ? order < 0 : order <= 0
}

function folded(value: unknown): unknown {
  return typeof value === 'string' ? value.toLowerCase() : value
}

/** Moments are compared as moments, however they are written. */
function ordered(one: unknown, other: unknown): number {
  const [first, second] = [Date.parse(String(one)), Date.parse(String(other))]
  if (!Number.isNaN(first) && !Number.isNaN(second)) return first - second
  return String(one).localeCompare(String(other))
}

function literalOf(text: string): unknown {
  if (/^(true|false|null|-?\d+)$/.test(text)) return JSON.parse(text)
  const quoted = /^'((?:[^']|'')*)'$/.exec(text)?.[1]
  if (quoted !== undefined) return quoted.replaceAll("''", "'")
  if (/^\d{4}-\d\d-\d\d/.test(text)) return text
  throw new QueryProblem('The query filter contains one or more invalid nodes.')
}

function valueAt(row: Row, path: string): unknown {
  return path
    .split('/')
    .reduce<unknown>(
      (value, name) => (typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined),
      row,
    )
}

function comparison(text: string): (one: Row, other: Row) => number {
  const keys = text.split(',').map((part) => {
    const [path = '', direction = 'asc'] = part.trim().split(/\s+/)
    return { path, sign: direction.toLowerCase() === 'desc' ? -1 : 1 }
  })
  return (one, other) =>
    keys.reduce(
      (found, { path, sign }) =>
        found || sign * ordered(valueAt(one, path) ?? '', valueAt(other, path) ?? ''),
      0,
    )
}
