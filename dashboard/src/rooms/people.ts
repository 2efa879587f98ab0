import { accountRoutes } from '@atom/contract/accounts.ts'
import { atom } from '../shell/atom.ts'

/** Somebody of the workspace who can be in a room. */
export interface Somebody {
  readonly kind: 'account' | 'agent'
  readonly id: string
  readonly name: string
}

/** Everybody of the workspace, people first. */
export async function askEverybody(): Promise<readonly Somebody[]> {
  const [people, agents] = await Promise.all([askPeople(), atom.agents.list()])
  return [...people, ...agents.map(({ id, name }): Somebody => ({ kind: 'agent', id, name }))]
}

async function askPeople(): Promise<readonly Somebody[]> {
  const people: Somebody[] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<typeof askPage>> = await askPage(cursor)
    for (const { account } of page.items) people.push({ kind: 'account', id: account.id, name: account.name })
    cursor = page.next
  } while (cursor !== null)
  return people
}

function askPage(cursor: string | null) {
  return atom.call(accountRoutes.members, {
    query: cursor === null ? { limit: 200 } : { limit: 200, cursor },
  })
}

/** Whose name has a word that begins so. */
export function named<P extends { readonly name: string }>(
  people: readonly P[],
  words: string,
): readonly P[] {
  const wanted = words.trim().toLowerCase()
  return people.filter(({ name }) => ` ${name.toLowerCase()}`.includes(` ${wanted}`))
}
