import { httpsAddress } from './https-address.ts'
import {
  type ClientAuthentication,
  filled,
  type Provider,
  standardParticulars,
  type Verdict,
  verdictOf,
} from './provider.ts'
import { lintFlows } from './provider-flow-lint.ts'

/** Something that a provider file should say otherwise, and where. */
export interface Finding {
  readonly at: string
  readonly problem: string
}

const clientAuthentications: ReadonlySet<string> = new Set<ClientAuthentication>([
  'client_secret_post',
  'client_secret_basic',
  'client_secret_jwt',
  'private_key_jwt',
  'none',
])
const verdicts: ReadonlySet<string> = new Set<Verdict>([
  'denied',
  'operator',
  'reconnect',
  'reconsent',
  'refresh',
  'retry',
  'refused',
])
/** RFC 6749 4.1.2.1 and 5.2: what an error table has to answer for, by itself or by the standard. */
const answeredFor: Readonly<Record<string, readonly Verdict[]>> = {
  access_denied: ['denied'],
  invalid_client: ['operator'],
  unauthorized_client: ['operator'],
  invalid_scope: ['operator', 'reconsent'],
  invalid_grant: ['reconnect', 'reconsent'],
  server_error: ['retry'],
  temporarily_unavailable: ['retry'],
}

/**
 * What is missing or wrong in a provider file, as far as the file alone can tell; empty when all is well. Takes anything,
 * because a file that is checked need not have passed the compiler.
 */
export function lintProvider(value: unknown): readonly Finding[] {
  const missing = missingParts(value)
  if (missing.length > 0) return missing
  const provider = value as Provider
  return [
    ...naming(provider),
    ...addresses(provider),
    ...particulars(provider),
    ...protocol(provider),
    ...scopes(provider),
    ...slots(provider),
    ...errors(provider),
    ...care(provider),
    ...ending(provider),
    ...guidance(provider),
    ...lintFlows(provider),
  ]
}

/** Parts without which nothing else can be looked at. */
const parts: Readonly<Record<string, 'string' | 'object' | 'function'>> = {
  id: 'string',
  name: 'string',
  appConsoleUrl: 'string',
  'guide.category': 'string',
  'guide.steps': 'object',
  issuer: 'string',
  'endpoints.authorization': 'string',
  'endpoints.token': 'string',
  clientAuthentication: 'string',
  authorizationExtras: 'object',
  'scopes.separator': 'string',
  'scopes.answerSeparator': 'object',
  'scopes.standard': 'object',
  'scopes.always': 'object',
  'scopes.contains': 'object',
  refreshTokens: 'string',
  errors: 'object',
  'api.base': 'string',
  'api.hosts': 'object',
  'api.headers': 'object',
  'api.rateLimit': 'object',
  afterRevocation: 'string',
  identify: 'function',
}

function missingParts(value: unknown): Finding[] {
  return Object.entries(parts).flatMap(([at, kind]) => {
    const found = at
      .split('.')
      .reduce<unknown>(
        (holder, name) => (holder as Record<string, unknown> | null | undefined)?.[name],
        value,
      )
    return typeof found === kind && found !== null ? [] : [{ at, problem: `is missing or no ${kind}` }]
  })
}

function naming({ id, name }: Provider): Finding[] {
  return when(!/^[a-z][a-z0-9-]{1,40}$/.test(id), 'id', 'must be lower case, as in a path').concat(
    when(name.trim() === '', 'name', 'is empty'),
  )
}

function addresses(provider: Provider): Finding[] {
  const { endpoints, api, discovery } = provider
  const open = standardParticulars(provider)
  const named = {
    appConsoleUrl: provider.appConsoleUrl,
    issuer: provider.issuer,
    ...(discovery === undefined &&
      Object.fromEntries(
        Object.entries(endpoints).map(([name, address]) => [`endpoints.${name}`, address] as const),
      )),
    'api.base': api.base,
  }
  const findings = Object.entries(named).flatMap(([at, address]) => {
    if (isWholeAddress(provider, address)) return []
    const text = filled(address, open)
    const url = URL.canParse(text) ? new URL(text) : undefined
    return when(url?.protocol !== 'https:', at, 'must be an https address')
      .concat(when(url !== undefined && url.port !== '', at, 'must be at the standard port'))
      .concat(when(url !== undefined && `${url.username}${url.password}` !== '', at, 'must name no user'))
      .concat(
        when(
          /endpoints|api/.test(at) && url !== undefined && url.search + url.hash !== '',
          at,
          'must have no query',
        ),
      )
      .concat(undeclared(provider, at, address))
  })
  const ofBase = /^https:\/\/([^/]+)/.exec(api.base)?.[1] ?? ''
  return findings
    .concat(when(!api.hosts.includes(ofBase), 'api.hosts', `lacks ${ofBase}, the host of api.base`))
    .concat(when(new Set(api.hosts).size !== api.hosts.length, 'api.hosts', 'names a host twice'))
    .concat(
      api.hosts.flatMap((host, n) =>
        when(
          !/^(?:(?:\{[a-z]+\}\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)+|\{[a-z]+\})$/.test(host),
          `api.hosts[${n}]`,
          'must be one whole host in lower case; wildcards pin nothing',
        ).concat(undeclared(provider, `api.hosts[${n}]`, host)),
      ),
    )
}

/** `{name}` and nothing else, where the particular is a whole https address by its pattern. */
function isWholeAddress({ particulars = {} }: Provider, address: string): boolean {
  const name = /^\{(\w+)\}$/.exec(address)?.[1]
  return name !== undefined && particulars[name]?.pattern.source === httpsAddress.source
}

/** `{name}` in an address that no particular stands for. */
function undeclared({ particulars = {} }: Provider, at: string, address: string): Finding[] {
  return [...address.matchAll(/\{(\w+)\}/g)].flatMap(([, name = '']) =>
    when(!Object.hasOwn(particulars, name), at, `{${name}} is none of its particulars`),
  )
}

function particulars(provider: Provider): Finding[] {
  const declared = provider.particulars ?? {}
  const findings = Object.entries(declared).flatMap(([name, particular]) => {
    const { pattern, standard, meaning, askable, configurable, label } = particular
    const at = `particulars.${name}`
    return when(!/^\^.*\$$/s.test(pattern.source), at, 'its pattern must hold for the whole value (^…$)')
      .concat(when(pattern.flags !== '', at, 'its pattern must have no flags'))
      .concat(
        when(
          ['a/b', 'a@b.example', 'a.example:1', 'a b', 'a\n', '{a}', ''].some((value) => pattern.test(value)),
          at,
          'its pattern lets through what changes an address',
        ),
      )
      .concat(
        when(standard !== undefined && !pattern.test(standard), at, 'its standard does not fit its pattern'),
      )
      .concat(when(meaning.length < 6, at, 'its meaning is not said'))
      .concat(
        when(
          askable === true && configurable === true,
          at,
          'is said by the person or the operator, not by both',
        ),
      )
      .concat(
        when(
          (configurable === true || askable === true) && (label ?? '').trim() === '',
          at,
          'has no label for whoever enters it',
        ),
      )
  })
  const { sharedGrant } = provider
  return findings.concat(
    when(
      sharedGrant !== undefined && !Object.hasOwn(declared, sharedGrant),
      'sharedGrant',
      'is none of its particulars',
    ),
  )
}

function protocol(provider: Provider): Finding[] {
  const { pkce, clientAuthentication, refreshTokens, idTokenIssuer, endpoints, discovery } = provider
  const { keyAssertion, appKey } = provider
  const off = typeof pkce === 'object' && pkce !== null ? pkce.off : undefined
  return when(
    pkce !== 'S256' && (typeof off !== 'string' || off.length < 20),
    'pkce',
    'must be S256, or say why it is off',
  )
    .concat(
      when(!clientAuthentications.has(clientAuthentication), 'clientAuthentication', 'is none that is known'),
    )
    .concat(
      when(
        clientAuthentication === 'private_key_jwt' && keyAssertion === undefined,
        'keyAssertion',
        'must say whom an assertion is for',
      ),
    )
    .concat(
      when(
        keyAssertion !== undefined && (appKey?.meaning ?? '').length < 6,
        'appKey',
        'must say what the private key is for',
      ),
    )
    .concat(
      when(
        clientAuthentication === 'none' && pkce !== 'S256',
        'pkce',
        'must be S256 for a public client, whose codes nothing else protects',
      ),
    )
    .concat(
      when(
        discovery !== undefined && !['openid', 'resource'].includes(discovery),
        'discovery',
        'must be openid or resource',
      ),
    )
    .concat(
      when(
        discovery !== undefined && `${endpoints.authorization}${endpoints.token}` !== '',
        'endpoints',
        'are read from the server, and must be empty here',
      ),
    )
    .concat(
      when(
        !['lasting', 'single_use'].includes(refreshTokens),
        'refreshTokens',
        'must be lasting or single_use',
      ),
    )
    .concat(
      when(
        (idTokenIssuer ?? provider.subjectClaims) !== undefined &&
          endpoints.jwks === undefined &&
          discovery === undefined,
        'endpoints.jwks',
        'is needed to verify the id_token whose claims are used',
      ),
    )
}

function slots({ slots: declared }: Provider): Finding[] {
  return Object.entries(declared?.others ?? {}).flatMap(([slot, { prefix, parameter }]) => {
    const at = `slots.others.${slot}`
    return when(!/^[a-z]{1,20}$/.test(slot), at, 'must be one word in lower case: it is said in a header')
      .concat(when(prefix === '', at, 'needs a prefix, or its scopes could not be told from the first one’s'))
      .concat(when(parameter === '' || parameter === 'scope', at, 'needs a parameter of its own'))
  })
}

function scopes({ scopes: { standard, always, contains, separator, answerSeparator } }: Provider): Finding[] {
  const names = standard.map(({ scope }) => scope)
  return standard
    .flatMap(({ scope, meaning }, n) =>
      when(
        meaning.trim().length < 6,
        `scopes.standard[${n}]`,
        `${scope} has no meaning in plain words`,
      ).concat(when(scope.includes(separator), `scopes.standard[${n}]`, `${scope} contains the separator`)),
    )
    .concat(when(new Set(names).size !== names.length, 'scopes.standard', 'names a scope twice'))
    .concat(
      always.flatMap((scope) =>
        when(
          !names.includes(scope),
          'scopes.always',
          `${scope} is not among the standard scopes, so nobody explains it`,
        ),
      ),
    )
    .concat(
      Object.entries(contains).flatMap(([scope, inner]) =>
        when(inner.includes(scope), 'scopes.contains', `${scope} contains itself`),
      ),
    )
    .concat(
      when(
        answerSeparator.global || answerSeparator.sticky,
        'scopes.answerSeparator',
        'must not keep a position',
      ),
    )
}

function errors(provider: Provider): Finding[] {
  return Object.entries(provider.errors)
    .flatMap(([code, verdict]) =>
      when(!verdicts.has(verdict), `errors.${code}`, `${String(verdict)} is no verdict`),
    )
    .concat(
      Object.entries(answeredFor).flatMap(([code, fitting]) => {
        const verdict = verdictOf(provider, code)
        return when(
          !fitting.includes(verdict),
          `errors.${code}`,
          `means ${verdict}, must be ${fitting.join(' or ')}`,
        )
      }),
    )
}

/** What Atom does unasked, and says, so that no grant dies unnoticed. */
function care(provider: Provider): Finding[] {
  const { idleLimitDays, troubles = {} } = provider
  return when(
    idleLimitDays !== undefined && !(Number.isInteger(idleLimitDays) && idleLimitDays >= 7),
    'idleLimitDays',
    'must be whole days, and at least a week, or nobody could keep it alive',
  ).concat(
    Object.entries(troubles).flatMap(([code, { whose, action, reason }]) => {
      const at = `troubles.${code}`
      return when(
        !['operator', 'reconnect', 'reconsent'].includes(verdictOf(provider, code)),
        at,
        `means ${verdictOf(provider, code)}, which leaves a connection as it is`,
      )
        .concat(
          when(!(doers[whose] ?? []).includes(action), at, `${action} is nothing that the ${whose} does`),
        )
        .concat(when(!/^[A-Z].{20,}[.]$/.test(reason), at, 'must say in a sentence what happened'))
    }),
  )
}

const doers: Readonly<Record<string, readonly string[]>> = {
  person: ['reconnect', 'allow_more'],
  admin: ['ask_admin'],
  operator: ['configure_app'],
}

function ending({
  revocation,
  revoked,
  afterRevocation,
  api,
  endpoints,
  discovery,
  particulars: declared = {},
}: Provider): Finding[] {
  // By RFC 7009, at an address that is written here, discovered, or said by the operator.
  const standard =
    (endpoints.revocation ?? discovery) !== undefined || declared['revocation']?.configurable === true
  return when(
    (revocation === undefined && !standard) !== (revoked === undefined),
    'revocation',
    'and revoked belong together',
  )
    .concat(when(afterRevocation.length < 20, 'afterRevocation', 'must say what is gone and what remains'))
    .concat(
      when(
        revocation === undefined && !standard && !/https:\/\/\S/.test(afterRevocation),
        'afterRevocation',
        'must name where a person ends the access, because the provider lets no app do it',
      ),
    )
    .concat(
      when(
        [api.rateLimit.remaining, api.rateLimit.reset, api.rateLimit.retryAfter].some(
          (name) => name !== name?.toLowerCase(),
        ),
        'api.rateLimit',
        'header names must be in lower case',
      ),
    )
    .concat(
      when(
        api.rateLimit.retryAfter === '',
        'api.rateLimit',
        'must name the header that says when to come back',
      ),
    )
}

/** What people read: steps that name the address to enter, words for every scope, hints and days that can be meant. */
function guidance(provider: Provider): Finding[] {
  const { guide, scopes, accountHint = {} } = provider
  const standard = new Set(scopes.standard.map(({ scope }) => scope))
  const known = new Set(['email', 'handle', ...Object.keys(provider.particulars ?? {})])
  return [
    // Where Atom registers itself, there is no console.
    ...when(
      guide.steps.length < (provider.discovery === 'resource' ? 1 : 3),
      'guide.steps',
      'must lead from the console to client id and secret',
    ),
    ...when(
      !guide.steps.some((step) => step.includes('{redirectUri}')),
      'guide.steps',
      'must say where {redirectUri} is entered',
    ),
    ...guide.steps.flatMap((step, at) =>
      when(
        /\{(?!redirectUri\}|scopes\})/.test(step) || !/[.:”)]$/.test(step.trim()),
        `guide.steps[${at}]`,
        'must be a sentence, with {redirectUri} and {scopes} as the only open words',
      ),
    ),
    ...(guide.sunsets ?? []).flatMap(({ at, title, detail }, index) =>
      when(
        !/^\d{4}-\d{2}-\d{2}$/.test(at) || Number.isNaN(Date.parse(at)) || title === '' || detail === '',
        `guide.sunsets[${index}]`,
        'must have a day (YYYY-MM-DD), a title, and what those do whom it concerns',
      ),
    ),
    ...when(
      guide.testing !== undefined && !(guide.testing.days > 0 && guide.testing.meaning !== ''),
      'guide.testing',
      'must say what ends, after how many days',
    ),
    ...(scopes.further ?? []).flatMap(({ scope, meaning }, at) =>
      when(
        meaning.trim() === '' || standard.has(scope),
        `scopes.further[${at}]`,
        'must have words for a person, and not be asked for anyway',
      ),
    ),
    ...Object.entries(accountHint).flatMap(([parameter, template]) =>
      when(
        [...template.matchAll(/\{(\w+)\}/g)].some(([, name = '']) => !known.has(name)),
        `accountHint.${parameter}`,
        'speaks of something that is known of no connection',
      ),
    ),
  ]
}

function when(wrong: boolean, at: string, problem: string): Finding[] {
  return wrong ? [{ at, problem }] : []
}
