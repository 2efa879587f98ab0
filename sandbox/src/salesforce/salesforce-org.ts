import type { Person } from '../people.ts'

/** One Salesforce org: where one signs in to it, and where it lives. */
export interface SalesforceOrg {
  /** Name of its grants and records in the sandbox's store. */
  readonly key: 'salesforce' | 'salesforce-test'
  readonly id: string
  /** Origin of the shared sign-in. */
  readonly login: string
  /** Origin of the org itself (My Domain), which tokens are good for: `instance_url`. */
  readonly instance: string
  /** Paths below the sandbox's URL that stand for the two origins. */
  readonly paths: { readonly login: string; readonly instance: string }
}

/** What login.salesforce.com leads to, and what test.salesforce.com leads to: two orgs, with nothing in common but people. */
export const orgs: readonly SalesforceOrg[] = [
  {
    key: 'salesforce',
    id: id18('00DQy00000AtLab'),
    login: 'https://login.salesforce.com',
    instance: 'https://atom-labs.my.salesforce.com',
    paths: { login: '/salesforce/login', instance: '/salesforce/atom-labs' },
  },
  {
    key: 'salesforce-test',
    id: id18('00DWs00000AtTst'),
    login: 'https://test.salesforce.com',
    instance: 'https://atom-labs--test.sandbox.my.salesforce.com',
    paths: { login: '/salesforce-test/login', instance: '/salesforce-test/atom-labs' },
  },
]

const userNumbers: Readonly<Record<string, string>> = { ada: '18151', grace: '19061', katherine: '19180' }

export function userIdOf(person: Person): string {
  const number = userNumbers[person.key]
  if (number === undefined) throw new Error(`${person.key} has no account at Salesforce.`)
  return id18(`005Qy00000${number}`)
}

/** The identity URL, `sub` of the id_token and `id` of the token answer. */
export function identityOf(org: SalesforceOrg, person: Person): string {
  return `${org.login}/id/${org.id}/${userIdOf(person)}`
}

/** The 18 characters of a 15-character id: three more say which letters are capitals, for those who ignore case. */
export function id18(id: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ012345'
  const suffix = [0, 5, 10].map((from) => {
    const bits = [...id.slice(from, from + 5)].reduce(
      (sum, character, index) => sum + (/[A-Z]/.test(character) ? 1 << index : 0),
      0,
    )
    return alphabet[bits]
  })
  return id + suffix.join('')
}
