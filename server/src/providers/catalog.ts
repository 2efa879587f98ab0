import { github } from './catalog/github.ts'
import { google } from './catalog/google.ts'
import type { Provider } from './provider.ts'

/** The providers Atom knows. A further one is one file and its line here. */
export const catalog: ReadonlyMap<string, Provider> = new Map(
  [github, google].map((provider) => [provider.id, provider]),
)
