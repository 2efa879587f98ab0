/** The directory of Atom Labs, and what its people are called there. */
export const tenant = {
  id: '6f0d2c4e-9a1b-4c57-8d3e-51f0a7c2b984',
  domain: 'atom-labs.example',
  name: 'Atom Labs',
} as const

export interface DirectoryPerson {
  /** The object id: the same for every app, the person's key together with the tenant. */
  readonly oid: string
  /** Pairwise at Entra: only this app knows the person by it. */
  readonly sub: string
  readonly jobTitle: string
  readonly officeLocation: string
  readonly mobilePhone: string | null
}

export const directory: Readonly<Record<string, DirectoryPerson>> = {
  ada: {
    oid: '0ada1815-1210-4a51-9c3d-7f1e2b3c4d51',
    sub: 'AdaQ3x1815pZkS0vT7mYw2rLb9NcUeHfJgK4iOaXd6E',
    jobTitle: 'Head of Product',
    officeLocation: 'London/2.14',
    mobilePhone: '+44 20 7946 0181',
  },
  grace: {
    oid: '0a7ace19-0612-49b6-8e21-6a5b4c3d2e1f',
    sub: 'GrcH9k1906vBnM2xQ5tRj7yWz4LpDsFaVuC3oEgIl8Y',
    jobTitle: 'Principal Engineer',
    officeLocation: 'Arlington/4.02',
    mobilePhone: '+1 202 555 0106',
  },
  katherine: {
    oid: '0ca7e191-8082-4b6f-a9d4-3c2b1a0f9e8d',
    sub: 'KthJ2w1918cXfG8sP1hTq6nVb3MzRyLdKoA5uEiYj0U',
    jobTitle: 'Head of Analytics',
    officeLocation: 'Hampton/1.07',
    mobilePhone: null,
  },
}

export interface SeedMessage {
  readonly from: string
  readonly to: readonly string[]
  readonly subject: string
  readonly body: string
  readonly hoursAgo: number
  readonly unread?: boolean
  readonly important?: boolean
  readonly conversation: string
}

/** Mail between the people, and from customers (whose sender is written out). */
export const seedMessages: readonly SeedMessage[] = [
  {
    from: 'grace',
    to: ['ada'],
    subject: 'Restore drill on Thursday',
    body: 'I would like to bring back Tuesday from the backup, for real this time. Ninety minutes, 13:00. Can you be there to time it?',
    hoursAgo: 3,
    unread: true,
    conversation: 'restore',
  },
  {
    from: 'Olivia Brandt <olivia.brandt@northwind.example>',
    to: ['ada', 'katherine'],
    subject: 'Single sign-on before we sign',
    body: 'Our security team needs SAML or OpenID Connect before we can sign the renewal. Is the date you gave us (12 December) still good?',
    hoursAgo: 6,
    unread: true,
    important: true,
    conversation: 'northwind',
  },
  {
    from: 'katherine',
    to: ['ada', 'grace'],
    subject: 'The one-cent difference, found',
    body: 'Rounding happens per line in the invoice and once in the ledger. Details in atom-labs/app#30. I checked 14 months: it never goes beyond one cent.',
    hoursAgo: 20,
    conversation: 'cent',
  },
  {
    from: 'ada',
    to: ['katherine'],
    subject: 'Re: The one-cent difference, found',
    body: 'Thank you. Let us round per line everywhere; I will tell finance.',
    hoursAgo: 19,
    conversation: 'cent',
  },
  {
    from: 'Billing <billing@contoso-cloud.example>',
    to: ['grace'],
    subject: 'Your invoice for October: 4 218.60 EUR',
    body: 'The invoice for account AL-2077 is attached. It will be charged on the 28th.',
    hoursAgo: 44,
    conversation: 'contoso',
  },
  {
    from: 'ada',
    to: ['grace', 'katherine'],
    subject: 'What ships this week',
    body: 'Reports page, the export fix, and nothing else. Everything that is not these two waits for Monday.',
    hoursAgo: 50,
    conversation: 'week',
  },
  {
    from: 'Samuel Osei <samuel.osei@fabrikam.example>',
    to: ['katherine'],
    subject: 'Numbers for the case study',
    body: 'We saved 31 hours a month since the roll-out. You may use that, with our logo.',
    hoursAgo: 71,
    unread: true,
    conversation: 'fabrikam',
  },
  {
    from: 'grace',
    to: ['katherine'],
    subject: 'Two-factor drift',
    body: 'Eleven accounts lost their second factor since summer. List is in the security folder; review is on the calendar.',
    hoursAgo: 96,
    conversation: 'drift',
  },
]

export interface SeedMeeting {
  readonly day: number
  readonly from: readonly [hour: number, minute: number]
  readonly minutes: number
  readonly subject: string
  readonly location?: string
  readonly body?: string
  readonly organizer: string
  readonly attendees: readonly string[]
}

/** The week that Monday begins; hours are UTC. */
export const seedMeetings: readonly SeedMeeting[] = [
  ...[0, 1, 2, 3, 4].map((day) => ({
    day,
    from: [9, 30] as const,
    minutes: 15,
    subject: 'Stand-up',
    organizer: 'ada',
    attendees: ['ada', 'grace', 'katherine'],
  })),
  {
    day: 1,
    from: [14, 0],
    minutes: 45,
    subject: 'Invoice rounding, with finance',
    location: 'Room Analytical',
    organizer: 'katherine',
    attendees: ['katherine', 'grace'],
  },
  {
    day: 2,
    from: [10, 0],
    minutes: 60,
    subject: 'Customer call: Northwind',
    body: 'They want single sign-on before they sign.',
    organizer: 'ada',
    attendees: ['ada', 'katherine'],
  },
  {
    day: 3,
    from: [13, 0],
    minutes: 90,
    subject: 'Restore drill',
    location: 'Room Difference',
    organizer: 'grace',
    attendees: ['grace', 'ada'],
  },
  {
    day: 4,
    from: [15, 30],
    minutes: 45,
    subject: 'Friday demo',
    organizer: 'grace',
    attendees: ['ada', 'grace', 'katherine'],
  },
]
