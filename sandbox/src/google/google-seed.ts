/** An event of the week that Monday begins: day 0 is that Monday, hours are local. */
export interface SeedEvent {
  readonly id: string
  readonly day: number
  /** Hour and minute; undefined for an all-day event. */
  readonly from?: readonly [hour: number, minute: number]
  readonly minutes?: number
  readonly summary: string
  readonly description?: string
  readonly location?: string
  readonly organizer: string
  readonly attendees: readonly string[]
}

/** Two weeks in the life of Atom Labs. Ids are base32hex, as Google wants them. */
export const seedEvents: readonly SeedEvent[] = [
  ...[0, 1, 2, 3, 4, 7, 8, 9, 10, 11].map((day) => ({
    id: `standup${String(day).padStart(2, '0')}`,
    day,
    from: [9, 30] as const,
    minutes: 15,
    summary: 'Stand-up',
    organizer: 'ada',
    attendees: ['ada', 'grace', 'katherine'],
  })),
  {
    id: 'planning00',
    day: 0,
    from: [11, 0],
    minutes: 60,
    summary: 'Weekly planning',
    description: 'What ships this week, and what does not.',
    location: 'Room Analytical',
    organizer: 'ada',
    attendees: ['ada', 'grace', 'katherine'],
  },
  {
    id: 'invoices01',
    day: 1,
    from: [14, 0],
    minutes: 45,
    summary: 'Invoice rounding, with finance',
    description: 'One cent. See atom-labs/app#30.',
    organizer: 'katherine',
    attendees: ['katherine', 'grace'],
  },
  {
    id: 'onetoone01',
    day: 1,
    from: [16, 0],
    minutes: 30,
    summary: 'Ada and Grace',
    organizer: 'ada',
    attendees: ['ada', 'grace'],
  },
  {
    id: 'customer02',
    day: 2,
    from: [10, 0],
    minutes: 60,
    summary: 'Customer call: Northwind',
    description: 'They want single sign-on before they sign.',
    location: 'Video',
    organizer: 'ada',
    attendees: ['ada', 'katherine'],
  },
  {
    id: 'design02',
    day: 2,
    from: [15, 0],
    minutes: 60,
    summary: 'Design review: reports page',
    organizer: 'ada',
    attendees: ['ada', 'katherine'],
  },
  {
    id: 'restore03',
    day: 3,
    from: [13, 0],
    minutes: 90,
    summary: 'Restore drill',
    description: 'Bring back Tuesday from the backup, on paper and for real.',
    organizer: 'grace',
    attendees: ['grace', 'katherine'],
  },
  {
    id: 'lunch03',
    day: 3,
    from: [12, 0],
    minutes: 60,
    summary: 'Lunch with Mary',
    location: 'The Difference',
    organizer: 'ada',
    attendees: ['ada'],
  },
  {
    id: 'demo04',
    day: 4,
    from: [15, 30],
    minutes: 45,
    summary: 'Friday demo',
    organizer: 'grace',
    attendees: ['ada', 'grace', 'katherine'],
  },
  {
    id: 'holiday08',
    day: 8,
    summary: 'Grace away',
    organizer: 'grace',
    attendees: ['grace', 'ada', 'katherine'],
  },
  {
    id: 'planning07',
    day: 7,
    from: [11, 0],
    minutes: 60,
    summary: 'Weekly planning',
    location: 'Room Analytical',
    organizer: 'ada',
    attendees: ['ada', 'grace', 'katherine'],
  },
  {
    id: 'security09',
    day: 9,
    from: [14, 0],
    minutes: 60,
    summary: 'Security review: two-factor drift',
    organizer: 'grace',
    attendees: ['grace', 'ada'],
  },
  {
    id: 'board10',
    day: 10,
    from: [10, 0],
    minutes: 120,
    summary: 'Board meeting',
    location: 'Room Difference',
    organizer: 'ada',
    attendees: ['ada'],
  },
  {
    id: 'demo11',
    day: 11,
    from: [15, 30],
    minutes: 45,
    summary: 'Friday demo',
    organizer: 'grace',
    attendees: ['ada', 'grace', 'katherine'],
  },
]
