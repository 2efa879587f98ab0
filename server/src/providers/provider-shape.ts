import type { ProviderCategory } from '@atom/contract/connections.ts'
import type { ClientAuthentication, Provider, ProviderApi, Verdict } from './provider.ts'
import type { ProviderFlows } from './provider-flows.ts'
import type { ProviderGuide } from './provider-guide.ts'

/** Something that a provider file should say otherwise, and where. */
export interface Finding {
  readonly at: string
  readonly problem: string
}

/** What a value has to be. */
type Shape =
  | { readonly what: string; readonly fits: (value: unknown) => boolean }
  | { readonly listOf: Shape }
  /** By names that the file chooses. */
  | { readonly eachIs: Shape }
  | { readonly members: Members }
  /** A member that may be left out. */
  | { readonly mayBe: Shape }
type Members = Readonly<Record<string, Shape>>

const text: Shape = { what: 'a text', fits: (value) => typeof value === 'string' }
const number: Shape = { what: 'a number', fits: (value) => typeof value === 'number' }
const flag: Shape = { what: 'true or false', fits: (value) => typeof value === 'boolean' }
const hook: Shape = { what: 'a function', fits: (value) => typeof value === 'function' }
const pattern: Shape = { what: 'a regular expression', fits: (value) => value instanceof RegExp }
/** Has rules of its own. */
const anything: Shape = { what: '', fits: () => true }
const listOf = (shape: Shape): Shape => ({ listOf: shape })
const eachIs = (shape: Shape): Shape => ({ eachIs: shape })
const mayBe = (shape: Shape): Shape => ({ mayBe: shape })
const members = (named: Members): Shape => ({ members: named })
const oneOf = <T extends string>(among: Readonly<Record<T, true>>): Shape => ({
  what: `one of ${Object.keys(among).join(', ')}`,
  fits: (value) => typeof value === 'string' && Object.hasOwn(among, value),
})

// `satisfies` below: a member that is new in the type does not compile until it is here.
const scopeInWords = members({ scope: text, meaning: text })
const remains = listOf(members({ what: text, until: oneOf({ access_token: true, person: true }) }))
const ending = { afterRevocation: text, revocation: mayBe(hook), revoked: mayBe(hook) }
const api = members({
  base: text,
  hosts: listOf(text),
  dottedPaths: mayBe(flag),
  headers: eachIs(text),
  failures: mayBe(members({ status: number, code: text })),
  links: mayBe(listOf(text)),
  rateLimit: members({
    remaining: mayBe(text),
    reset: mayBe(text),
    retryAfter: text,
    said: mayBe(listOf(text)),
  } satisfies Record<keyof ProviderApi['rateLimit'], Shape>),
} satisfies Record<keyof ProviderApi, Shape>)
const guide = members({
  category: oneOf({
    office: true,
    communication: true,
    development: true,
    projects: true,
    documents: true,
    customers: true,
    support: true,
    design: true,
    standard: true,
  } satisfies Record<ProviderCategory, true>),
  steps: listOf(text),
  redirectIsHttps: mayBe(flag),
  secretExpiry: mayBe(text),
  testing: mayBe(members({ meaning: text, days: number })),
  sunsets: mayBe(listOf(members({ at: text, title: text, detail: text }))),
} satisfies Record<keyof ProviderGuide, Shape>)
const scopes = members({
  separator: { what: 'a space or a comma', fits: (value) => value === ' ' || value === ',' },
  answerSeparator: pattern,
  standard: listOf(scopeInWords),
  further: mayBe(listOf(scopeInWords)),
  always: listOf(text),
  contains: eachIs(listOf(text)),
  unsaid: mayBe(listOf(text)),
  answerPrefix: mayBe(text),
  onRefresh: mayBe(flag),
} satisfies Record<keyof Provider['scopes'], Shape>)
const fields = listOf({
  members: {
    name: text,
    label: text,
    meaning: text,
    secret: mayBe(flag),
    optional: mayBe(flag),
    multiline: mayBe(flag),
    pattern: mayBe(pattern),
  },
})
const callbackField = members({ name: text, value: text })
const needs = mayBe(eachIs(pattern))
const flows = members({
  app_installation: mayBe(
    members({
      needs,
      by: oneOf({ key: true, admin: true, consent: true }),
      address: mayBe(text),
      parameters: mayBe(eachIs(text)),
      particular: mayBe(text),
      answer: mayBe(
        members({
          name: text,
          pattern: mayBe(pattern),
          confirmed: mayBe(callbackField),
          pending: mayBe(callbackField),
          denied: mayBe(listOf(text)),
        }),
      ),
      token: mayBe(text),
      scopes: mayBe(listOf(text)),
      granted: mayBe(eachIs(pattern)),
    }),
  ),
  device_code: mayBe(members({ needs, endpoint: mayBe(text) })),
  client_credentials: mayBe(members({ needs, scopes: mayBe(listOf(text)), parameters: mayBe(eachIs(text)) })),
  jwt_bearer: mayBe(
    members({
      needs,
      fields,
      app: oneOf({ needed: true, none: true }),
      client: mayBe(oneOf({ authenticates: true })),
      audience: text,
      algorithm: mayBe(oneOf({ RS256: true, ES256: true })),
      lifetimeSeconds: number,
      scopes: oneOf({ claim: true, parameter: true, none: true }),
      assertion: hook,
    }),
  ),
  token_exchange: mayBe(
    members({
      needs,
      fields,
      subjectToken: text,
      subjectTokenType: text,
      parameters: mayBe(eachIs(text)),
    }),
  ),
  api_key: mayBe(
    members({
      needs,
      app: mayBe(oneOf({ needed: true })),
      fields,
      attach: members({
        as: oneOf({ bearer: true, header: true, basic: true }),
        key: mayBe(text),
        header: mayBe(text),
        user: mayBe(text),
        password: mayBe(text),
      }),
    }),
  ),
} satisfies Record<keyof ProviderFlows, Shape>)

const provider = {
  id: text,
  name: text,
  appConsoleUrl: text,
  guide,
  issuer: text,
  endpoints: members({
    authorization: text,
    token: text,
    jwks: mayBe(text),
    refresh: mayBe(text),
    pushed: mayBe(text),
    revocation: mayBe(text),
  } satisfies Record<keyof Provider['endpoints'], Shape>),
  discovery: mayBe(oneOf({ openid: true, resource: true })),
  metadata: mayBe(anything),
  namesIssuer: mayBe(flag),
  resource: mayBe(text),
  dpop: mayBe(flag),
  idTokenIssuer: mayBe(text),
  subjectClaims: mayBe(listOf(text)),
  particulars: mayBe(
    eachIs(
      members({
        meaning: text,
        pattern,
        standard: mayBe(text),
        askable: mayBe(flag),
        configurable: mayBe(flag),
        optional: mayBe(flag),
        label: mayBe(text),
      }),
    ),
  ),
  sharedGrant: mayBe(text),
  ownGrants: mayBe(flag),
  slots: mayBe(members({ others: eachIs(members({ prefix: text, parameter: text, own: flag })), of: hook })),
  clientAuthentication: oneOf({
    client_secret_post: true,
    client_secret_basic: true,
    client_secret_jwt: true,
    private_key_jwt: true,
    tls_client_auth: true,
    self_signed_tls_client_auth: true,
    none: true,
  } satisfies Record<ClientAuthentication, true>),
  keyAssertion: mayBe(
    members({ audience: oneOf({ issuer: true, token_endpoint: true }), unlessSecret: mayBe(flag) }),
  ),
  appKey: mayBe(members({ meaning: text, required: mayBe(flag), presented: mayBe(flag) })),
  tokenRequest: mayBe(oneOf({ form: true, json: true })),
  pkce: anything,
  authorizationExtras: eachIs(text),
  flows: mayBe(flows),
  accountHint: mayBe(eachIs(text)),
  byFlow: mayBe(
    eachIs(
      members({
        api: mayBe(api),
        ending: mayBe(members({ ...ending, sharedGrant: mayBe(text), remains: mayBe(remains) })),
        identify: mayBe(hook),
      }),
    ),
  ),
  scopes,
  refreshTokens: oneOf({ lasting: true, single_use: true }),
  idleLimitDays: mayBe(number),
  errors: eachIs(
    oneOf({
      denied: true,
      operator: true,
      reconnect: true,
      reconsent: true,
      refresh: true,
      retry: true,
      refused: true,
    } satisfies Record<Verdict, true>),
  ),
  troubles: mayBe(
    eachIs(
      members({
        whose: oneOf({ person: true, admin: true, operator: true }),
        action: oneOf({
          reconnect: true,
          allow_more: true,
          ask_admin: true,
          configure_app: true,
          wait: true,
        }),
        reason: text,
      }),
    ),
  ),
  api,
  ...ending,
  remains: mayBe(remains),
  adapt: mayBe(hook),
  tokenAnswer: mayBe(hook),
  particularsOf: mayBe(hook),
  identify: hook,
} satisfies Record<keyof Provider, Shape>

/** What in a value is missing, of another kind, or nothing that Atom reads. Takes anything. */
export function misshapen(value: unknown): Finding[] {
  return against({ members: provider }, value, '')
}

function against(shape: Shape, value: unknown, at: string): Finding[] {
  if ('mayBe' in shape) return value === undefined ? [] : against(shape.mayBe, value, at)
  if ('fits' in shape) {
    if (shape.fits(value)) return []
    return [{ at, problem: value === undefined ? `is missing: ${shape.what}` : `must be ${shape.what}` }]
  }
  if ('listOf' in shape) {
    if (!Array.isArray(value))
      return [{ at, problem: `${value === undefined ? 'is missing:' : 'must be'} a list` }]
    return value.flatMap((each, n) => against(shape.listOf, each, `${at}[${n}]`))
  }
  const holder = objectOr(value)
  if (holder === undefined && value !== undefined && at !== '') return [{ at, problem: 'must be an object' }]
  if ('eachIs' in shape) {
    if (holder === undefined) return [{ at, problem: 'is missing: an object, which may be empty' }]
    return Object.entries(holder).flatMap(([name, each]) => against(shape.eachIs, each, inside(at, name)))
  }
  const named = shape.members
  return [
    ...Object.entries(named).flatMap(([name, member]) => against(member, holder?.[name], inside(at, name))),
    ...Object.keys(holder ?? {})
      .filter((name) => !Object.hasOwn(named, name))
      .map((name) => {
        const meant = nearest(name, Object.keys(named))
        const hint = meant === undefined ? 'take it out' : `did you mean ${meant}?`
        return { at: inside(at, name), problem: `is nothing that Atom reads: ${hint}` }
      }),
  ]
}

function objectOr(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined
}

function inside(at: string, name: string): string {
  return at === '' ? name : `${at}.${name}`
}

/** The word that was probably meant, where one is near: one slip in a short word, two in a longer one. */
export function nearest(word: string, among: readonly string[]): string | undefined {
  const near = among
    .map((other) => ({ other, slips: slipsBetween(word.toLowerCase(), other.toLowerCase()) }))
    .filter(({ slips }) => slips <= (word.length < 6 ? 1 : 2))
  return near.toSorted((one, other) => one.slips - other.slips)[0]?.other
}

/** Letters to put in, take out or change until the words are the same (Levenshtein). */
function slipsBetween(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, n) => n)
  for (let i = 1; i <= one.length; i++) {
    const next = [i]
    for (let j = 1; j <= other.length; j++) {
      const changed = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[other.length] ?? 0
}
