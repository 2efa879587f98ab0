import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { type FastifyError, type FastifyInstance, type FastifyRequest, fastify } from 'fastify'
import { AppRegistry } from './app-registry.ts'
import { asanaFaults } from './asana/asana-answers.ts'
import { asanaApi } from './asana/asana-api.ts'
import { AsanaData } from './asana/asana-data.ts'
import { asanaDialect, asanaOauth } from './asana/asana-oauth.ts'
import { asanaPages } from './asana/asana-pages.ts'
import { type AuthorizationDialect, AuthorizationServer } from './authorization-server.ts'
import type { Control } from './control.ts'
import { controlRoutes } from './control-routes.ts'
import { Effects } from './effects.ts'
import { Faults } from './faults.ts'
import { frontPage } from './front-page.ts'
import { githubFaults } from './github/github-answers.ts'
import { githubApi } from './github/github-api.ts'
import { githubAppApi } from './github/github-app-api.ts'
import { githubAppPages } from './github/github-app-pages.ts'
import { GithubCallers } from './github/github-callers.ts'
import { GithubData } from './github/github-data.ts'
import { GithubDevice } from './github/github-device.ts'
import { GithubInstallations, githubApp } from './github/github-installations.ts'
import { githubAppDialect, githubDialect, githubOauth } from './github/github-oauth.ts'
import { githubPages } from './github/github-pages.ts'
import { GithubViews } from './github/github-views.ts'
import { calendarApi } from './google/calendar-api.ts'
import { CalendarData } from './google/calendar-data.ts'
import { calendarPages } from './google/calendar-pages.ts'
import { googleFaults } from './google/google-answers.ts'
import { googleDialect, googleOauth } from './google/google-oauth.ts'
import { GrantStore } from './grant-store.ts'
import { crmApi } from './hubspot/crm-api.ts'
import { CrmData } from './hubspot/crm-data.ts'
import { crmPages } from './hubspot/crm-pages.ts'
import { hubspotFaults } from './hubspot/hubspot-answers.ts'
import { hubspotDialect, hubspotOauth } from './hubspot/hubspot-oauth.ts'
import { Issued } from './issued.ts'
import { AdminConsent, adminConsentPages, isAdministrator } from './microsoft/admin-consent.ts'
import { graphApi } from './microsoft/graph-api.ts'
import { GraphData } from './microsoft/graph-data.ts'
import { graphPages } from './microsoft/graph-pages.ts'
import { microsoftFaults } from './microsoft/microsoft-answers.ts'
import { microsoftDialect, microsoftOauth } from './microsoft/microsoft-oauth.ts'
import { notionFaults } from './notion/notion-answers.ts'
import { notionApi } from './notion/notion-api.ts'
import { NotionData } from './notion/notion-data.ts'
import { notionDialect, notionOauth } from './notion/notion-oauth.ts'
import { notionPages } from './notion/notion-pages.ts'
import { avatarOf, personByKey } from './people.ts'
import { RateLimits } from './rate-limits.ts'
import { paramOf } from './request-parts.ts'
import { salesforceFaults } from './salesforce/salesforce-answers.ts'
import { salesforceApi } from './salesforce/salesforce-api.ts'
import { SalesforceData } from './salesforce/salesforce-data.ts'
import { salesforceDialect, salesforceOauth } from './salesforce/salesforce-oauth.ts'
import { orgs } from './salesforce/salesforce-org.ts'
import { salesforcePages } from './salesforce/salesforce-pages.ts'
import { SandboxClock } from './sandbox-clock.ts'
import { SandboxStore } from './sandbox-store.ts'
import { ServiceKeys } from './service-keys.ts'
import { slackFaults } from './slack/slack-answers.ts'
import { slackApi } from './slack/slack-api.ts'
import { SlackData } from './slack/slack-data.ts'
import { slackDialect, slackOauth, TokenRotation } from './slack/slack-oauth.ts'
import { slackPages } from './slack/slack-pages.ts'
import type { SandboxAddress, SandboxLog, SandboxProviderId } from './stand-in.ts'

export interface SandboxOptions {
  /** Folder for `sandbox.sqlite`: apps, consents, tokens and data survive a restart and a kill. Memory where absent. */
  readonly dataDir?: string
  /** Absent: the port of last time if it is free, else any free one. Given and taken: the start fails. */
  readonly port?: number
  /** Redirect URIs the built-in apps accept, matched exactly; see `Sandbox.allowRedirect`. */
  readonly redirectUris?: readonly string[]
  readonly log?: SandboxLog
}

/**
 * Eight providers on this machine: their OAuth endpoints at their true paths below a prefix, over the certified
 * `oidc-provider`, and a slice of their APIs with data to work on. One port, 127.0.0.1 only.
 *
 * **How a client reaches it.** It keeps the provider's true URLs and swaps the origin when it dials:
 * `origins['https://api.github.com'] + '/user/repos'`. The browser is sent to the swapped authorize URL. What the sandbox
 * *says* about itself stays true to the provider, so nothing else of a client changes:
 *
 * | | GitHub | Google |
 * |---|---|---|
 * | RFC 9207 `iss` in the callback | `https://github.com/login/oauth` | `https://accounts.google.com` |
 * | `id_token` | none | RS256, `iss` `https://accounts.google.com`, `aud` = `azp` = client id, `nonce` when sent |
 * | JWKS | none | `https://www.googleapis.com/oauth2/v3/certs`: dial it through `origins` |
 * | discovery | none | `https://accounts.google.com/.well-known/openid-configuration`, Google's true URLs in it: dial each through `origins` |
 * | errors of the token endpoint | HTTP 200 and `{error}` | RFC 6749, 400/401 |
 * | extra callback parameters | none | `scope`, `authuser`, `prompt` |
 *
 * | | HubSpot | Notion | Slack |
 * |---|---|---|---|
 * | client authentication | form | HTTP Basic | form or HTTP Basic |
 * | token request | form, `/oauth/2026-03` only | JSON | form |
 * | scopes | spaces; `optional_scope` | none: the person chooses pages | commas; `scope` and `user_scope` |
 * | access token | 1800 s | no end said | no end, or 12 h with rotation |
 * | refresh token | not rotated | single use, the pair changes | with rotation: single use, bot and person apart |
 * | errors of the token endpoint | RFC 6749 and HubSpot's own words | RFC 6749 | HTTP 200 and `ok: false` |
 *
 * | | Microsoft | Asana | Salesforce |
 * |---|---|---|---|
 * | RFC 9207 `iss` in the callback | none | none | none |
 * | `id_token`, `iss` | RS256, `https://login.microsoftonline.com/{tid}/v2.0` | RS256, `https://app.asana.com/api/1.0` | RS256, `https://login.salesforce.com` or `https://test.salesforce.com` |
 * | discovery | per tenant; `common` has the literal `{tenantid}` in its issuer | `https://app.asana.com/api/1.0/.well-known/openid-configuration` | at login and test |
 * | access token | 60 to 90 minutes | an hour | two hours, said by introspection only |
 * | refresh token | 90 days, a new one each use, old ones stay good | does not age, with the code only | works once; a second use ends the family |
 * | revocation | none | refresh token only | either token |
 * | where the API lives | `https://graph.microsoft.com` | `https://app.asana.com/api/1.0` | `instance_url`: two orgs, each for its own tokens |
 *
 * URLs inside API answers (`html_url`, `avatar_url`, `url`, `picture`, `htmlLink`, `webLink`, `permalink_url`, pagination `Link`) point at the sandbox
 * itself, so that they open; they begin with `url`.
 */
export interface Sandbox extends SandboxAddress, AsyncDisposable {
  readonly port: number
  /** Lets the built-in apps send people back to `uri`, from now on; kept in the data folder. Idempotent. */
  allowRedirect(uri: string): void
  readonly control: Control
}

/**
 * Opens the sandbox and listens on 127.0.0.1. Throws one sentence where `port` is taken or another sandbox holds the folder.
 * Releasing it closes every connection and the file.
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { dataDir, log } = options
  const store = new SandboxStore(dataDir)
  let url = 'http://127.0.0.1'
  const here = () => url
  const clock = new SandboxClock(store)
  const effects = new Effects(store, clock)
  const limits = new RateLimits(clock)
  const faults = new Faults()
  const issued = new Issued()
  const apps = new AppRegistry(store)
  for (const uri of options.redirectUris ?? []) apps.allowRedirect(uri)
  const grants = {
    github: new GrantStore({ store, clock, provider: 'github' }),
    githubApp: new GrantStore({ store, clock, provider: 'github-app' }),
    google: new GrantStore({ store, clock, provider: 'google' }),
    hubspot: new GrantStore({ store, clock, provider: 'hubspot' }),
    notion: new GrantStore({ store, clock, provider: 'notion' }),
    slack: new GrantStore({ store, clock, provider: 'slack' }),
    microsoft: new GrantStore({ store, clock, provider: 'microsoft' }),
    asana: new GrantStore({ store, clock, provider: 'asana' }),
  }

  const server = fastify({ bodyLimit: 1024 * 1024, forceCloseConnections: true })
  // A web page that makes its own name resolve to 127.0.0.1 is not let in.
  server.addHook('onRequest', async (request, reply) =>
    /^(127\.0\.0\.1|localhost|\[::1\])$/i.test(request.hostname)
      ? undefined
      : reply.status(421).send({ error: 'The sandbox answers to 127.0.0.1 and localhost only.' }),
  )
  server.setErrorHandler<FastifyError>((error, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500)
      log?.error({ err: error, method: request.method, path: request.url }, 'the sandbox failed')
    return reply.status(status).send({ error: status >= 500 ? 'The sandbox failed.' : error.message })
  })
  const keys = new ServiceKeys({ store, clock })
  const installable = apps.register('github-app', () => ({
    clientId: `Iv23li${randomBytes(7).toString('hex')}`,
    clientSecret: randomBytes(20).toString('hex'),
  }))
  const registered = {
    github: {
      ...apps.register('github', () => ({
        clientId: `Ov23li${randomBytes(7).toString('hex')}`,
        clientSecret: randomBytes(20).toString('hex'),
      })),
      installable: {
        ...installable,
        appId: String(githubApp.id),
        // Not before it is looked at: making a key takes longer than starting all the rest.
        get privateKey() {
          return keys.given('github')
        },
        settings: { slug: githubApp.slug },
      },
    },
    google: apps.register('google', () => ({
      clientId: `${randomInt(10 ** 11, 10 ** 12)}-${randomBytes(16).toString('hex')}.apps.googleusercontent.com`,
      clientSecret: `GOCSPX-${randomBytes(21).toString('base64url')}`,
    })),
    hubspot: apps.register('hubspot', () => ({ clientId: randomUUID(), clientSecret: randomUUID() })),
    notion: apps.register('notion', () => ({
      clientId: randomUUID(),
      clientSecret: `secret_${randomBytes(32).toString('hex').slice(0, 43)}`,
    })),
    slack: apps.register('slack', () => ({
      clientId: `${randomInt(10 ** 11, 10 ** 12)}.${randomInt(10 ** 12, 10 ** 13)}`,
      clientSecret: randomBytes(16).toString('hex'),
    })),
    microsoft: apps.register('microsoft', () => ({
      clientId: randomUUID(),
      clientSecret: `${randomBytes(2).toString('hex').slice(0, 3)}8Q~${randomBytes(25).toString('base64url')}`,
    })),
    asana: apps.register('asana', () => ({
      clientId: String(1_204_000_000_000_000 + randomInt(10 ** 11)),
      clientSecret: randomBytes(16).toString('hex'),
    })),
    salesforce: apps.register('salesforce', () => ({
      clientId: `3MVG9${randomBytes(60).toString('base64url').replaceAll('-', '.')}`,
      clientSecret: randomBytes(32).toString('hex').toUpperCase(),
    })),
  }
  const github = {
    server: serverOf(githubDialect, grants.github),
    data: new GithubData({ store, clock, effects }),
  }
  const githubAppServer = serverOf(githubAppDialect, grants.githubApp)
  const installations = new GithubInstallations({ store, grants: grants.githubApp, keys, apps, clock })
  const google = {
    server: serverOf(googleDialect(here), grants.google),
    data: new CalendarData({ store, clock, effects }),
  }
  const hubspot = {
    server: serverOf(hubspotDialect, grants.hubspot),
    data: new CrmData({ store, clock, effects }),
  }
  const notion = {
    server: serverOf(notionDialect, grants.notion),
    data: new NotionData({ store, clock, effects }),
  }
  const rotation = new TokenRotation(store)
  const slack = {
    server: serverOf(slackDialect(rotation), grants.slack),
    data: new SlackData({ store, clock, effects }),
  }
  const microsoft = {
    server: serverOf(microsoftDialect, grants.microsoft),
    data: new GraphData({ store, clock, effects }),
  }
  const adminConsent = new AdminConsent({ store, grants: grants.microsoft })
  const asana = {
    server: serverOf(asanaDialect(here), grants.asana),
    data: new AsanaData({ store, clock, effects }),
  }
  // One provider, two orgs: the one behind login.salesforce.com and the one behind test.salesforce.com.
  const salesforce = orgs.map((org) => {
    const kept = new GrantStore({ store, clock, provider: org.key })
    const data = new SalesforceData(org, { store, clock, effects })
    return { org, grants: kept, server: serverOf(salesforceDialect(org, here), kept), data }
  })

  function serverOf(dialect: AuthorizationDialect, kept: GrantStore): AuthorizationServer {
    return new AuthorizationServer({ dialect, store, grants: kept, apps, log })
  }

  const grantsOf: Readonly<Record<SandboxProviderId, readonly GrantStore[]>> = {
    github: [grants.github, grants.githubApp],
    google: [grants.google],
    microsoft: [grants.microsoft],
    asana: [grants.asana],
    salesforce: salesforce.map((each) => each.grants),
    hubspot: [grants.hubspot],
    notion: [grants.notion],
    slack: [grants.slack],
  }
  const serversOf: Readonly<Record<SandboxProviderId, readonly AuthorizationServer[]>> = {
    github: [github.server, githubAppServer],
    google: [google.server],
    microsoft: [microsoft.server],
    asana: [asana.server],
    salesforce: salesforce.map((each) => each.server),
    hubspot: [hubspot.server],
    notion: [notion.server],
    slack: [slack.server],
  }
  const chosen = (provider: SandboxProviderId | undefined) =>
    provider === undefined ? Object.values(grantsOf).flat() : grantsOf[provider]
  const named = (key: string | undefined) => {
    const person = key === undefined ? undefined : personByKey(key)
    if (key !== undefined && person === undefined) throw new TypeError(`There is no ${key} in the sandbox.`)
    return person
  }
  const control: Control = {
    serviceKey: (provider) => keys.given(provider),
    fault: (fault) => faults.add(fault),
    faults: () => faults.armed(),
    clearFaults: () => faults.clear(),
    allowRedirect: (uri) => apps.allowRedirect(uri),
    effects: (filter) => effects.list(filter),
    requests: (filter) => faults.seen(filter),
    issued: () => issued.list(),
    revoke: (provider, key) => {
      const person = named(key)
      const killed = serversOf[provider].reduce((sum, each) => sum + each.withdraw(person), 0)
      if (provider === 'github') installations.withdraw(key)
      // What an administrator allowed for everybody ends with everybody's consent.
      if (provider === 'microsoft' && (person === undefined || isAdministrator(person)))
        adminConsent.withdraw()
      if (provider === 'google' || provider === 'salesforce') keys.withdraw(provider, key)
      return killed
    },
    challenge: (key, provider = 'microsoft') =>
      (provider === 'google' ? google : microsoft).server.challenge(named(key)),
    expireTokens: (provider) => chosen(provider).reduce((sum, each) => sum + each.expireAccessTokens(), 0),
    advance: (seconds) => clock.advance(seconds),
    now: () => clock.now(),
    turnOnSlackTokenRotation: () => rotation.turnOn(),
    rateLimit: (provider, requests) => limits.set(provider, requests),
    authorizeOnInstall: (on) => {
      installations.authorizes = on
    },
    reset: () => {
      store.transaction(() => {
        for (const each of chosen(undefined)) each.clear()
        effects.clear()
        installations.clear()
        adminConsent.withdraw()
        keys.restore()
        rotation.reset()
        for (const { data } of [github, google, microsoft, asana, ...salesforce, hubspot, notion, slack])
          data.seed()
      })
      faults.clear()
      faults.forgetSeen()
      issued.forget()
      limits.clear()
    },
  }

  await server.register(async (scope) => {
    // Providers differ in how they complain about a body, so each reads the text itself.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(
      '*',
      { parseAs: 'string' },
      async (_request: FastifyRequest, body: string) => body,
    )
    issued.watch(scope)
    faults.watch(scope, [
      githubFaults,
      googleFaults,
      microsoftFaults,
      asanaFaults,
      salesforceFaults,
      hubspotFaults,
      notionFaults,
      slackFaults,
    ])
    githubOauth(scope, {
      server: github.server,
      appServer: githubAppServer,
      apps,
      device: new GithubDevice({ server: github.server, grants: grants.github, clock }),
      url: here,
    })
    const views = new GithubViews(github.data, here)
    const callers = new GithubCallers({
      oauth: github.server,
      app: githubAppServer,
      installations,
      data: github.data,
    })
    githubApi(scope, { callers, data: github.data, views, limits, url: here })
    githubAppApi(scope, { installations, callers, data: github.data, views, apps, url: here })
    githubAppPages(scope, { installations, data: github.data, apps })
    githubPages(scope, github.data)
    googleOauth(scope, { server: google.server, apps, keys, url: here })
    calendarApi(scope, { server: google.server, data: google.data, limits, url: here })
    calendarPages(scope, google.data)
    hubspotOauth(scope, { server: hubspot.server, apps })
    crmApi(scope, { server: hubspot.server, data: hubspot.data, limits, url: here })
    crmPages(scope, hubspot.data)
    notionOauth(scope, { server: notion.server, apps, url: here })
    notionApi(scope, { server: notion.server, data: notion.data, limits, url: here })
    notionPages(scope, notion.data)
    slackOauth(scope, { server: slack.server, apps, rotation, grants: grants.slack })
    slackApi(scope, { server: slack.server, data: slack.data, limits, url: here })
    slackPages(scope, slack.data)
    microsoftOauth(scope, { server: microsoft.server, apps, adminConsent })
    adminConsentPages(scope, { apps, adminConsent })
    graphApi(scope, {
      server: microsoft.server,
      adminConsent,
      data: microsoft.data,
      limits,
      clock,
      url: here,
    })
    graphPages(scope, microsoft.data)
    asanaOauth(scope, { server: asana.server, apps, url: here })
    asanaApi(scope, { server: asana.server, data: asana.data, limits, clock, url: here })
    asanaPages(scope, asana.data)
    for (const { org, server: signIn, data } of salesforce) {
      salesforceOauth(scope, { org, server: signIn, apps, keys, clock, url: here })
      salesforceApi(scope, { org, server: signIn, data, limits, clock })
      salesforcePages(scope, { org, data })
    }
  })
  server.get('/avatars/:file', async (request, reply) => {
    const picture = avatarOf(paramOf(request, 'file').replace(/\.png$/, ''))
    if (picture === undefined) return reply.status(404).send({ error: 'Nobody has this picture.' })
    return reply.type('image/png').header('cache-control', 'public, max-age=86400').send(picture)
  })
  const about = () => ({ url, origins: originsOf(url), apps: registered })
  controlRoutes(server, control, about)
  frontPage(server, about)

  try {
    await listen(server, options.port, store.setting('port'))
  } catch (thrown) {
    await server.close()
    store[Symbol.dispose]()
    throw thrown
  }
  const { port } = server.server.address() as AddressInfo
  url = `http://127.0.0.1:${port}`
  store.keepSetting('port', String(port))
  log?.info({ url }, 'the sandbox listens')

  return {
    ...about(),
    port,
    control,
    allowRedirect: (uri) => apps.allowRedirect(uri),
    [Symbol.asyncDispose]: async () => {
      await server.close()
      store[Symbol.dispose]()
    },
  }
}

/** On the port asked for; else on the one of last time, else on any. */
async function listen(
  server: FastifyInstance,
  asked: number | undefined,
  last: string | undefined,
): Promise<void> {
  const ports = asked === undefined ? [...(last === undefined ? [] : [Number(last)]), 0] : [asked]
  for (const port of ports) {
    try {
      await server.listen({ host: '127.0.0.1', port })
      return
    } catch (thrown) {
      if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EADDRINUSE')) throw thrown
    }
  }
  throw new Error(`Port ${asked} is taken: choose another for the sandbox.`)
}

function originsOf(url: string): Sandbox['origins'] {
  return {
    'https://github.com': `${url}/github`,
    'https://api.github.com': `${url}/github/api`,
    'https://accounts.google.com': `${url}/google`,
    'https://oauth2.googleapis.com': `${url}/google`,
    'https://openidconnect.googleapis.com': `${url}/google`,
    'https://www.googleapis.com': `${url}/google`,
    'https://app.hubspot.com': `${url}/hubspot`,
    'https://api.hubapi.com': `${url}/hubspot/api`,
    'https://api.notion.com': `${url}/notion`,
    'https://slack.com': `${url}/slack`,
    'https://login.microsoftonline.com': `${url}/microsoft`,
    'https://graph.microsoft.com': `${url}/microsoft/graph`,
    'https://app.asana.com': `${url}/asana`,
    'https://login.salesforce.com': `${url}/salesforce/login`,
    'https://atom-labs.my.salesforce.com': `${url}/salesforce/atom-labs`,
    'https://test.salesforce.com': `${url}/salesforce-test/login`,
    'https://atom-labs--test.sandbox.my.salesforce.com': `${url}/salesforce-test/atom-labs`,
  }
}
