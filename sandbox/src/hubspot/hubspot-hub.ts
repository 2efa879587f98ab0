import type { Person } from '../people.ts'

/** The one HubSpot account of the sandbox. Its plan is free: what needs a paid product cannot be granted there. */
export const hub = {
  id: 48151623,
  domain: 'atom-labs.example',
  appId: 1842108,
  /** Scopes that exist, and that this account has no product for. */
  unavailable: ['automation', 'content'],
} as const

const userIds: Readonly<Record<string, { user: number; owner: string }>> = {
  ada: { user: 71210101, owner: '1121001' },
  grace: { user: 71210202, owner: '1121002' },
  katherine: { user: 71210303, owner: '1121003' },
}

export function hubspotUserId(person: Person): number {
  return userIds[person.key]?.user ?? 0
}

/** In the CRM a person has a second number, as the owner of records. */
export function ownerId(key: string): string {
  return userIds[key]?.owner ?? ''
}
