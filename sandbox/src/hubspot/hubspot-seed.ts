export interface SeedContact {
  readonly first: string
  readonly last: string
  readonly company: string
  readonly job: string
  /** Person in the sandbox who looks after them. */
  readonly owner: string
  readonly stage: 'lead' | 'marketingqualifiedlead' | 'opportunity' | 'customer'
  /** Days before today they were made. */
  readonly age: number
}

export const seedContacts: readonly SeedContact[] = [
  {
    first: 'Margaret',
    last: 'Hamilton',
    company: 'Northwind',
    job: 'Director of Operations',
    owner: 'ada',
    stage: 'customer',
    age: 212,
  },
  {
    first: 'Dorothy',
    last: 'Vaughan',
    company: 'Northwind',
    job: 'Head of IT',
    owner: 'ada',
    stage: 'customer',
    age: 209,
  },
  {
    first: 'Hedy',
    last: 'Lamarr',
    company: 'Contoso Radio',
    job: 'Founder',
    owner: 'grace',
    stage: 'opportunity',
    age: 64,
  },
  {
    first: 'Joan',
    last: 'Clarke',
    company: 'Bletchley Logistics',
    job: 'Procurement',
    owner: 'grace',
    stage: 'opportunity',
    age: 51,
  },
  {
    first: 'Radia',
    last: 'Perlman',
    company: 'Spanning Networks',
    job: 'Chief Engineer',
    owner: 'ada',
    stage: 'customer',
    age: 180,
  },
  {
    first: 'Barbara',
    last: 'Liskov',
    company: 'Substitute & Sons',
    job: 'Managing Director',
    owner: 'katherine',
    stage: 'customer',
    age: 143,
  },
  {
    first: 'Frances',
    last: 'Allen',
    company: 'Fabrikam',
    job: 'VP Engineering',
    owner: 'grace',
    stage: 'marketingqualifiedlead',
    age: 22,
  },
  {
    first: 'Karen',
    last: 'Spärck Jones',
    company: 'Adventure Search',
    job: 'Head of Research',
    owner: 'ada',
    stage: 'opportunity',
    age: 37,
  },
  {
    first: 'Mary',
    last: 'Jackson',
    company: 'Hampton Tunnels',
    job: 'Engineer',
    owner: 'katherine',
    stage: 'lead',
    age: 9,
  },
  {
    first: 'Annie',
    last: 'Easley',
    company: 'Centaur Energy',
    job: 'Analyst',
    owner: 'katherine',
    stage: 'lead',
    age: 6,
  },
  {
    first: 'Evelyn',
    last: 'Boyd Granville',
    company: 'Orbit Travel',
    job: 'CFO',
    owner: 'katherine',
    stage: 'marketingqualifiedlead',
    age: 18,
  },
  {
    first: 'Sophie',
    last: 'Wilson',
    company: 'Fabrikam',
    job: 'Architect',
    owner: 'grace',
    stage: 'lead',
    age: 3,
  },
]

export interface SeedDeal {
  readonly name: string
  readonly amount: number
  readonly stage:
    | 'appointmentscheduled'
    | 'qualifiedtobuy'
    | 'presentationscheduled'
    | 'contractsent'
    | 'closedwon'
    | 'closedlost'
  readonly owner: string
  readonly age: number
  /** Days from today it is to be closed; before today where it is closed. */
  readonly closes: number
  readonly kind: 'newbusiness' | 'existingbusiness'
}

export const seedDeals: readonly SeedDeal[] = [
  {
    name: 'Northwind: 120 more seats',
    amount: 28_800,
    stage: 'contractsent',
    owner: 'ada',
    age: 40,
    closes: 7,
    kind: 'existingbusiness',
  },
  {
    name: 'Contoso Radio: pilot',
    amount: 6000,
    stage: 'presentationscheduled',
    owner: 'grace',
    age: 31,
    closes: 21,
    kind: 'newbusiness',
  },
  {
    name: 'Bletchley Logistics: company-wide',
    amount: 54_000,
    stage: 'qualifiedtobuy',
    owner: 'grace',
    age: 25,
    closes: 45,
    kind: 'newbusiness',
  },
  {
    name: 'Adventure Search: research desk',
    amount: 9600,
    stage: 'appointmentscheduled',
    owner: 'ada',
    age: 12,
    closes: 38,
    kind: 'newbusiness',
  },
  {
    name: 'Spanning Networks: renewal',
    amount: 18_000,
    stage: 'contractsent',
    owner: 'ada',
    age: 29,
    closes: 4,
    kind: 'existingbusiness',
  },
  {
    name: 'Substitute & Sons: first year',
    amount: 12_000,
    stage: 'closedwon',
    owner: 'katherine',
    age: 140,
    closes: -98,
    kind: 'newbusiness',
  },
  {
    name: 'Northwind: first 40 seats',
    amount: 9600,
    stage: 'closedwon',
    owner: 'ada',
    age: 210,
    closes: -175,
    kind: 'newbusiness',
  },
  {
    name: 'Fabrikam: proof of concept',
    amount: 3000,
    stage: 'appointmentscheduled',
    owner: 'grace',
    age: 5,
    closes: 60,
    kind: 'newbusiness',
  },
  {
    name: 'Hampton Tunnels: monitoring',
    amount: 7200,
    stage: 'closedlost',
    owner: 'katherine',
    age: 90,
    closes: -30,
    kind: 'newbusiness',
  },
]
