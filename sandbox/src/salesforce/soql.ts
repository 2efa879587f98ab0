import { SalesforceProblem } from './salesforce-answers.ts'
import type { SalesforceData, SalesforceRecord, Value } from './salesforce-data.ts'
import { fieldOf, type ObjectType, objectTypeOf, objectTypes } from './salesforce-schema.ts'

/** What a query found: rows to show, or only how many there are. */
export interface QueryResult {
  readonly type: ObjectType
  readonly records: readonly SalesforceRecord[]
  /** Paths to show, as they are spelled in the schema; empty for `COUNT()`. */
  readonly fields: readonly string[]
}

type Test = (record: SalesforceRecord) => boolean
/** A literal: one value, or a span of time that has a beginning and an end. */
type Literal = Value | { readonly from: number; readonly to: number }

const day = 86_400_000

/**
 * SOQL as far as one object and its parents go: field lists with paths, `FIELDS(…)`, `COUNT()`, WHERE with AND, OR, NOT,
 * parentheses, comparisons, LIKE, IN, date literals, ORDER BY, LIMIT, OFFSET. No sub-queries, no GROUP BY.
 * Throws `SalesforceProblem` (MALFORMED_QUERY, INVALID_FIELD, INVALID_TYPE).
 */
export function runQuery(soql: string, data: SalesforceData, now: Date): QueryResult {
  return new Reader(soql, data, now).run()
}

/** The value at `Account.Owner.Name`; null where something on the way is empty. */
export function valueAt(
  data: SalesforceData,
  type: ObjectType,
  record: SalesforceRecord,
  path: string,
): Value {
  const [head = '', ...rest] = path.split('.')
  if (rest.length === 0) return record[head] ?? null
  const parent = parentOf(data, type, record, head)
  return parent === undefined ? null : valueAt(data, parent.type, parent.record, rest.join('.'))
}

export function parentOf(
  data: SalesforceData,
  type: ObjectType,
  record: SalesforceRecord,
  relationship: string,
) {
  const field = type.fields.find((each) => each.relationship?.toLowerCase() === relationship.toLowerCase())
  const id = field === undefined ? null : record[field.name]
  if (typeof id !== 'string') return undefined
  const parentType = objectTypes.find(({ prefix }) => id.startsWith(prefix))
  const parent = parentType === undefined ? undefined : data.find(parentType, id)
  return parentType === undefined || parent === undefined ? undefined : { type: parentType, record: parent }
}

class Reader {
  readonly #tokens: readonly string[]
  readonly #data: SalesforceData
  readonly #now: Date
  #at = 0
  #type: ObjectType

  constructor(soql: string, data: SalesforceData, now: Date) {
    this.#tokens = soql.match(/'(?:[^'\\]|\\.)*'|[<>!]=|[\w.:+-]+|\S/g) ?? []
    this.#data = data
    this.#now = now
    // The fields stand before the object they are of.
    const from = this.#tokens.findIndex((token) => token.toLowerCase() === 'from')
    const name = this.#tokens[from + 1]
    if (from < 0 || name === undefined) throw malformed(this.#tokens.at(-1) ?? '<EOF>')
    const type = objectTypeOf(name)
    if (type === undefined) {
      throw new SalesforceProblem(
        400,
        'INVALID_TYPE',
        `sObject type '${name}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name.`,
      )
    }
    this.#type = type
  }

  run(): QueryResult {
    this.#expect('select')
    const fields = this.#fields()
    this.#expect('from')
    this.#at += 1
    const test: Test = this.#take('where') ? this.#any() : () => true
    const compare = this.#take('order') ? this.#order() : () => 0
    const limit = this.#take('limit') ? this.#whole() : Number.POSITIVE_INFINITY
    const offset = this.#take('offset') ? this.#whole() : 0
    const rest = this.#tokens[this.#at]
    if (rest !== undefined) throw malformed(rest)
    const records = this.#data
      .list(this.#type)
      .filter(test)
      .toSorted(compare)
      .slice(offset, offset + limit)
    return { type: this.#type, records, fields }
  }

  #fields(): string[] {
    const fields: string[] = []
    do {
      const name = this.#next()
      if (/^count$/i.test(name) && this.#take('(')) {
        this.#expect(')')
        return []
      }
      if (/^fields$/i.test(name) && this.#take('(')) {
        this.#next()
        this.#expect(')')
        fields.push(...this.#type.fields.map((each) => each.name))
      } else {
        fields.push(this.#path(name))
      }
    } while (this.#take(','))
    return fields
  }

  /** As the schema spells it. */
  #path(text: string): string {
    let type = this.#type
    const parts = text.split('.')
    return parts
      .map((part, index) => {
        if (index === parts.length - 1) {
          const field = fieldOf(type, part)
          if (field === undefined) throw unknownColumn(part, type)
          return field.name
        }
        const field = type.fields.find((each) => each.relationship?.toLowerCase() === part.toLowerCase())
        const parent = field?.refersTo === undefined ? undefined : objectTypeOf(field.refersTo)
        if (field?.relationship === undefined || parent === undefined) {
          throw new SalesforceProblem(
            400,
            'INVALID_FIELD',
            `Didn't understand relationship '${part}' in field path.`,
          )
        }
        type = parent
        return field.relationship
      })
      .join('.')
  }

  #any(): Test {
    const tests = [this.#all()]
    while (this.#take('or')) tests.push(this.#all())
    return tests.length === 1 && tests[0] !== undefined
      ? tests[0]
      : (record) => tests.some((test) => test(record))
  }

  #all(): Test {
    const tests = [this.#condition()]
    while (this.#take('and')) tests.push(this.#condition())
    return (record) => tests.every((test) => test(record))
  }

  #condition(): Test {
    if (this.#take('not')) {
      const test = this.#condition()
      return (record) => !test(record)
    }
    if (this.#take('(')) {
      const test = this.#any()
      this.#expect(')')
      return test
    }
    const path = this.#path(this.#next())
    const value = (record: SalesforceRecord) => valueAt(this.#data, this.#type, record, path)
    if (this.#take('like')) {
      const literal = this.#literal()
      if (typeof literal !== 'string') throw malformed(String(literal))
      const pattern = literal
        .split(/([%_])/)
        .map((part) => (part === '%' ? '.*' : part === '_' ? '.' : RegExp.escape(part)))
      const matches = new RegExp(`^${pattern.join('')}$`, 'is')
      return (record) => matches.test(String(value(record) ?? ''))
    }
    const negated = this.#take('not')
    if (this.#take('in')) {
      const literals = this.#list()
      return (record) => literals.some((literal) => same(value(record), literal)) !== negated
    }
    const operator = this.#next()
    const literal = this.#literal()
    return (record) => holds(operator, value(record), literal)
  }

  #order(): (one: SalesforceRecord, other: SalesforceRecord) => number {
    this.#expect('by')
    const keys: { path: string; sign: number; emptyFirst: boolean }[] = []
    do {
      const path = this.#path(this.#next())
      const descending = this.#take('desc')
      if (!descending) this.#take('asc')
      // Nothing comes first, either way, unless it is said.
      const emptyFirst = this.#take('nulls') ? this.#next().toLowerCase() === 'first' : true
      keys.push({ path, sign: descending ? -1 : 1, emptyFirst })
    } while (this.#take(','))
    return (one, other) => {
      for (const { path, sign, emptyFirst } of keys) {
        const first = valueAt(this.#data, this.#type, one, path)
        const second = valueAt(this.#data, this.#type, other, path)
        if (first === second) continue
        if (first === null || second === null) return (first === null) === emptyFirst ? -1 : 1
        const order = sign * ordered(first, second)
        if (order !== 0) return order
      }
      return 0
    }
  }

  #list(): Literal[] {
    this.#expect('(')
    const literals = [this.#literal()]
    while (this.#take(',')) literals.push(this.#literal())
    this.#expect(')')
    return literals
  }

  #literal(): Literal {
    const token = this.#next()
    if (token.startsWith("'") && token.endsWith("'") && token.length > 1) {
      return token.slice(1, -1).replace(/\\(.)/g, '$1')
    }
    if (/^(true|false|null)$/i.test(token)) return JSON.parse(token.toLowerCase())
    if (/^\d{4}-\d\d-\d\d/.test(token)) return token
    if (/^[+-]?\d+(\.\d+)?$/.test(token)) return Number(token)
    return this.#span(token)
  }

  #span(token: string): Literal {
    const today = Date.UTC(this.#now.getUTCFullYear(), this.#now.getUTCMonth(), this.#now.getUTCDate())
    const [name = '', count] = token.toUpperCase().split(':')
    const days = Number(count)
    const [year, month] = [this.#now.getUTCFullYear(), this.#now.getUTCMonth()]
    const spans: Readonly<Record<string, readonly [number, number]>> = {
      YESTERDAY: [today - day, today],
      TODAY: [today, today + day],
      TOMORROW: [today + day, today + 2 * day],
      THIS_MONTH: [Date.UTC(year, month, 1), Date.UTC(year, month + 1, 1)],
      NEXT_MONTH: [Date.UTC(year, month + 1, 1), Date.UTC(year, month + 2, 1)],
      LAST_MONTH: [Date.UTC(year, month - 1, 1), Date.UTC(year, month, 1)],
      THIS_YEAR: [Date.UTC(year, 0, 1), Date.UTC(year + 1, 0, 1)],
      ...(count === undefined || !Number.isInteger(days)
        ? undefined
        : {
            LAST_N_DAYS: [today - days * day, today + day],
            NEXT_N_DAYS: [today + day, today + (days + 1) * day],
          }),
    }
    const span = spans[name]
    if (span === undefined) throw malformed(token)
    return { from: span[0], to: span[1] }
  }

  #whole(): number {
    const token = this.#next()
    if (!/^\d+$/.test(token)) throw malformed(token)
    return Number(token)
  }

  #next(): string {
    const token = this.#tokens[this.#at]
    if (token === undefined) throw malformed('<EOF>')
    this.#at += 1
    return token
  }

  #take(word: string): boolean {
    if (this.#tokens[this.#at]?.toLowerCase() !== word) return false
    this.#at += 1
    return true
  }

  #expect(word: string): void {
    if (!this.#take(word)) throw malformed(this.#tokens[this.#at] ?? '<EOF>')
  }
}

function malformed(token: string): SalesforceProblem {
  return new SalesforceProblem(400, 'MALFORMED_QUERY', `unexpected token: '${token}'`)
}

function unknownColumn(name: string, type: ObjectType): SalesforceProblem {
  return new SalesforceProblem(
    400,
    'INVALID_FIELD',
    `No such column '${name}' on entity '${type.name}'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.`,
  )
}

function holds(operator: string, value: Value, literal: Literal): boolean {
  if (operator === '=') return same(value, literal)
  if (operator === '!=') return !same(value, literal)
  if (!['<', '<=', '>', '>='].includes(operator)) throw malformed(operator)
  if (value === null || literal === null) return false
  if (typeof literal === 'object') {
    const at = Date.parse(String(value))
    if (operator === '<') return at < literal.from
    if (operator === '<=') return at < literal.to
    return operator === '>' ? at >= literal.to : at >= literal.from
  }
  const order = ordered(value, literal)
  if (operator === '<') return order < 0
  if (operator === '<=') return order <= 0
  return operator === '>' ? order > 0 : order >= 0
}

/** Text without regard to case, ids with 15 characters as well as 18. */
function same(value: Value, literal: Literal): boolean {
  if (literal !== null && typeof literal === 'object') {
    const at = Date.parse(String(value))
    return at >= literal.from && at < literal.to
  }
  if (typeof value === 'string' && typeof literal === 'string') {
    if (value.toLowerCase() === literal.toLowerCase()) return true
    return /^[a-zA-Z0-9]{15}$/.test(literal) && value.length === 18 && value.startsWith(literal)
  }
  return value === literal
}

function ordered(one: Value, other: Value): number {
  if (typeof one === 'number' && typeof other === 'number') return one - other
  const dated = /^\d{4}-\d\d-\d\d/
  if (dated.test(String(one)) && dated.test(String(other))) {
    return Date.parse(String(one)) - Date.parse(String(other))
  }
  return String(one).localeCompare(String(other))
}
