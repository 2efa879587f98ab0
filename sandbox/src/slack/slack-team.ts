import { type Person, people, workspaceDomain } from '../people.ts'

export const team = {
  id: 'T0ATOMLAB',
  name: 'Atom Labs',
  domain: 'atom-labs',
  emailDomain: workspaceDomain,
} as const

/** The organisation that the workspace is one of (Enterprise Grid). */
export const organisation = { id: 'E0ATOMORG', name: 'Atom Organisation' } as const

/** Who may install for all of it. */
export function administersOrganisation({ key }: Person): boolean {
  return key === 'ada'
}

/** The app's own user: the bot acts as it, whoever installed it. */
export const bot = { userId: 'U0ATOMBOT', botId: 'B0ATOMBOT', appId: 'A0ATOMAPP', name: 'atom' } as const

const userIds: Readonly<Record<string, string>> = {
  ada: 'U01ADALVL',
  grace: 'U02GRCHPR',
  katherine: 'U03KTHJHN',
}

export function slackUserId(person: Person): string {
  return userIds[person.key] ?? ''
}

export function personBySlackId(id: string): Person | undefined {
  return people.find((person) => slackUserId(person) === id)
}
