import { type NotionPage, type PropertySchema, type PropertyValue, roadmapSchema } from './notion-data.ts'

type Test = (page: NotionPage) => boolean

/**
 * The filter of a query (https://developers.notion.com/reference/post-database-query-filter); a string says what is wrong
 * with it.
 */
export function filterOf(filter: unknown, depth = 0): Test | string {
  if (filter === undefined) return () => true
  for (const [word, join] of [
    ['and', (tests: Test[], page: NotionPage) => tests.every((test) => test(page))],
    ['or', (tests: Test[], page: NotionPage) => tests.some((test) => test(page))],
  ] as const) {
    const parts = at(filter, word)
    if (!Array.isArray(parts)) continue
    // Notion nests two levels deep, no further.
    if (depth === 2) return 'body failed validation: filters may be nested two levels deep.'
    const tests: Test[] = []
    for (const part of parts) {
      const test = filterOf(part, depth + 1)
      if (typeof test === 'string') return test
      tests.push(test)
    }
    return (page) => join(tests, page)
  }
  const timestamp = at(filter, 'timestamp')
  if (timestamp === 'created_time' || timestamp === 'last_edited_time') {
    const condition = conditionOf({ id: '', type: 'date' }, at(filter, timestamp))
    if (typeof condition === 'string') return condition
    return (page) => condition(timestamp === 'created_time' ? page.createdAt : page.editedAt)
  }
  const found = schemaOf(at(filter, 'property'))
  if (typeof found === 'string') return found
  const [name, schema] = found
  const own = at(filter, schema.type)
  if (own === undefined) {
    return `body failed validation: body.filter.${schema.type} should be defined, the property is of this type.`
  }
  const condition = conditionOf(schema, own)
  if (typeof condition === 'string') return condition
  return (page) => condition(valueIn(page, name))
}

/** The order of a query; a string says what is wrong with it. */
export function orderOf(sorts: unknown): ((one: NotionPage, other: NotionPage) => number) | string {
  if (sorts === undefined) return () => 0
  if (!Array.isArray(sorts)) return 'body failed validation: body.sorts should be an array.'
  const orders: ((one: NotionPage, other: NotionPage) => number)[] = []
  for (const sort of sorts) {
    const timestamp = at(sort, 'timestamp')
    const sign = at(sort, 'direction') === 'descending' ? -1 : 1
    if (timestamp === 'created_time' || timestamp === 'last_edited_time') {
      const time = (page: NotionPage) => (timestamp === 'created_time' ? page.createdAt : page.editedAt)
      orders.push((one, other) => sign * time(one).localeCompare(time(other)))
      continue
    }
    const found = schemaOf(at(sort, 'property'))
    if (typeof found === 'string') return found
    const [name, schema] = found
    orders.push((one, other) => {
      const [a, b] = [rankOf(schema, valueIn(one, name)), rankOf(schema, valueIn(other, name))]
      return a === b ? 0 : a < b ? -sign : sign
    })
  }
  return (one, other) => orders.map((order) => order(one, other)).find((order) => order !== 0) ?? 0
}

function schemaOf(given: unknown): readonly [string, PropertySchema] | string {
  const found = Object.entries(roadmapSchema).find(([name, { id }]) => name === given || id === given)
  return found ?? `Could not find property with name or id: ${String(given)}`
}

function valueIn(page: NotionPage, name: string): PropertyValue {
  return roadmapSchema[name]?.type === 'title' ? page.title : page.values[name]
}

/** Options sort in the order the schema lists them, all else by its value; what is empty comes last. */
function rankOf({ options }: PropertySchema, value: PropertyValue): string | number {
  if (options !== undefined) {
    const rank = options.findIndex((option) => option.name === value)
    return rank < 0 ? options.length : rank
  }
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return Number(value)
  return String(value ?? '\uffff').toLowerCase()
}

function conditionOf(
  schema: PropertySchema,
  condition: unknown,
): ((value: PropertyValue) => boolean) | string {
  const [entry] = typeof condition === 'object' && condition !== null ? Object.entries(condition) : []
  if (entry === undefined) return 'body failed validation: a filter needs a condition.'
  const [operator, wanted]: [string, unknown] = entry
  const empty = (value: PropertyValue) =>
    value === undefined || value === '' || (Array.isArray(value) && value.length === 0)
  if (operator === 'is_empty') return empty
  if (operator === 'is_not_empty') return (value) => !empty(value)
  const allowed = operators[schema.type]
  if (!allowed.includes(operator)) {
    return `body failed validation: body.filter.${schema.type}.${operator} is not a condition of this type.`
  }
  const text = String(wanted).toLowerCase()
  const lower = (value: PropertyValue) => String(value ?? '').toLowerCase()
  // A day is compared by what is given of it: a date alone covers the whole day.
  const span = (value: PropertyValue) => String(value ?? '').slice(0, String(wanted).length)
  const tests: Readonly<Record<string, (value: PropertyValue) => boolean>> = {
    equals: (value) => (schema.type === 'date' ? span(value) === wanted : (value ?? false) === wanted),
    does_not_equal: (value) => (value ?? false) !== wanted,
    contains: (value) => (Array.isArray(value) ? value.includes(wanted) : lower(value).includes(text)),
    does_not_contain: (value) =>
      Array.isArray(value) ? !value.includes(wanted) : !lower(value).includes(text),
    starts_with: (value) => lower(value).startsWith(text),
    ends_with: (value) => lower(value).endsWith(text),
    before: (value) => !empty(value) && span(value) < String(wanted),
    after: (value) => !empty(value) && span(value) > String(wanted),
    on_or_before: (value) => !empty(value) && span(value) <= String(wanted),
    on_or_after: (value) => !empty(value) && span(value) >= String(wanted),
    greater_than: (value) => typeof value === 'number' && value > Number(wanted),
    less_than: (value) => typeof value === 'number' && value < Number(wanted),
    greater_than_or_equal_to: (value) => typeof value === 'number' && value >= Number(wanted),
    less_than_or_equal_to: (value) => typeof value === 'number' && value <= Number(wanted),
  }
  return tests[operator] ?? `body failed validation: ${operator} is not a condition.`
}

const textual = ['equals', 'does_not_equal', 'contains', 'does_not_contain', 'starts_with', 'ends_with']
const operators: Readonly<Record<PropertySchema['type'], readonly string[]>> = {
  title: textual,
  rich_text: textual,
  status: ['equals', 'does_not_equal'],
  select: ['equals', 'does_not_equal'],
  people: ['contains', 'does_not_contain'],
  date: ['equals', 'before', 'after', 'on_or_before', 'on_or_after'],
  number: [
    ...['equals', 'does_not_equal', 'greater_than', 'less_than'],
    ...['greater_than_or_equal_to', 'less_than_or_equal_to'],
  ],
  checkbox: ['equals', 'does_not_equal'],
}

export function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}
