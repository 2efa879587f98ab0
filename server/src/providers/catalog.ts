import { airtable } from './catalog/airtable.ts'
import { asana } from './catalog/asana.ts'
import { box } from './catalog/box.ts'
import { discord } from './catalog/discord.ts'
import { dropbox } from './catalog/dropbox.ts'
import { figma } from './catalog/figma.ts'
import { github } from './catalog/github.ts'
import { gitlab } from './catalog/gitlab.ts'
import { google } from './catalog/google.ts'
import { hubspot } from './catalog/hubspot.ts'
import { jira } from './catalog/jira.ts'
import { linear } from './catalog/linear.ts'
import { mcp } from './catalog/mcp.ts'
import { microsoft } from './catalog/microsoft.ts'
import { notion } from './catalog/notion.ts'
import { oauth2 } from './catalog/oauth2.ts'
import { openid } from './catalog/openid.ts'
import { salesforce } from './catalog/salesforce.ts'
import { slack } from './catalog/slack.ts'
import { zendesk } from './catalog/zendesk.ts'
import { zoom } from './catalog/zoom.ts'
import type { Provider } from './provider.ts'

const providers: readonly Provider[] = [
  github,
  google,
  microsoft,
  slack,
  asana,
  notion,
  salesforce,
  hubspot,
  linear,
  jira,
  gitlab,
  discord,
  zoom,
  dropbox,
  airtable,
  box,
  figma,
  zendesk,
  mcp,
  openid,
  oauth2,
]

/** The providers Atom knows, in the order in which people see them. A further one is one file and its line here. */
export const catalog: ReadonlyMap<string, Provider> = new Map(
  providers.map((provider) => [provider.id, provider]),
)
