import { type CrmRecord, type CrmType, crmSchemas } from './crm-data.ts'

export interface SearchPage {
  readonly found: readonly CrmRecord[]
  readonly total: number
  readonly next: number | undefined
}

/**
 * `POST …/search`: groups are joined by or, the filters of a group by and. A string says what is wrong with the request.
 * https://developers.hubspot.com/docs/api-reference/crm-search-v3/guide
 */
export function searchRecords(
  type: CrmType,
  records: readonly CrmRecord[],
  body: Readonly<Record<string, unknown>>,
): SearchPage | string {
  const { filterGroups = [], sorts = [], query, limit = 10, after = 0 } = body
  if (!Array.isArray(filterGroups) || !Array.isArray(sorts)) return 'filterGroups and sorts are lists'
  const size = Number(limit)
  if (!Number.isInteger(size) || size < 0 || size > 200) return 'limit must be less than or equal to 200'
  const from = Number(after)
  if (!Number.isInteger(from) || from < 0) return 'after must be an integer'
  if (filterGroups.length > 5) return 'There may be at most 5 filterGroups'
  const known = new Set<string>([...crmSchemas[type].properties, ...crmSchemas[type].usual])

  const groups: ((record: CrmRecord) => boolean)[][] = []
  for (const group of filterGroups) {
    const filters: unknown = at(group, 'filters')
    if (!Array.isArray(filters) || filters.length === 0) return 'A filterGroup needs filters'
    if (filters.length > 6) return 'A filterGroup may have at most 6 filters'
    const tests: ((record: CrmRecord) => boolean)[] = []
    for (const filter of filters) {
      const test = filterTest(filter, known)
      if (typeof test === 'string') return test
      tests.push(test)
    }
    groups.push(tests)
  }
  const words = (typeof query === 'string' ? query : '')
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
  const found = records.filter(
    (record) =>
      (groups.length === 0 || groups.some((tests) => tests.every((test) => test(record)))) &&
      words.every((word) =>
        crmSchemas[type].searched.some((name) => record.properties[name]?.toLowerCase().includes(word)),
      ),
  )
  const [sort] = sorts
  const property = typeof sort === 'string' ? sort.replace(/^-/, '') : at(sort, 'propertyName')
  if (property !== undefined) {
    if (typeof property !== 'string' || !known.has(property))
      return `There is no property ${String(property)}`
    const down = typeof sort === 'string' ? sort.startsWith('-') : at(sort, 'direction') === 'DESCENDING'
    found.sort((one, other) => {
      const order = compare(one.properties[property] ?? '', other.properties[property] ?? '')
      return down ? -order : order
    })
  }
  const page = found.slice(from, from + size)
  const end = from + page.length
  return { found: page, total: found.length, next: end < found.length && size > 0 ? end : undefined }
}

function filterTest(filter: unknown, known: ReadonlySet<string>): ((record: CrmRecord) => boolean) | string {
  const name = at(filter, 'propertyName')
  const operator = at(filter, 'operator')
  if (typeof name !== 'string' || !known.has(name)) return `There is no property ${String(name)}`
  const wanted = (key: 'value' | 'highValue') => String(at(filter, key) ?? '').toLowerCase()
  const listed = at(filter, 'values')
  const values = Array.isArray(listed) ? listed.map((each) => String(each).toLowerCase()) : []
  const on = (test: (value: string) => boolean) => (record: CrmRecord) => {
    const value = record.properties[name]
    return value !== undefined && value !== '' && test(value.toLowerCase())
  }
  switch (operator) {
    case 'EQ':
      return on((value) => compare(value, wanted('value')) === 0)
    case 'NEQ':
      return on((value) => compare(value, wanted('value')) !== 0)
    case 'LT':
      return on((value) => compare(value, wanted('value')) < 0)
    case 'LTE':
      return on((value) => compare(value, wanted('value')) <= 0)
    case 'GT':
      return on((value) => compare(value, wanted('value')) > 0)
    case 'GTE':
      return on((value) => compare(value, wanted('value')) >= 0)
    case 'BETWEEN':
      return on((value) => compare(value, wanted('value')) >= 0 && compare(value, wanted('highValue')) <= 0)
    case 'IN':
      return on((value) => values.includes(value))
    case 'NOT_IN':
      return on((value) => !values.includes(value))
    case 'HAS_PROPERTY':
      return on(() => true)
    case 'NOT_HAS_PROPERTY':
      return (record) => (record.properties[name] ?? '') === ''
    case 'CONTAINS_TOKEN':
      return on((value) => tokens(value).some((token) => matchesToken(token, wanted('value'))))
    case 'NOT_CONTAINS_TOKEN':
      return on((value) => !tokens(value).some((token) => matchesToken(token, wanted('value'))))
    default:
      return `Invalid operator ${String(operator)}`
  }
}

/** Numbers as numbers, moments as moments (HubSpot takes milliseconds and ISO 8601), all else as text. */
function compare(one: string, other: string): number {
  const [a, b] = [measure(one), measure(other)]
  return a === undefined || b === undefined ? one.localeCompare(other) : a - b
}

function measure(value: string): number | undefined {
  if (/^-?\d+(\.\d+)?$/.test(value)) return Number(value)
  return /^\d{4}-\d\d-\d\d/.test(value) ? Date.parse(value) || undefined : undefined
}

function tokens(value: string): string[] {
  return [value, ...value.split(/[^\p{L}\p{N}]+/u)]
}

function matchesToken(token: string, wanted: string): boolean {
  const pattern = wanted.split('*').map(RegExp.escape).join('.*')
  return new RegExp(`^${pattern}$`).test(token)
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}
