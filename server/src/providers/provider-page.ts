import type { Provider } from './provider.ts'
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

function particulars({ particulars: declared = {} }: Provider): PageSection[] {
  const rows = Object.entries(declared).map(([name, { meaning, standard, askable }]) => [
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
