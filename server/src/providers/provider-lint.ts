import { isWholeAddress } from './https-address.ts'
import { filled, type Provider, standardParticulars, type Verdict, verdictOf } from './provider.ts'
import { lintFlows } from './provider-flow-lint.ts'
import { type Finding, misshapen, nearest } from './provider-shape.ts'

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
  const shapeless = misshapen(value)
  if (shapeless.length > 0) return [...shapeless, ...secrets(value)]
  const provider = value as Provider
  return [
    ...naming(provider),
    ...addresses(provider),
    ...particulars(provider),
    ...protocol(provider),
    ...attachments(provider),
    ...scopes(provider),
    ...slots(provider),
    ...errors(provider),
    ...care(provider),
    ...ending(provider),
    ...guidance(provider),
    ...lintFlows(provider),
    ...secrets(provider),
  ]
}

/** As far as it takes to tell a provider, also a lame one, from whatever else a file exports. */
export function looksLikeProvider(value: unknown): value is Provider {
  return typeof value === 'object' && value !== null && ('endpoints' in value || 'issuer' in value)
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
    // What stands in braces there is a claim.
    ...(provider.idTokenIssuer !== undefined && {
      idTokenIssuer: provider.idTokenIssuer.replace(/\{\w+\}/g, 'claim'),
    }),
    ...(discovery === undefined &&
      Object.fromEntries(
        Object.entries({ ...endpoints })
          .filter(([, address]) => address !== undefined)
          .map(([name, address]) => [`endpoints.${name}`, address] as const),
      )),
    'api.base': api.base,
  }
  const findings = Object.entries(named).flatMap(([at, address]) => {
    if (isWholeAddress(provider, address)) return []
    const text = filled(address, open)
    const url = URL.canParse(text) ? new URL(text) : undefined
    return when(url?.protocol !== 'https:', at, 'must be an https address')
      .concat(when(url !== undefined && url.port !== '', at, 'must be at the standard port'))
      .concat(when(isNumber(url?.hostname), at, 'must be at a name, not at a number'))
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
        )
          .concat(when(isNumber(host), `api.hosts[${n}]`, 'must be a name, not a number'))
          .concat(undeclared(provider, `api.hosts[${n}]`, host)),
      ),
    )
}

/** An address of the network; IPv6 stands in brackets. */
function isNumber(host: string | undefined): boolean {
  return host !== undefined && /^(?:[\d.]+|\[.*\])$/.test(host)
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
  const { pkce, clientAuthentication, idTokenIssuer, endpoints, discovery } = provider
  const { keyAssertion, appKey } = provider
  const off = typeof pkce === 'object' && pkce !== null ? pkce.off : undefined
  return when(
    pkce !== 'S256' && (typeof off !== 'string' || off.length < 20),
    'pkce',
    'must be S256, or say why it is off',
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
        discovery !== undefined && `${endpoints.authorization}${endpoints.token}` !== '',
        'endpoints',
        'are read from the server, and must be empty here',
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

function scopes({ scopes }: Provider): Finding[] {
  const { standard, further = [], always, unsaid = [], contains, separator, answerSeparator } = scopes
  const names = standard.map(({ scope }) => scope)
  const known = [...names, ...further.map(({ scope }) => scope)]
  const explained = Object.entries({ standard, further }).flatMap(([list, entries]) =>
    entries.flatMap(({ scope, meaning }, n) => {
      const at = `scopes.${list}[${n}]`
      return when(meaning.trim().length < 6, at, `${scope} has no meaning in plain words`)
        .concat(when(scope.includes(separator), at, `${scope} contains the separator`))
        .concat(
          // RFC 6749 3.3.
          when(
            !/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope),
            at,
            `“${scope}” is no scope that can be asked for`,
          ),
        )
    }),
  )
  return explained
    .concat(when(new Set(known).size !== known.length, 'scopes', 'name a scope twice'))
    .concat(
      always.flatMap((scope) =>
        when(
          !names.includes(scope),
          'scopes.always',
          `${scope} is not among the standard scopes, so nobody explains it${meant(scope, names)}`,
        ),
      ),
    )
    .concat(
      // A provider may have scopes that nobody is asked for; what is nearly one of the file's is a slip.
      [...unsaid, ...Object.entries(contains).flatMap(([scope, inner]) => [scope, ...inner])].flatMap(
        (name) =>
          when(
            !known.includes(name) && meant(name, known) !== '',
            'scopes',
            `name ${name}, which is not asked for${meant(name, known)}`,
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
        'must not keep a position: take out the flags g and y',
      ),
    )
}

function meant(scope: string, among: readonly string[]): string {
  const near = nearest(scope, among)
  return near === undefined ? '' : `; did you mean ${near}?`
}

function errors(provider: Provider): Finding[] {
  return Object.entries(answeredFor).flatMap(([code, fitting]) => {
    const verdict = verdictOf(provider, code)
    return when(
      !fitting.includes(verdict),
      `errors.${code}`,
      `means ${verdict}, must be ${fitting.join(' or ')}`,
    )
  })
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
  const { guide, accountHint = {} } = provider
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

/** Keys and tokens as those give them who are known for a sign of their own. */
const secretLike =
  /-----BEGIN [A-Z ]*PRIVATE KEY|\bxox[abeprs]-[\w-]{10,}|\bgh[oprsu]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{10,}|\bGOCSPX-[\w-]{10,}|\bya29\.[\w-]{10,}|\bsk_(?:live|test)_\w{10,}|\bAKIA[0-9A-Z]{16}\b|\b(?:secret|ntn)_\w{20,}|\beyJ[\w-]{10,}\.[\w-]{10,}\./

/** A file is read by everybody who has the source. */
function secrets(value: unknown, at = '', seen: ReadonlySet<unknown> = new Set()): Finding[] {
  if (typeof value === 'string') {
    return when(
      secretLike.test(value),
      at,
      'looks like a secret: take it out and make it invalid at the provider; an operator enters it in Atom',
    )
  }
  if (typeof value !== 'object' || value === null || seen.has(value)) return []
  const within = new Set([...seen, value])
  return Object.entries(value).flatMap(([name, inner]) =>
    secrets(inner, at === '' ? name : `${at}.${name}`, within),
  )
}

/** What the flow, the credential and the connection put there themselves; a file that did would break or bypass them. */
const ownParameters = [
  'client_id',
  'client_secret',
  'code',
  'code_challenge',
  'code_challenge_method',
  'nonce',
  'redirect_uri',
  'request',
  'request_uri',
  'response_type',
  'scope',
  'state',
]
const ownHeaders = ['authorization', 'connection', 'content-length', 'cookie', 'host', 'proxy-authorization']

function attachments({ authorizationExtras, accountHint = {}, api }: Provider): Finding[] {
  return [
    ...Object.entries({ authorizationExtras, accountHint }).flatMap(([at, parameters]) =>
      Object.keys(parameters).flatMap((name) =>
        when(ownParameters.includes(name), `${at}.${name}`, 'is set by Atom itself: take it out'),
      ),
    ),
    ...Object.keys(api.headers).flatMap((name) =>
      when(
        ownHeaders.includes(name.toLowerCase()),
        `api.headers.${name}`,
        'is set by Atom itself: take it out',
      ).concat(when(name !== name.toLowerCase(), `api.headers.${name}`, 'must be in lower case')),
    ),
  ]
}
