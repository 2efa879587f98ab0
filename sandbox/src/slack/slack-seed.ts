export interface SeedChannel {
  readonly id: string
  readonly name: string
  readonly topic: string
  readonly purpose: string
  readonly isPrivate: boolean
  readonly isArchived?: boolean
  readonly creator: string
  /** Keys of people; `atom` is the app. */
  readonly members: readonly string[]
}

export const seedChannels: readonly SeedChannel[] = [
  {
    id: 'C0GENERAL',
    name: 'general',
    topic: 'Company news',
    purpose: 'What everybody should know',
    isPrivate: false,
    creator: 'ada',
    members: ['ada', 'grace', 'katherine', 'atom'],
  },
  {
    id: 'C0ENGINEE',
    name: 'engineering',
    topic: 'Releases on Thursdays',
    purpose: 'How it is built',
    isPrivate: false,
    creator: 'grace',
    members: ['ada', 'grace', 'atom'],
  },
  {
    id: 'C0CUSTOME',
    name: 'customers',
    topic: 'Who said what',
    purpose: 'What customers tell us',
    isPrivate: false,
    creator: 'ada',
    members: ['ada', 'katherine'],
  },
  {
    id: 'C0RANDOM0',
    name: 'random',
    topic: '',
    purpose: 'Everything else',
    isPrivate: false,
    creator: 'grace',
    members: ['ada', 'grace', 'katherine'],
  },
  {
    id: 'C0LAUNCH1',
    name: 'launch-2025',
    topic: '',
    purpose: 'Done, and well done',
    isPrivate: false,
    isArchived: true,
    creator: 'ada',
    members: ['ada', 'grace', 'katherine'],
  },
  {
    id: 'G0FINANCE',
    name: 'finance',
    topic: 'Books close on the 3rd',
    purpose: 'Invoices and salaries',
    isPrivate: true,
    creator: 'katherine',
    members: ['ada', 'katherine'],
  },
]

/** Channel, person, minutes ago, text, and how many messages before (in the list) it answers, in a thread. */
export type SeedMessage = readonly [
  channel: string,
  author: string,
  minutesAgo: number,
  text: string,
  answers?: number,
]

export const seedMessages: readonly SeedMessage[] = [
  ['general', 'ada', 4320, 'Welcome, Katherine! Say hello when you find the coffee machine.'],
  ['general', 'katherine', 4300, 'Found it. Its display is off by one.'],
  ['general', 'ada', 1500, 'The importer ships this week, without the preview. Notes are in Notion.'],
  ['general', 'grace', 1490, 'I will watch the error rate on Thursday afternoon.', 1],
  ['general', 'katherine', 1470, 'And I the invoices.', 2],
  ['general', 'ada', 180, 'Northwind wants 120 more seats. Contract is out.'],
  [
    'engineering',
    'grace',
    2900,
    'The nightly export ran twice. Lock expired before the work was done; issue 42.',
  ],
  ['engineering', 'ada', 2880, 'Does it harm anybody?', 1],
  ['engineering', 'grace', 2875, 'No, the second run found its own result. I still do not like it.', 2],
  ['engineering', 'grace', 400, 'Sync of large calendars is down from 9 s to 1.2 s on my branch.'],
  ['engineering', 'ada', 390, 'What did you take away?'],
  ['engineering', 'grace', 385, 'One query per event.'],
  ['customers', 'katherine', 2000, 'Bletchley asks for an invoice per site. That makes 14.'],
  ['customers', 'ada', 1950, 'Hedy liked the pilot; second call on Wednesday.'],
  ['random', 'grace', 900, 'Whoever put a moth into the lab book: it is taped in, thank you.'],
  ['finance', 'katherine', 600, 'One cent is missing in October. I know where it is.'],
  ['launch-2025', 'ada', 200_000, 'We are live.'],
]
