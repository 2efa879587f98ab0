import { asana } from './catalog/asana.ts'
import { github } from './catalog/github.ts'
import { google } from './catalog/google.ts'
import { hubspot } from './catalog/hubspot.ts'
import { microsoft } from './catalog/microsoft.ts'
import { notion } from './catalog/notion.ts'
import { salesforce } from './catalog/salesforce.ts'
import { slack } from './catalog/slack.ts'
import type { Provider } from './provider.ts'

/** The providers Atom knows, in the order in which people see them. A further one is one file and its line here. */
export const catalog: ReadonlyMap<string, Provider> = new Map(
  [github, google, microsoft, slack, asana, notion, salesforce, hubspot].map((provider) => [
    provider.id,
    provider,
  ]),
)
