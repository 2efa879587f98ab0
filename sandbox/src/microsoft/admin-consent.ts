import { randomBytes, randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AppRegistry } from '../app-registry.ts'
import { type AppToken, AppTokens } from '../app-tokens.ts'
import type { GrantStore } from '../grant-store.ts'
import { html, sendPage } from '../page.ts'
import { type Person, people, personByKey } from '../people.ts'
import { fieldsOf, paramOf, queryOf } from '../request-parts.ts'
import type { SandboxStore } from '../sandbox-store.ts'
import { refuse, tokenLooks } from './microsoft-answers.ts'
import { tenant } from './microsoft-seed.ts'

/** What the app registration asks administrators for: application permissions, which hold for everybody of the directory. */
const permissions: Readonly<Record<string, string>> = {
  'Organization.Read.All': 'Read organization information',
  'User.Read.All': 'Read all users’ full profiles',
  'Mail.Read': 'Read mail in all mailboxes',
  'Mail.Send': 'Send mail as any user',
  'Calendars.ReadWrite': 'Read and write calendars in all mailboxes',
}

const note = 'Sandbox: a stand-in for Microsoft on this machine'
const grantId = 'admin-consent'
/** Says 3599: a second less than an hour is left once the answer arrives. */
export const appTokenSeconds = 3599

/** Whether an administrator has let the app into the directory, and the tokens that it has in its own name since. */
export class AdminConsent {
  readonly #store: SandboxStore
  readonly #tokens: AppTokens

  constructor(dependencies: { store: SandboxStore; grants: GrantStore }) {
    this.#store = dependencies.store
    this.#tokens = new AppTokens({
      grants: dependencies.grants,
      mint: () => tokenLooks({ tid: tenant.id, idtyp: 'app', uti: randomBytes(16).toString('base64url') }),
    })
  }

  get given(): boolean {
    return this.#store.setting('microsoft.adminConsent') === 'on'
  }

  give(): void {
    this.#store.keepSetting('microsoft.adminConsent', 'on')
  }

  /** The app is deleted from the directory. */
  withdraw(): void {
    this.#store.keepSetting('microsoft.adminConsent', 'off')
    this.#tokens.endAll(grantId)
  }

  /** Worth all that was allowed: an app cannot ask for less. */
  issue(clientId: string): string {
    const scopes = Object.keys(permissions)
    return this.#tokens.issue({ clientId, grantId, scopes, seconds: appTokenSeconds }).token
  }

  token(token: string): AppToken | undefined {
    return this.#tokens.find(token)
  }
}

export function isAdministrator({ key }: Person): boolean {
  return key === 'ada'
}

/** https://learn.microsoft.com/entra/identity-platform/v2-admin-consent, with the older address that does without `scope`. */
export function adminConsentPages(
  app: FastifyInstance,
  dependencies: { apps: AppRegistry; adminConsent: AdminConsent },
): void {
  const { apps, adminConsent } = dependencies

  const problemOf = (request: FastifyRequest): readonly [number, string] | undefined => {
    const asked = queryOf(request)
    const directoryName = paramOf(request, 'tenant')
    const clientId = asked['client_id'] ?? ''
    // Nobody of `common` or `consumers` administers a directory.
    if (![tenant.id, tenant.domain, 'organizations'].includes(directoryName)) {
      return [90002, `Tenant '${directoryName}' not found.`]
    }
    if (!apps.knows('microsoft', clientId)) {
      return [
        700016,
        `Application with identifier '${clientId}' was not found in the directory '${tenant.name}'.`,
      ]
    }
    if (!apps.redirectUris.includes(asked['redirect_uri'] ?? '')) {
      return [
        50011,
        `The redirect URI '${asked['redirect_uri'] ?? ''}' specified in the request does not match the redirect URIs configured for the application.`,
      ]
    }
    return request.url.includes('/v2.0/') && (asked['scope'] ?? '') === ''
      ? [900144, "The request body must contain the following parameter: 'scope'."]
      : undefined
  }

  for (const path of ['/microsoft/:tenant/v2.0/adminconsent', '/microsoft/:tenant/adminconsent']) {
    app.get(path, async (request, reply) => {
      const problem = problemOf(request)
      if (problem !== undefined) return refuse(reply, ...problem)
      const person = personByKey(queryOf(request)['sandbox_person'] ?? '')
      return person === undefined ? personPage(request, reply) : consentPage(request, reply, person)
    })
    app.post(path, async (request, reply) => {
      const problem = problemOf(request)
      if (problem !== undefined) return refuse(reply, ...problem)
      const asked = queryOf(request)
      const sent = fieldsOf(request)
      const chosen = personByKey(sent['person'] ?? '')
      if (chosen !== undefined) {
        const here = new URL(request.url, 'http://sandbox')
        here.searchParams.set('sandbox_person', chosen.key)
        return reply.redirect(here.pathname + here.search, 303)
      }
      const person = personByKey(asked['sandbox_person'] ?? '')
      const agreed = sent['decision'] === 'agree' && person !== undefined && isAdministrator(person)
      if (agreed) adminConsent.give()
      const url = new URL(asked['redirect_uri'] ?? '')
      const said = {
        // Also with a no: it says which kind of answer this is, not what it is.
        admin_consent: 'True',
        ...(asked['state'] !== undefined && { state: asked['state'] }),
        ...(agreed
          ? { tenant: tenant.id, ...(asked['scope'] !== undefined && { scope: asked['scope'] }) }
          : {
              error: 'consent_required',
              error_description: `AADSTS65004: The resource owner or authorization server denied the request. Trace ID: ${randomUUID()} Correlation ID: ${randomUUID()}`,
            }),
      }
      for (const [name, value] of Object.entries(said)) url.searchParams.set(name, value)
      return reply.redirect(url.href, 302)
    })
  }
}

function personPage(request: FastifyRequest, reply: FastifyReply) {
  return sendPage(reply, {
    title: 'Choose a person · Microsoft sandbox',
    note,
    formTarget: queryOf(request)['redirect_uri'],
    body: html`<h1>Who do you want to be?</h1>
<p class="quiet">These people exist only here. No password is needed.</p>
<form method="post"><div class="people">${people.map(
      (person) =>
        html`<button name="person" value="${person.key}"><img src="/avatars/${person.key}.png" alt="" width="36" height="36"><span class="who"><b>${person.name}</b><span>${person.email}${isAdministrator(person) ? ', administrator' : ''}</span></span></button>`,
    )}</div></form>`,
  })
}

function consentPage(request: FastifyRequest, reply: FastifyReply, person: Person) {
  const decides = isAdministrator(person)
  return sendPage(reply, {
    title: 'Permissions requested · Microsoft sandbox',
    note,
    formTarget: queryOf(request)['redirect_uri'],
    body: decides
      ? html`<h1>Atom wants to act in all of ${tenant.name}</h1>
<p class="quiet">You review it for your organization. Nobody else will be asked.</p>
<form method="post"><h2 id="asked">It may then, without anybody signed in</h2>
<ul class="scopes" aria-labelledby="asked">${Object.entries(permissions).map(
          ([scope, meaning]) => html`<li><span>${meaning}<code>${scope}</code></span></li>`,
        )}</ul>
<div class="actions"><button name="decision" value="cancel">Cancel</button><button class="next" name="decision" value="agree">Accept</button></div></form>`
      : html`<h1>Need admin approval</h1>
<p>Atom needs permissions that only an administrator of ${tenant.name} can grant. <code>AADSTS90094</code></p>
<form method="post"><div class="actions"><button name="decision" value="cancel">Return to the application without granting consent</button></div></form>`,
    footer: html`You go back to ${new URL(queryOf(request)['redirect_uri'] ?? 'about:blank').origin}. Nothing leaves this machine.`,
  })
}
