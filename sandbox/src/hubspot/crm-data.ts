import type { Effects } from '../effects.ts'
import type { Person } from '../people.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { Collection, SandboxStore } from '../sandbox-store.ts'
import { ownerId } from './hubspot-hub.ts'
import { seedContacts, seedDeals } from './hubspot-seed.ts'

export type CrmType = 'contacts' | 'deals'

/** A record of the CRM. HubSpot keeps and answers every property as text. */
export interface CrmRecord {
  readonly id: string
  readonly type: CrmType
  readonly properties: Readonly<Record<string, string>>
  readonly createdAt: string
  readonly updatedAt: string
  readonly archivedAt: string | undefined
}

/** What each type knows, and what is answered where nothing is asked for. */
export const crmSchemas = {
  contacts: {
    singular: 'contact',
    properties: [
      ...['email', 'firstname', 'lastname', 'phone', 'company', 'jobtitle', 'website', 'city', 'country'],
      ...['lifecyclestage', 'hs_lead_status', 'hubspot_owner_id'],
    ],
    usual: ['createdate', 'email', 'firstname', 'hs_object_id', 'lastmodifieddate', 'lastname'],
    modified: 'lastmodifieddate',
    title: ({ firstname, lastname, email }: Readonly<Record<string, string>>) =>
      [firstname, lastname].filter(Boolean).join(' ') || (email ?? ''),
    searched: ['email', 'firstname', 'lastname', 'phone', 'company'],
  },
  deals: {
    singular: 'deal',
    properties: [
      ...['dealname', 'amount', 'dealstage', 'pipeline', 'closedate', 'dealtype', 'description'],
      ...['hubspot_owner_id', 'hs_priority'],
    ],
    usual: [
      'amount',
      'closedate',
      'createdate',
      'dealname',
      'dealstage',
      'hs_lastmodifieddate',
      'hs_object_id',
      'pipeline',
    ],
    modified: 'hs_lastmodifieddate',
    title: ({ dealname }: Readonly<Record<string, string>>) => dealname ?? '',
    searched: ['dealname', 'description'],
  },
} as const

export const dealStages = [
  ...['appointmentscheduled', 'qualifiedtobuy', 'presentationscheduled', 'decisionmakerboughtin'],
  ...['contractsent', 'closedwon', 'closedlost'],
]

const day = 86_400_000

/** The contacts and deals of the one account. */
export class CrmData {
  readonly #store: SandboxStore
  readonly #clock: SandboxClock
  readonly #effects: Effects
  readonly #records: Readonly<Record<CrmType, Collection<CrmRecord>>>

  constructor(dependencies: { store: SandboxStore; clock: SandboxClock; effects: Effects }) {
    this.#store = dependencies.store
    this.#clock = dependencies.clock
    this.#effects = dependencies.effects
    this.#records = {
      contacts: this.#store.collection('hubspot', 'contacts'),
      deals: this.#store.collection('hubspot', 'deals'),
    }
    if (this.#records.contacts.list().length === 0) this.seed()
  }

  list(type: CrmType, archived: boolean): CrmRecord[] {
    return this.#records[type].list().filter(({ archivedAt }) => (archivedAt !== undefined) === archived)
  }

  find(type: CrmType, id: string): CrmRecord | undefined {
    return this.#records[type].get(id)
  }

  contactByEmail(email: string): CrmRecord | undefined {
    const wanted = email.toLowerCase()
    return this.list('contacts', false).find(({ properties }) => properties['email'] === wanted)
  }

  create(person: Person, type: CrmType, properties: Readonly<Record<string, string>>): CrmRecord {
    const now = this.#clock.now().toISOString()
    const record = recorded(type, this.#nextId(), properties, now)
    return this.#keep('created', person, record)
  }

  change(person: Person, record: CrmRecord, properties: Readonly<Record<string, string>>): CrmRecord {
    const updatedAt = this.#clock.now().toISOString()
    return this.#keep('changed', person, {
      ...record,
      updatedAt,
      properties: { ...record.properties, ...properties, [crmSchemas[record.type].modified]: updatedAt },
    })
  }

  archive(person: Person, record: CrmRecord): void {
    this.#keep('archived', person, { ...record, archivedAt: this.#clock.now().toISOString() })
  }

  /** The first day again. */
  seed(): void {
    const today = this.#clock.now().getTime()
    const ago = (days: number) => new Date(today - days * day).toISOString()
    this.#store.transaction(() => {
      this.#records.contacts.clear()
      this.#records.deals.clear()
      this.#store.keepSetting('hubspot.lastId', '51000000')
      for (const { first, last, company, job, owner, stage, age } of seedContacts) {
        const plain = (words: string) =>
          words
            .normalize('NFD')
            .replace(/[^\w]+/g, '')
            .toLowerCase()
        this.#put(
          recorded(
            'contacts',
            this.#nextId(),
            {
              email: `${plain(first)}.${plain(last)}@${plain(company)}.example`,
              firstname: first,
              lastname: last,
              company,
              jobtitle: job,
              lifecyclestage: stage,
              hubspot_owner_id: ownerId(owner),
              website: `${plain(company)}.example`,
            },
            ago(age),
          ),
        )
      }
      for (const { name, amount, stage, owner, age, closes, kind } of seedDeals) {
        this.#put(
          recorded(
            'deals',
            this.#nextId(),
            {
              dealname: name,
              amount: String(amount),
              dealstage: stage,
              pipeline: 'default',
              closedate: ago(-closes),
              dealtype: kind,
              hubspot_owner_id: ownerId(owner),
            },
            ago(age),
          ),
        )
      }
    })
  }

  #nextId(): string {
    const id = String(Number(this.#store.setting('hubspot.lastId') ?? '51000000') + 1)
    this.#store.keepSetting('hubspot.lastId', id)
    return id
  }

  #keep(deed: 'created' | 'changed' | 'archived', person: Person, record: CrmRecord): CrmRecord {
    const { singular, title } = crmSchemas[record.type]
    this.#store.transaction(() => {
      this.#put(record)
      this.#effects.add({
        provider: 'hubspot',
        kind: `${singular}.${deed}`,
        person: person.email,
        target: record.id,
        title: title(record.properties),
      })
    })
    return record
  }

  #put(record: CrmRecord): void {
    this.#records[record.type].put(record.id, record)
  }
}

function recorded(
  type: CrmType,
  id: string,
  properties: Readonly<Record<string, string>>,
  at: string,
): CrmRecord {
  return {
    id,
    type,
    properties: { ...properties, createdate: at, [crmSchemas[type].modified]: at, hs_object_id: id },
    createdAt: at,
    updatedAt: at,
    archivedAt: undefined,
  }
}

/** HubSpot's page of a record lies below the account's number. */
export function recordPath(record: CrmRecord): string {
  return `/hubspot/contacts/record/${record.type}/${record.id}`
}
