import { avatarPng } from './avatar.ts'

/** Somebody who exists in the sandbox only, the same person at every provider. */
export interface Person {
  /** Short name, also the login at GitHub. */
  readonly key: string
  readonly name: string
  readonly givenName: string
  readonly familyName: string
  readonly email: string
  readonly githubId: number
  /** GitHub shows an e-mail in the profile only where the person wants it. */
  readonly githubEmailPublic: boolean
  readonly googleSub: string
  readonly bio: string
  readonly location: string
}

export const workspaceDomain = 'atom-labs.example'

export const people: readonly Person[] = [
  {
    key: 'ada',
    name: 'Ada Lovelace',
    givenName: 'Ada',
    familyName: 'Lovelace',
    email: `ada@${workspaceDomain}`,
    githubId: 18151210,
    githubEmailPublic: true,
    googleSub: '118151210000000000101',
    bio: 'Notes on engines. Product at Atom Labs.',
    location: 'London',
  },
  {
    key: 'grace',
    name: 'Grace Hopper',
    givenName: 'Grace',
    familyName: 'Hopper',
    email: `grace@${workspaceDomain}`,
    githubId: 19061209,
    githubEmailPublic: true,
    googleSub: '119061209000000000202',
    bio: 'Compilers, and the shortest path to a working one.',
    location: 'Arlington',
  },
  {
    key: 'katherine',
    name: 'Katherine Johnson',
    givenName: 'Katherine',
    familyName: 'Johnson',
    email: `katherine@${workspaceDomain}`,
    githubId: 19180826,
    githubEmailPublic: false,
    googleSub: '119180826000000000303',
    bio: 'Checks the numbers.',
    location: 'Hampton',
  },
]

export function personByKey(key: string): Person | undefined {
  return people.find((person) => person.key === key)
}

const hues: Readonly<Record<string, number>> = { ada: 262, grace: 172, katherine: 24, 'atom-labs': 220 }
const avatars = new Map<string, Buffer>()

/** A PNG of 128 × 128 pixels; undefined for a name nobody has. */
export function avatarOf(name: string): Buffer | undefined {
  const hue = hues[name]
  if (hue === undefined) return undefined
  const drawn = avatars.get(name) ?? avatarPng(hue)
  avatars.set(name, drawn)
  return drawn
}
