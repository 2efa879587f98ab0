export const workspace = { gid: '1204601815121001', name: 'Atom Labs', domain: 'atom-labs.example' } as const

/** Asana's number of a person. */
export const userGids: Readonly<Record<string, string>> = {
  ada: '1204601815121010',
  grace: '1204601906120909',
  katherine: '1204601918082626',
}

export interface SeedTask {
  readonly name: string
  readonly notes?: string
  readonly assignee?: string
  readonly section: string
  readonly completed?: boolean
  /** Days from today; negative is late. */
  readonly dueDays?: number
  readonly ageDays: number
  readonly comments?: readonly (readonly [author: string, text: string])[]
}

export interface SeedProject {
  readonly name: string
  readonly notes: string
  readonly owner: string
  readonly color: string
  readonly sections: readonly string[]
  readonly tasks: readonly SeedTask[]
}

export const seedProjects: readonly SeedProject[] = [
  {
    name: 'Website relaunch',
    notes: 'New pages by the end of the quarter, without losing a single ranking.',
    owner: 'ada',
    color: 'light-green',
    sections: ['To do', 'In progress', 'Review', 'Done'],
    tasks: [
      {
        name: 'Write the pricing page',
        notes: 'Three plans, one table, no asterisk.',
        assignee: 'ada',
        section: 'In progress',
        dueDays: 2,
        ageDays: 12,
        comments: [['katherine', 'The yearly numbers add up now; I checked them against the ledger.']],
      },
      {
        name: 'Redirect map from the old site',
        notes: '412 addresses. The list is in the sheet; 38 have no obvious new home.',
        assignee: 'grace',
        section: 'To do',
        dueDays: 5,
        ageDays: 9,
      },
      { name: 'Pictures of the team', assignee: 'katherine', section: 'Review', dueDays: -3, ageDays: 20 },
      { name: 'Cookie banner: do we still need one?', section: 'To do', ageDays: 4 },
      {
        name: 'Choose the typeface',
        assignee: 'ada',
        section: 'Done',
        completed: true,
        dueDays: -14,
        ageDays: 33,
        comments: [['ada', 'Inter it is.']],
      },
    ],
  },
  {
    name: 'Customer onboarding',
    notes: 'What happens between the signature and the first week that works.',
    owner: 'katherine',
    color: 'light-orange',
    sections: ['This week', 'Next', 'Done'],
    tasks: [
      {
        name: 'Northwind: connect single sign-on',
        notes: 'They sign when this works. Contact: Olivia Brandt.',
        assignee: 'grace',
        section: 'This week',
        dueDays: 1,
        ageDays: 6,
        comments: [
          ['ada', 'Promised for 12 December.'],
          ['grace', 'Metadata is exchanged; their test user signs in. Roles are missing.'],
        ],
      },
      {
        name: 'Fabrikam: import 31 000 records',
        assignee: 'katherine',
        section: 'This week',
        dueDays: 0,
        ageDays: 8,
      },
      {
        name: 'Checklist for the first call',
        assignee: 'ada',
        section: 'Next',
        dueDays: 9,
        ageDays: 15,
      },
      {
        name: 'Welcome mail, second version',
        assignee: 'ada',
        section: 'Done',
        completed: true,
        dueDays: -6,
        ageDays: 21,
      },
    ],
  },
  {
    name: 'Security',
    notes: 'Things nobody sees until they are missing.',
    owner: 'grace',
    color: 'dark-red',
    sections: ['Open', 'Waiting', 'Closed'],
    tasks: [
      {
        name: 'Eleven accounts without a second factor',
        notes: 'Two-factor drift since summer. Write to each, then enforce.',
        assignee: 'grace',
        section: 'Open',
        dueDays: 3,
        ageDays: 5,
      },
      { name: 'Rotate the signing keys', assignee: 'grace', section: 'Waiting', dueDays: 12, ageDays: 30 },
      {
        name: 'Restore drill: write down what took long',
        assignee: 'katherine',
        section: 'Open',
        dueDays: 4,
        ageDays: 2,
      },
      {
        name: 'Answer the questionnaire of Contoso',
        assignee: 'ada',
        section: 'Closed',
        completed: true,
        dueDays: -9,
        ageDays: 25,
      },
    ],
  },
]
