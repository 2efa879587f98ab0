import { createHash } from 'node:crypto'
import { type Person, people } from '../people.ts'

/** The same UUID for the same name, so that what is seeded keeps its address. */
export function idOf(name: string): string {
  const hex = createHash('sha256').update(`atom sandbox notion ${name}`).digest('hex')
  return dashed(`${hex.slice(0, 12)}4${hex.slice(13, 16)}8${hex.slice(17, 32)}`)
}

/** Notion takes ids with and without dashes; undefined for what is no id. */
export function normalId(given: string): string | undefined {
  const bare = given.replaceAll('-', '').toLowerCase()
  return /^[0-9a-f]{32}$/.test(bare) ? dashed(bare) : undefined
}

function dashed(bare: string): string {
  return bare.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

export const workspace = { id: idOf('workspace'), name: 'Atom Labs' } as const

export const notionUserId = (person: Person): string => idOf(`user ${person.key}`)

/** The app in the workspace, as the person who connected it sees it. */
export const botId = (person: Person): string => idOf(`bot ${person.key}`)

export function personByNotionId(id: string): Person | undefined {
  return people.find((person) => notionUserId(person) === id)
}
