export interface SeedContact {
  readonly first: string
  readonly last: string
  readonly title: string
}

export interface SeedOpportunity {
  readonly name: string
  readonly stage: string
  readonly amount: number
  readonly probability: number
  /** Days from today. */
  readonly closeDays: number
  readonly next?: string
  readonly tasks?: readonly (readonly [subject: string, priority: string, dueDays: number])[]
}

export interface SeedAccount {
  readonly name: string
  readonly type: string
  readonly industry: string
  readonly city: string
  readonly country: string
  readonly site: string
  readonly phone: string
  readonly revenue: number
  readonly employees: number
  readonly owner: string
  readonly contacts: readonly SeedContact[]
  readonly opportunities: readonly SeedOpportunity[]
}

export const seedAccounts: readonly SeedAccount[] = [
  {
    name: 'Northwind Traders',
    type: 'Customer - Direct',
    industry: 'Retail',
    city: 'Hamburg',
    country: 'Germany',
    site: 'https://northwind.example',
    phone: '+49 40 5550 1180',
    revenue: 84_000_000,
    employees: 410,
    owner: 'ada',
    contacts: [
      { first: 'Olivia', last: 'Brandt', title: 'Head of IT Security' },
      { first: 'Henrik', last: 'Voss', title: 'Chief Financial Officer' },
    ],
    opportunities: [
      {
        name: 'Northwind renewal 2027',
        stage: 'Negotiation/Review',
        amount: 96_000,
        probability: 80,
        closeDays: 19,
        next: 'Single sign-on by 12 December',
        tasks: [
          ['Send the security questionnaire', 'High', 1],
          ['Ask Henrik about the purchase order', 'Normal', 6],
        ],
      },
    ],
  },
  {
    name: 'Fabrikam Logistics',
    type: 'Customer - Direct',
    industry: 'Transportation',
    city: 'Rotterdam',
    country: 'Netherlands',
    site: 'https://fabrikam.example',
    phone: '+31 10 555 0142',
    revenue: 212_000_000,
    employees: 1_900,
    owner: 'katherine',
    contacts: [
      { first: 'Samuel', last: 'Osei', title: 'Operations Director' },
      { first: 'Mirthe', last: 'de Boer', title: 'Data Lead' },
    ],
    opportunities: [
      {
        name: 'Fabrikam: second warehouse',
        stage: 'Proposal/Price Quote',
        amount: 58_500,
        probability: 55,
        closeDays: 40,
        next: 'Price for 120 seats',
        tasks: [['Import 31 000 records', 'High', 0]],
      },
      { name: 'Fabrikam pilot', stage: 'Closed Won', amount: 14_000, probability: 100, closeDays: -62 },
    ],
  },
  {
    name: 'Contoso Energy',
    type: 'Prospect',
    industry: 'Energy',
    city: 'Aberdeen',
    country: 'United Kingdom',
    site: 'https://contoso-energy.example',
    phone: '+44 1224 550 177',
    revenue: 1_300_000_000,
    employees: 8_200,
    owner: 'ada',
    contacts: [{ first: 'Fiona', last: 'MacLeod', title: 'VP Digital' }],
    opportunities: [
      {
        name: 'Contoso field teams',
        stage: 'Qualification',
        amount: 240_000,
        probability: 25,
        closeDays: 95,
        next: 'Answer the questionnaire, 212 questions',
      },
    ],
  },
  {
    name: 'Tailspin Clinics',
    type: 'Prospect',
    industry: 'Healthcare',
    city: 'Lyon',
    country: 'France',
    site: 'https://tailspin.example',
    phone: '+33 4 55 50 11 90',
    revenue: 37_000_000,
    employees: 260,
    owner: 'grace',
    contacts: [{ first: 'Camille', last: 'Aubert', title: 'Medical Director' }],
    opportunities: [
      {
        name: 'Tailspin rota planning',
        stage: 'Prospecting',
        amount: 21_000,
        probability: 10,
        closeDays: 70,
      },
      { name: 'Tailspin archive', stage: 'Closed Lost', amount: 9_500, probability: 0, closeDays: -30 },
    ],
  },
  {
    name: 'Wide World Importers',
    type: 'Customer - Channel',
    industry: 'Manufacturing',
    city: 'Porto',
    country: 'Portugal',
    site: 'https://wideworld.example',
    phone: '+351 22 555 0166',
    revenue: 61_000_000,
    employees: 340,
    owner: 'grace',
    contacts: [{ first: 'Rui', last: 'Ferreira', title: 'Plant Manager' }],
    opportunities: [
      {
        name: 'Wide World quality reports',
        stage: 'Negotiation/Review',
        amount: 33_000,
        probability: 70,
        closeDays: 12,
        next: 'Contract is with their lawyers',
      },
    ],
  },
]
