import { randomBytes, randomInt } from 'node:crypto'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { AdapterPayload } from 'oidc-provider'
import type { AppRegistry } from '../app-registry.ts'
import { type AuthorizationServer, type Parameters, scopeList } from '../authorization-server.ts'
import type { GrantStore } from '../grant-store.ts'
import { html, sendPage } from '../page.ts'
import { people, personByKey } from '../people.ts'
import { fieldsOf, queryOf } from '../request-parts.ts'
import type { SandboxClock } from '../sandbox-clock.ts'

const model = 'GithubDevice'
const lifeSeconds = 900
const firstInterval = 5
/** Consonants that cannot be mistaken for each other, as RFC 8628 6.1 advises. */
const letters = 'BCDFGHJKLMNPQRSTVWXZ'

interface Asked {
  readonly interval: number
  /** Milliseconds; when a token was last asked for. */
  readonly at: number
}

/** GitHub's refusals, which come with status 200. */
export type DeviceAnswer =
  | { readonly token: string; readonly scopes: readonly string[] }
  | { readonly error: string; readonly description: string; readonly interval?: number }

/**
 * GitHub's device flow (docs.github.com, "Authorizing OAuth apps", device flow): a code of 40 characters for the app, one of
 * eight for the person, a page to enter it on, and a client that is told off when it asks too often.
 */
export class GithubDevice {
  readonly #server: AuthorizationServer
  readonly #grants: GrantStore
  readonly #clock: SandboxClock

  constructor(dependencies: { server: AuthorizationServer; grants: GrantStore; clock: SandboxClock }) {
    this.#server = dependencies.server
    this.#grants = dependencies.grants
    this.#clock = dependencies.clock
  }

  begin(clientId: string, scopes: readonly string[]): { deviceCode: string; userCode: string } {
    const deviceCode = randomBytes(20).toString('hex')
    const drawn = Array.from({ length: 8 }, () => letters[randomInt(letters.length)]).join('')
    const userCode = `${drawn.slice(0, 4)}-${drawn.slice(4)}`
    this.#save(deviceCode, {
      exp: Math.floor(Date.now() / 1000) + lifeSeconds,
      uid: userCode,
      clientId,
      scope: scopes.join(' '),
      params: { interval: firstInterval, at: 0 } satisfies Asked,
    })
    return { deviceCode, userCode }
  }

  /** What is asked under a code that a person has entered; undefined where it is none that waits for an answer. */
  question(userCode: string): { readonly scopes: readonly string[] } | undefined {
    const found = this.#waiting(userCode)
    return found === undefined ? undefined : { scopes: scopeList(found.scope) }
  }

  /** The person's word. False where nobody waits for it any more. */
  answer(userCode: string, personKey: string | undefined): boolean {
    const found = this.#waiting(userCode)
    const person = personKey === undefined ? undefined : personByKey(personKey)
    if (found?.jti === undefined || (personKey !== undefined && person === undefined)) return false
    this.#save(found.jti, {
      ...found,
      ...(person === undefined ? { error: 'access_denied' } : { accountId: person.key }),
    })
    return true
  }

  async token(deviceCode: string, clientId: string): Promise<DeviceAnswer> {
    const found = this.#grants.find(model, deviceCode)
    if (found === undefined || found.clientId !== clientId) {
      return { error: 'incorrect_device_code', description: 'The device_code provided is not valid.' }
    }
    if (expired(found)) {
      return { error: 'expired_token', description: 'This `device_code` has expired.' }
    }
    if (found.error !== undefined) {
      return { error: found.error, description: 'The authorization request was denied.' }
    }
    const person = found.accountId === undefined ? undefined : personByKey(found.accountId)
    if (person !== undefined) {
      this.#grants.destroy(model, deviceCode)
      const scopes = scopeList(found.scope)
      return { token: await this.#server.issue(person, clientId, scopes), scopes }
    }
    return this.#notYet(deviceCode, found)
  }

  #notYet(deviceCode: string, found: AdapterPayload): DeviceAnswer {
    const now = this.#clock.now().getTime()
    const { interval, at } = found.params as unknown as Asked
    const tooSoon = now - at < interval * 1000
    const next = tooSoon ? interval + 5 : interval
    this.#save(deviceCode, { ...found, params: { interval: next, at: now } satisfies Asked })
    return tooSoon
      ? { error: 'slow_down', description: 'Too many requests have been made.', interval: next }
      : { error: 'authorization_pending', description: 'The authorization request is still pending.' }
  }

  #waiting(userCode: string): AdapterPayload | undefined {
    const found = this.#grants.findByUid(model, userCode.trim().toUpperCase())
    const answered = found?.error !== undefined || found?.accountId !== undefined
    return found === undefined || answered || expired(found) ? undefined : found
  }

  #save(deviceCode: string, payload: AdapterPayload): void {
    this.#grants.save(model, deviceCode, { ...payload, jti: deviceCode })
  }
}

function expired(payload: AdapterPayload): boolean {
  return (payload.exp ?? 0) <= Date.now() / 1000
}

export function githubDevicePages(
  app: FastifyInstance,
  dependencies: {
    device: GithubDevice
    apps: AppRegistry
    words: (scope: string) => string
    known: (scopes: readonly string[]) => readonly string[]
    say: (reply: FastifyReply, accept: string, body: Record<string, string>) => FastifyReply
    url: () => string
  },
): void {
  const { device, apps, words } = dependencies
  const note = 'Sandbox: a stand-in for GitHub on this machine'

  app.post('/github/login/device/code', async (request, reply) => {
    const sent = fieldsOf(request)
    const clientId = sent['client_id'] ?? ''
    const wanted = request.headers.accept ?? ''
    if (!apps.knows('github', clientId)) {
      return dependencies.say(reply.status(404), wanted, { error: 'Not Found' })
    }
    const begun = device.begin(clientId, dependencies.known(scopeList(sent['scope'])))
    return dependencies.say(reply, wanted, {
      device_code: begun.deviceCode,
      user_code: begun.userCode,
      // Meant to be opened, so it names the sandbox.
      verification_uri: `${dependencies.url()}/github/login/device`,
      expires_in: String(lifeSeconds),
      interval: String(firstInterval),
    })
  })

  app.get('/github/login/device', async (request, reply) =>
    codePage(reply, queryOf(request)['user_code'] ?? '', undefined),
  )

  app.post('/github/login/device', async (request, reply) => {
    const sent: Parameters = fieldsOf(request)
    const userCode = sent['user_code'] ?? ''
    const question = device.question(userCode)
    if (question === undefined) {
      return codePage(reply, userCode, 'No app waits for this code. Look at it again, or ask for a new one.')
    }
    if (sent['decision'] === undefined) return consentPage(reply, userCode, question.scopes)
    const agreed = sent['decision'] === 'agree'
    if (!device.answer(userCode, agreed ? (sent['person'] ?? '') : undefined)) {
      return codePage(reply, userCode, 'Choose one of the people of the sandbox.')
    }
    return sendPage(reply, {
      title: 'Device · GitHub sandbox',
      note,
      body: agreed
        ? html`<h1>Congratulations, you’re all set!</h1><p>Your device is now connected.</p>`
        : html`<h1>Nothing was connected</h1><p>The app will be told that you said no.</p>`,
    })
  })

  function codePage(reply: FastifyReply, userCode: string, problem: string | undefined) {
    return sendPage(reply, {
      title: 'Device activation · GitHub sandbox',
      note,
      ...(problem !== undefined && { status: 400 }),
      body: html`<h1>Device activation</h1>
${problem === undefined ? undefined : html`<p role="alert">${problem}</p>`}
<form method="post" action="/github/login/device"><p><label for="code">Enter the code displayed on your device</label></p>
<p><input class="code" id="code" name="user_code" value="${userCode}" autocomplete="off" spellcheck="false" required></p>
<div class="actions"><button class="next">Continue</button></div></form>`,
      footer: html`GitHub staff will never ask you to enter a code on this page.`,
    })
  }

  function consentPage(reply: FastifyReply, userCode: string, scopes: readonly string[]) {
    const [first] = people
    return sendPage(reply, {
      title: 'Authorize Atom · GitHub sandbox',
      note,
      body: html`<h1>Atom wants to use your GitHub account</h1>
<form method="post" action="/github/login/device"><input type="hidden" name="user_code" value="${userCode}">
<h2 id="who">Who do you want to be?</h2>
<ul class="scopes" aria-labelledby="who">${people.map(
        (person) =>
          html`<li><label><input type="radio" name="person" value="${person.key}"${
            person === first ? html` checked` : undefined
          }><span>${person.name}<code>${person.key}</code></span></label></li>`,
      )}</ul>
<h2 id="asked">Atom may then</h2>
<ul class="scopes" aria-labelledby="asked">${(scopes.length === 0 ? ['public data'] : scopes).map(
        (scope) => html`<li><span>${words(scope)}<code>${scope}</code></span></li>`,
      )}</ul>
<div class="actions"><button name="decision" value="cancel">Cancel</button><button class="next" name="decision" value="agree">Authorize</button></div></form>`,
      footer: html`Nothing leaves this machine.`,
    })
  }
}
