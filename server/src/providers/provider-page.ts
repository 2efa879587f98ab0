import type { FlowName } from '@atom/contract/connections.ts'
import type { Provider } from './provider.ts'
import { credentialFields, flowNames, needsOf } from './provider-flows.ts'
import { providerPagePath, setupSteps } from './provider-guide.ts'

interface PageTable {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

interface PageSection {
  readonly heading: string
  readonly paragraphs?: readonly string[]
  readonly steps?: readonly string[]
  readonly table?: PageTable
}

/** What there is to know of a provider, told from its file: a page of this server and of the documentation alike. */
export interface ProviderPage {
  readonly path: string
  readonly title: string
  readonly summary: string
  readonly consoleUrl: string
  readonly sections: readonly PageSection[]
}

/** @param publicUrl the address of this server, or words that stand for it */
export function providerPage(provider: Provider, publicUrl: string): ProviderPage {
  const { id, name, scopes, guide } = provider
  const redirectUri = `${publicUrl}/v1/oauth/callback/${id}`
  const standard = scopes.standard.map(({ scope }) => scope)
  const further = scopes.further ?? []
  const sections: PageSection[] = [
    { heading: 'Set up the app', steps: setupSteps(guide, { redirectUri, scopes: standard }) },
    ...appFields(provider),
    ways(provider),
    {
      heading: 'What a connection asks for',
      ...(scopes.standard.length === 0
        ? {
            paragraphs: [
              `No scopes are named: what Atom may do is set in the app, or chosen by the person, at ${name}.`,
            ],
          }
        : {
            table: {
              head: ['Scope', 'What it means', 'May be left out'],
              rows: scopes.standard.map(({ scope, meaning }) => [
                code(scope),
                meaning,
                scopes.always.includes(scope) ? 'no' : 'yes',
              ]),
            },
          }),
    },
    ...(further.length === 0
      ? []
      : [
          {
            heading: 'What it may be widened by',
            paragraphs: ['The app has to be allowed to ask for them where the steps above say so.'],
            table: {
              head: ['Scope', 'What it means'],
              rows: further.map(({ scope, meaning }) => [code(scope), meaning]),
            },
          },
        ]),
    ...particulars(provider),
    ...slots(provider),
    { heading: 'How Atom speaks with it', table: { head: ['', ''], rows: speech(provider) } },
    { heading: 'What ends by itself', paragraphs: endings(provider) },
    ...troubles(provider),
    {
      heading: 'Disconnecting',
      paragraphs: [provider.afterRevocation],
    },
  ]
  return {
    path: providerPagePath(id),
    title: name,
    summary: `How an operator sets up an app at ${name} for Atom, what people are asked to allow, and what ends when.`,
    consoleUrl: provider.appConsoleUrl,
    sections,
  }
}

/** What an operator enters besides client ID and secret. */
function appFields({ particulars: declared = {}, appKey }: Provider): PageSection[] {
  const settings = Object.entries(declared).filter(([, { configurable }]) => configurable === true)
  const rows = settings.map(([name, { label, meaning, standard, optional }]) => [
    label ?? name,
    code(name),
    meaning,
    standard !== undefined ? `otherwise ${code(standard)}` : optional === true ? 'may be left out' : 'needed',
  ])
  if (appKey !== undefined) {
    const needed = appKey.required === true ? 'needed' : 'may be left out'
    rows.push(['Private key', code('privateKey'), appKey.meaning, needed])
  }
  return rows.length === 0
    ? []
    : [
        {
          heading: 'What is entered with the app',
          paragraphs: ['Besides client ID and client secret. Secrets are sealed, and never shown again.'],
          table: { head: ['Field', 'In the API', 'What it is', ''], rows },
        },
      ]
}

const flowWords: Readonly<Record<FlowName, string>> = {
  authorization_code: 'Consent in the browser',
  device_code: 'A code that is entered on another device',
  api_key: 'A key',
  jwt_bearer: 'An assertion that a key signs',
  token_exchange: 'A token of another server',
  client_credentials: 'The app in its own name, which only an owner or admin connects',
  app_installation: 'The app is installed for an organisation, by an owner or admin',
}

function ways({ flows, particulars: declared = {} }: Provider): PageSection {
  const given = new Map(credentialFields(flows).map(({ flow, fields }) => [flow, fields]))
  const rows = flowNames(flows).map((flow) => {
    const fields = (given.get(flow) ?? []).map(
      ({ label, optional }) => label + (optional === true ? ' (may be left out)' : ''),
    )
    const needs = Object.keys(needsOf(flows, flow)).map((name) => declared[name]?.label ?? name)
    return [flowWords[flow], code(flow), fields.join(', '), needs.join(', ')]
  })
  return {
    heading: 'Ways to connect',
    table: { head: ['', '`flow`', 'What is given', 'What has to be said first'], rows },
  }
}

function slots({ slots: declared }: Provider): PageSection[] {
  const rows = Object.entries(declared?.others ?? {}).map(([slot, { prefix, own }]) => [
    code(slot),
    `scopes that begin with ${code(prefix)}`,
    own ? 'the person’s own' : 'shared like the first',
  ])
  return rows.length === 0
    ? []
    : [
        {
          heading: 'Further credentials of a connection',
          paragraphs: [`The proxy takes one of them where ${code('atom-credential')} names it.`],
          table: { head: ['Name', 'Comes with', 'Whose it is'], rows },
        },
      ]
}

function particulars({ particulars: declared = {} }: Provider): PageSection[] {
  const rows = Object.entries(declared)
    .filter(([, { configurable }]) => configurable !== true)
    .map(([name, { meaning, standard, askable }]) => [
      code(name),
      meaning,
      askable === true ? 'the person, before connecting' : 'the provider',
      standard === undefined ? '' : code(standard),
    ])
  return rows.length === 0
    ? []
    : [
        {
          heading: 'What differs from connection to connection',
          table: { head: ['', 'What it is', 'Said by', 'Otherwise'], rows },
        },
      ]
}

function speech(provider: Provider): string[][] {
  const { endpoints, pkce, api } = provider
  const openid = endpoints.jwks !== undefined
  return [
    ['Consent', code(endpoints.authorization)],
    ['Tokens', code(endpoints.token)],
    ['The app proves itself by', code(provider.clientAuthentication)],
    ['PKCE', typeof pkce === 'string' ? `${pkce}, always` : `off: ${pkce.off}`],
    [
      'The person is known by',
      openid ? 'an id_token whose signature, issuer, audience, nonce and time are checked' : 'its API',
    ],
    [
      'Refreshing',
      provider.refreshTokens === 'single_use'
        ? 'replaces the refresh token each time; Atom asks once for however many callers'
        : 'keeps the refresh token',
    ],
    ['The API is at', code(api.base)],
    ['The credential goes nowhere but to', api.hosts.map(code).join(', ')],
  ]
}

function endings({ name, guide, idleLimitDays }: Provider): string[] {
  const known = [
    guide.secretExpiry,
    guide.testing?.meaning,
    idleLimitDays === undefined
      ? undefined
      : `${name} ends an access that is not refreshed for ${idleLimitDays} days; Atom refreshes it before.`,
    ...(guide.sunsets ?? []).map(({ at, title, detail }) => `${at}: ${title}. ${detail}`),
  ].filter((line) => line !== undefined)
  return known.length > 0 ? known : [`Nothing that ${name} documents.`]
}

const whose = { person: 'the person', admin: 'an admin there', operator: 'Atom’s operator' } as const

function troubles({ troubles: known = {} }: Provider): PageSection[] {
  const rows = Object.entries(known).map(([error, trouble]) => [
    code(error),
    trouble.reason,
    whose[trouble.whose],
  ])
  return rows.length === 0
    ? []
    : [
        {
          heading: 'When it does not work any more',
          table: { head: ['It answers', 'Which means', 'Whose job it is'], rows },
        },
      ]
}

/** As Markdown writes it; a page of the server shows the same words in another type. */
function code(text: string): string {
  return `\`${text}\``
}
