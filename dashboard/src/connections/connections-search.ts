import type { ProviderCategory } from '@atom/contract/connections.ts'
import { categoryWords } from './category-words.ts'

export interface ConnectionsSearch {
  /** What is looked for in the list. */
  readonly q?: string
  readonly category?: ProviderCategory
  /** Only the accounts that somebody has to mend. */
  readonly needing?: true
  /** What came of a consent that left this page: the connection, or why there is none. */
  readonly connected?: string
  readonly problem?: string
}

/** From an address, which anybody can write: what is not of this form is not there. */
export function connectionsSearch(search: Readonly<Record<string, unknown>>): ConnectionsSearch {
  const { q, category, needing, connected, problem } = search
  return {
    // A number or a boolean that was typed comes back as what it looks like.
    ...(q === undefined || q === '' || typeof q === 'object' ? {} : { q: String(q) }),
    ...(isCategory(category) ? { category } : {}),
    ...(needing === true ? { needing } : {}),
    ...(typeof connected === 'string' ? { connected } : {}),
    ...(typeof problem === 'string' ? { problem } : {}),
  }
}

function isCategory(value: unknown): value is ProviderCategory {
  return typeof value === 'string' && Object.hasOwn(categoryWords, value)
}
