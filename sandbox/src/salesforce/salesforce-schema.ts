export type FieldType =
  | 'id'
  | 'string'
  | 'textarea'
  | 'email'
  | 'phone'
  | 'url'
  | 'picklist'
  | 'currency'
  | 'int'
  | 'percent'
  | 'boolean'
  | 'date'
  | 'datetime'
  | 'reference'

export interface Field {
  readonly name: string
  readonly label: string
  readonly type: FieldType
  readonly required: boolean
  /** May be set by who calls. */
  readonly writable: boolean
  readonly externalId: boolean
  readonly refersTo: string | undefined
  /** The name one reaches through, e.g. `Account` for `AccountId`. */
  readonly relationship: string | undefined
  readonly values: readonly string[]
}

export interface ObjectType {
  readonly name: string
  readonly label: string
  readonly plural: string
  /** The first three characters of its ids. */
  readonly prefix: string
  readonly writable: boolean
  readonly fields: readonly Field[]
}

type Extra = Partial<Omit<Field, 'name' | 'label' | 'type'>>

function field(name: string, label: string, type: FieldType, extra: Extra = {}): Field {
  return {
    name,
    label,
    type,
    required: false,
    writable: true,
    externalId: false,
    refersTo: undefined,
    relationship: undefined,
    values: [],
    ...extra,
  }
}

function reference(name: string, label: string, refersTo: string, relationship: string, extra: Extra = {}) {
  return field(name, label, 'reference', { refersTo, relationship, ...extra })
}

const readOnly = { writable: false }
const system = [
  field('Id', 'Record ID', 'id', readOnly),
  field('IsDeleted', 'Deleted', 'boolean', readOnly),
  field('CreatedDate', 'Created Date', 'datetime', readOnly),
  reference('CreatedById', 'Created By ID', 'User', 'CreatedBy', readOnly),
  field('LastModifiedDate', 'Last Modified Date', 'datetime', readOnly),
  field('SystemModstamp', 'System Modstamp', 'datetime', readOnly),
]
const owner = reference('OwnerId', 'Owner ID', 'User', 'Owner')
const externalId = field('External_Id__c', 'External Id', 'string', { externalId: true })

/** The standard objects of a sales org, with one custom external id each, as far as there is data. */
export const objectTypes: readonly ObjectType[] = [
  {
    name: 'Account',
    label: 'Account',
    plural: 'Accounts',
    prefix: '001',
    writable: true,
    fields: [
      ...system,
      owner,
      field('Name', 'Account Name', 'string', { required: true }),
      field('Type', 'Account Type', 'picklist', {
        values: ['Prospect', 'Customer - Direct', 'Customer - Channel', 'Partner', 'Other'],
      }),
      field('Industry', 'Industry', 'picklist', {
        values: [
          'Banking',
          'Energy',
          'Healthcare',
          'Manufacturing',
          'Retail',
          'Technology',
          'Transportation',
        ],
      }),
      field('Website', 'Website', 'url'),
      field('Phone', 'Account Phone', 'phone'),
      field('BillingCity', 'Billing City', 'string'),
      field('BillingCountry', 'Billing Country', 'string'),
      field('AnnualRevenue', 'Annual Revenue', 'currency'),
      field('NumberOfEmployees', 'Employees', 'int'),
      field('Description', 'Account Description', 'textarea'),
      externalId,
    ],
  },
  {
    name: 'Contact',
    label: 'Contact',
    plural: 'Contacts',
    prefix: '003',
    writable: true,
    fields: [
      ...system,
      owner,
      reference('AccountId', 'Account ID', 'Account', 'Account'),
      field('FirstName', 'First Name', 'string'),
      field('LastName', 'Last Name', 'string', { required: true }),
      field('Name', 'Full Name', 'string', readOnly),
      field('Title', 'Title', 'string'),
      field('Email', 'Email', 'email'),
      field('Phone', 'Business Phone', 'phone'),
      externalId,
    ],
  },
  {
    name: 'Opportunity',
    label: 'Opportunity',
    plural: 'Opportunities',
    prefix: '006',
    writable: true,
    fields: [
      ...system,
      owner,
      reference('AccountId', 'Account ID', 'Account', 'Account'),
      field('Name', 'Name', 'string', { required: true }),
      field('StageName', 'Stage', 'picklist', {
        required: true,
        values: [
          'Prospecting',
          'Qualification',
          'Proposal/Price Quote',
          'Negotiation/Review',
          'Closed Won',
          'Closed Lost',
        ],
      }),
      field('CloseDate', 'Close Date', 'date', { required: true }),
      field('Amount', 'Amount', 'currency'),
      field('Probability', 'Probability (%)', 'percent'),
      field('NextStep', 'Next Step', 'string'),
      field('IsClosed', 'Closed', 'boolean', readOnly),
      field('IsWon', 'Won', 'boolean', readOnly),
      externalId,
    ],
  },
  {
    name: 'Task',
    label: 'Task',
    plural: 'Tasks',
    prefix: '00T',
    writable: true,
    fields: [
      ...system,
      owner,
      reference('WhoId', 'Name ID', 'Contact', 'Who'),
      reference('WhatId', 'Related To ID', 'Opportunity', 'What'),
      field('Subject', 'Subject', 'string'),
      field('Status', 'Status', 'picklist', {
        values: ['Not Started', 'In Progress', 'Completed', 'Waiting on someone else', 'Deferred'],
      }),
      field('Priority', 'Priority', 'picklist', { values: ['High', 'Normal', 'Low'] }),
      field('ActivityDate', 'Due Date Only', 'date'),
      field('Description', 'Description', 'textarea'),
    ],
  },
  {
    name: 'User',
    label: 'User',
    plural: 'Users',
    prefix: '005',
    writable: false,
    fields: [
      field('Id', 'User ID', 'id', readOnly),
      field('Name', 'Full Name', 'string', readOnly),
      field('FirstName', 'First Name', 'string', readOnly),
      field('LastName', 'Last Name', 'string', readOnly),
      field('Username', 'Username', 'string', readOnly),
      field('Email', 'Email', 'email', readOnly),
      field('IsActive', 'Active', 'boolean', readOnly),
      field('CreatedDate', 'Created Date', 'datetime', readOnly),
    ],
  },
]

/** Names in any case, as Salesforce takes them. */
export function objectTypeOf(name: string): ObjectType | undefined {
  return objectTypes.find((type) => type.name.toLowerCase() === name.toLowerCase())
}

export function fieldOf(type: ObjectType, name: string): Field | undefined {
  return type.fields.find((each) => each.name.toLowerCase() === name.toLowerCase())
}
