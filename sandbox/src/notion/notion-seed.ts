/** A line of a page: its type, then its text. */
export type SeedBlock = readonly [type: SeedBlockType, text: string, checked?: boolean]
type SeedBlockType =
  | 'heading_2'
  | 'paragraph'
  | 'bulleted_list_item'
  | 'numbered_list_item'
  | 'to_do'
  | 'quote'
  | 'divider'

export interface SeedPage {
  readonly key: string
  readonly title: string
  readonly icon: string
  readonly author: string
  readonly blocks: readonly SeedBlock[]
  readonly children?: readonly SeedPage[]
}

/** The pages at the top of the workspace: what a person shares with an app, each with everything below it. */
export const seedRoots: readonly (SeedPage & { readonly shared: string })[] = [
  {
    key: 'roadmap',
    title: 'Product roadmap',
    icon: '🗺️',
    author: 'ada',
    shared: 'Product roadmap, and its database of plans',
    blocks: [
      ['paragraph', 'What we build next, and what we have decided not to build.'],
      ['quote', 'A smaller thing that is true beats a larger one that is half there.'],
    ],
  },
  {
    key: 'meetings',
    title: 'Meeting notes',
    icon: '📝',
    author: 'katherine',
    shared: 'Meeting notes, all of them',
    blocks: [['paragraph', 'One page per meeting. Decisions first.']],
    children: [
      {
        key: 'planning',
        title: 'Weekly planning',
        icon: '🗓️',
        author: 'ada',
        blocks: [
          ['heading_2', 'Decided'],
          ['bulleted_list_item', 'The importer ships this week, without the preview.'],
          ['bulleted_list_item', 'Katherine checks the invoice rounding before anybody changes it.'],
          ['heading_2', 'To do'],
          ['to_do', 'Ada: tell Northwind about the importer', false],
          ['to_do', 'Grace: profile the sync of large calendars', false],
          ['to_do', 'Katherine: close the books for the month', true],
        ],
      },
      {
        key: 'retro',
        title: 'Retrospective: the outage of the export',
        icon: '🔁',
        author: 'grace',
        blocks: [
          ['heading_2', 'What happened'],
          ['paragraph', 'The export ran twice at night, because the lock expired before the work was done.'],
          ['heading_2', 'What we change'],
          ['numbered_list_item', 'The lock is held by a row with a generation.'],
          ['numbered_list_item', 'An export that runs for the second time finds its own result.'],
        ],
      },
    ],
  },
  {
    key: 'handbook',
    title: 'Handbook',
    icon: '📘',
    author: 'grace',
    shared: 'Handbook',
    blocks: [
      ['paragraph', 'How we work at Atom Labs. Short on purpose.'],
      ['divider', ''],
    ],
    children: [
      {
        key: 'support',
        title: 'On support duty',
        icon: '🛟',
        author: 'grace',
        blocks: [
          ['numbered_list_item', 'Answer within the hour, even if the answer is that we are looking.'],
          ['numbered_list_item', 'Write the issue while you still know what you saw.'],
          ['numbered_list_item', 'Hand over at 18:00, in writing.'],
        ],
      },
      {
        key: 'expenses',
        title: 'Travel and expenses',
        icon: '🧾',
        author: 'katherine',
        blocks: [
          [
            'paragraph',
            'Book what you would book with your own money, then hand in the receipt within a month.',
          ],
        ],
      },
    ],
  },
]

export interface SeedPlan {
  readonly name: string
  readonly status: 'Planned' | 'In progress' | 'Shipped'
  readonly priority: 'High' | 'Medium' | 'Low'
  readonly owner: string
  /** Days from today. */
  readonly due: number
  readonly effort: number
  readonly notes: string
}

/** The rows of the roadmap's database. */
export const seedPlans: readonly SeedPlan[] = [
  {
    name: 'Importer for old calendars',
    status: 'In progress',
    priority: 'High',
    owner: 'ada',
    due: 4,
    effort: 5,
    notes: 'Without the preview.',
  },
  {
    name: 'Invoice rounding',
    status: 'In progress',
    priority: 'High',
    owner: 'katherine',
    due: 6,
    effort: 3,
    notes: 'One cent. See issue 30.',
  },
  {
    name: 'Keyboard shortcuts',
    status: 'Planned',
    priority: 'Low',
    owner: 'grace',
    due: 40,
    effort: 2,
    notes: '',
  },
  {
    name: 'Offline mode',
    status: 'Planned',
    priority: 'Medium',
    owner: 'grace',
    due: 60,
    effort: 13,
    notes: 'Read first, write later.',
  },
  {
    name: 'Faster sync of large calendars',
    status: 'In progress',
    priority: 'Medium',
    owner: 'grace',
    due: 12,
    effort: 8,
    notes: '',
  },
  {
    name: 'Export to CSV',
    status: 'Shipped',
    priority: 'Medium',
    owner: 'katherine',
    due: -9,
    effort: 3,
    notes: 'Runs at night.',
  },
  { name: 'Dark theme', status: 'Shipped', priority: 'Low', owner: 'ada', due: -21, effort: 5, notes: '' },
  {
    name: 'Single sign-on',
    status: 'Planned',
    priority: 'High',
    owner: 'ada',
    due: 30,
    effort: 8,
    notes: 'Northwind asks for it.',
  },
]
