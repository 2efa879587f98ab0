import type { Effects } from '../effects.ts'
import { type Person, people, personByKey } from '../people.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { Collection, SandboxStore } from '../sandbox-store.ts'
import { SalesforceProblem } from './salesforce-answers.ts'
import { id18, type SalesforceOrg, userIdOf } from './salesforce-org.ts'
import { type Field, fieldOf, type ObjectType, objectTypeOf, objectTypes } from './salesforce-schema.ts'
import { seedAccounts } from './salesforce-seed.ts'

export type Value = string | number | boolean | null
export type SalesforceRecord = Readonly<Record<string, Value>> & { readonly Id: string }

const day = 86_400_000
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** The records of one org. */
export class SalesforceData {
  readonly #org: SalesforceOrg
  readonly #store: SandboxStore
  readonly #clock: SandboxClock
  readonly #effects: Effects
  readonly #records: ReadonlyMap<string, Collection<SalesforceRecord>>

  constructor(
    org: SalesforceOrg,
    dependencies: { store: SandboxStore; clock: SandboxClock; effects: Effects },
  ) {
    this.#org = org
    this.#store = dependencies.store
    this.#clock = dependencies.clock
    this.#effects = dependencies.effects
    this.#records = new Map(
      objectTypes
        .filter(({ writable }) => writable)
        .map(({ name }) => [name, this.#store.collection<SalesforceRecord>(org.key, name)]),
    )
    if (this.list(typeNamed('Account')).length === 0) this.seed()
  }

  list(type: ObjectType): SalesforceRecord[] {
    if (type.name === 'User') return people.map(userRecord)
    return (this.#records.get(type.name)?.list() ?? []).filter((record) => record['IsDeleted'] !== true)
  }

  /** By 15 or 18 characters. */
  find(type: ObjectType, id: string): SalesforceRecord | undefined {
    const whole = id.length === 15 ? id18(id) : id
    return type.name === 'User'
      ? people.map(userRecord).find((record) => record.Id === whole)
      : this.list(type).find((record) => record.Id === whole)
  }

  findBy(type: ObjectType, field: Field, value: string): SalesforceRecord | undefined {
    return this.list(type).find(
      (record) => String(record[field.name] ?? '').toLowerCase() === value.toLowerCase(),
    )
  }

  /** Throws `SalesforceProblem` for fields that are missing, unknown, read-only or of another kind. */
  create(person: Person, type: ObjectType, sent: Readonly<Record<string, unknown>>): SalesforceRecord {
    const values = this.#checked(type, sent, undefined)
    const missing = type.fields.filter(({ name, required }) => required && (values[name] ?? '') === '')
    if (missing.length > 0) {
      const names = missing.map(({ name }) => name)
      throw new SalesforceProblem(
        400,
        'REQUIRED_FIELD_MISSING',
        `Required fields are missing: [${names.join(', ')}]`,
        names,
      )
    }
    const now = stamp(this.#clock.now())
    const record = derived(type, {
      ...Object.fromEntries(type.fields.map(({ name }) => [name, null])),
      OwnerId: userIdOf(person),
      ...values,
      Id: this.#id(type),
      IsDeleted: false,
      CreatedDate: now,
      CreatedById: userIdOf(person),
      LastModifiedDate: now,
      SystemModstamp: now,
    })
    this.#keep('record.created', person, type, record)
    return record
  }

  /** Throws as `create`. */
  change(
    person: Person,
    type: ObjectType,
    record: SalesforceRecord,
    sent: Readonly<Record<string, unknown>>,
  ) {
    const now = stamp(this.#clock.now())
    const changed = derived(type, {
      ...record,
      ...this.#checked(type, sent, record),
      LastModifiedDate: now,
      SystemModstamp: now,
    })
    this.#keep('record.changed', person, type, changed)
  }

  delete(person: Person, type: ObjectType, record: SalesforceRecord): void {
    this.#keep('record.deleted', person, type, { ...record, IsDeleted: true })
  }

  /** The first day again. */
  seed(): void {
    const now = this.#clock.now().getTime()
    const date = (days: number) => new Date(now + days * day).toISOString().slice(0, 10)
    this.#store.transaction(() => {
      for (const records of this.#records.values()) records.clear()
      this.#store.keepSetting(`${this.#org.key}.lastRecord`, '4000')
      for (const [index, seed] of seedAccounts.entries()) {
        const person = personByKey(seed.owner)
        if (person === undefined) continue
        const at = stamp(new Date(now - (40 + index * 17) * day))
        const put = (name: string, values: Readonly<Record<string, Value>>) => {
          const type = typeNamed(name)
          const record = derived(type, {
            ...Object.fromEntries(type.fields.map((each) => [each.name, null])),
            OwnerId: userIdOf(person),
            ...values,
            Id: this.#id(type),
            IsDeleted: false,
            CreatedDate: at,
            CreatedById: userIdOf(person),
            LastModifiedDate: at,
            SystemModstamp: at,
          })
          this.#records.get(name)?.put(record.Id, record)
          return record.Id
        }
        const AccountId = put('Account', {
          Name: seed.name,
          Type: seed.type,
          Industry: seed.industry,
          Website: seed.site,
          Phone: seed.phone,
          BillingCity: seed.city,
          BillingCountry: seed.country,
          AnnualRevenue: seed.revenue,
          NumberOfEmployees: seed.employees,
          External_Id__c: `crm-${1001 + index}`,
        })
        const contacts = seed.contacts.map(({ first, last, title }) =>
          put('Contact', {
            AccountId,
            FirstName: first,
            LastName: last,
            Title: title,
            Email: `${first}.${last.replaceAll(' ', '')}@${new URL(seed.site).hostname}`.toLowerCase(),
            Phone: seed.phone,
          }),
        )
        for (const opportunity of seed.opportunities) {
          const WhatId = put('Opportunity', {
            AccountId,
            Name: opportunity.name,
            StageName: opportunity.stage,
            Amount: opportunity.amount,
            Probability: opportunity.probability,
            CloseDate: date(opportunity.closeDays),
            NextStep: opportunity.next ?? null,
          })
          for (const [Subject, Priority, dueDays] of opportunity.tasks ?? []) {
            const ActivityDate = date(dueDays)
            put('Task', {
              WhatId,
              WhoId: contacts[0] ?? null,
              Subject,
              Priority,
              Status: 'Not Started',
              ActivityDate,
            })
          }
        }
      }
    })
  }

  #checked(
    type: ObjectType,
    sent: Readonly<Record<string, unknown>>,
    record: SalesforceRecord | undefined,
  ): Readonly<Record<string, Value>> {
    const values: Record<string, Value> = {}
    for (const [name, value] of Object.entries(sent)) {
      if (name === 'attributes') continue
      const field = fieldOf(type, name)
      if (field === undefined) {
        throw new SalesforceProblem(
          400,
          'INVALID_FIELD',
          `No such column '${name}' on sobject of type ${type.name}`,
        )
      }
      if (!field.writable) {
        throw new SalesforceProblem(
          400,
          'INVALID_FIELD_FOR_INSERT_UPDATE',
          `Unable to create/update fields: ${field.name}. Please check the security settings of this field and verify that it is read/write for your profile or permission set.`,
          [field.name],
        )
      }
      values[field.name] = this.#fitting(type, field, value, record)
    }
    return values
  }

  #fitting(type: ObjectType, field: Field, value: unknown, record: SalesforceRecord | undefined): Value {
    if (value === null) return null
    const wrong = () =>
      new SalesforceProblem(
        400,
        'JSON_PARSER_ERROR',
        `Cannot deserialize instance of ${field.type} from value ${JSON.stringify(value)} for field ${field.name}`,
      )
    switch (field.type) {
      case 'boolean':
        if (typeof value !== 'boolean') throw wrong()
        return value
      case 'int':
      case 'currency':
      case 'percent':
        if (typeof value !== 'number') throw wrong()
        return value
      default:
        if (typeof value !== 'string') throw wrong()
    }
    if (field.type === 'date' && (!/^\d{4}-\d\d-\d\d$/.test(value) || Number.isNaN(Date.parse(value))))
      throw wrong()
    if (field.type === 'reference') {
      const whole = value.length === 15 ? id18(value) : value
      const target = objectTypes.find(({ prefix }) => whole.startsWith(prefix))
      if (target === undefined || this.find(target, whole) === undefined) {
        throw new SalesforceProblem(
          400,
          'MALFORMED_ID',
          `${field.label}: id value of incorrect type: ${value}`,
          [field.name],
        )
      }
      return whole
    }
    if (field.externalId) {
      const other = this.findBy(type, field, value)
      if (other !== undefined && other.Id !== record?.Id) {
        throw new SalesforceProblem(
          400,
          'DUPLICATE_VALUE',
          `duplicate value found: ${field.name} duplicates value on record with id: ${other.Id}`,
        )
      }
    }
    return value
  }

  #keep(kind: string, person: Person, type: ObjectType, record: SalesforceRecord): void {
    this.#store.transaction(() => {
      this.#records.get(type.name)?.put(record.Id, record)
      this.#effects.add({
        provider: 'salesforce',
        kind,
        person: person.email,
        target: `${type.name}/${record.Id}`,
        title: titleOf(record),
      })
    })
  }

  #id(type: ObjectType): string {
    const setting = `${this.#org.key}.lastRecord`
    const next = Number(this.#store.setting(setting) ?? 4000) + 1
    this.#store.keepSetting(setting, String(next))
    let text = ''
    for (let rest = next; rest > 0; rest = Math.floor(rest / 62)) text = `${alphabet[rest % 62]}${text}`
    return id18(`${type.prefix}${this.#org.id.slice(3, 5)}${text.padStart(10, '0')}`)
  }
}

export function titleOf(record: SalesforceRecord): string {
  return String(record['Name'] ?? record['Subject'] ?? record.Id)
}

/** As Salesforce writes a moment: `2026-11-23T09:30:00.000+0000`. */
export function stamp(at: Date): string {
  return at.toISOString().replace('Z', '+0000')
}

function typeNamed(name: string): ObjectType {
  const type = objectTypeOf(name)
  if (type === undefined) throw new Error(`There is no ${name}.`)
  return type
}

/** Fields that follow from others. */
function derived(type: ObjectType, record: SalesforceRecord): SalesforceRecord {
  if (type.name === 'Contact') {
    return { ...record, Name: [record['FirstName'], record['LastName']].filter(Boolean).join(' ') }
  }
  if (type.name === 'Opportunity') {
    const stage = String(record['StageName'])
    return { ...record, IsClosed: stage.startsWith('Closed'), IsWon: stage === 'Closed Won' }
  }
  return record
}

function userRecord(person: Person): SalesforceRecord {
  return {
    Id: userIdOf(person),
    Name: person.name,
    FirstName: person.givenName,
    LastName: person.familyName,
    Username: person.email,
    Email: person.email,
    IsActive: true,
    CreatedDate: '2024-02-01T09:00:00.000+0000',
  }
}
