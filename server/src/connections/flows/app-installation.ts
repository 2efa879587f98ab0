import { Type } from 'typebox'
import { Check } from 'typebox/value'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Outbound } from '#foundation/outbound.ts'
import { Secret } from '#foundation/secret.ts'
import { filled, unfitParticulars, verdictOf } from '#providers/provider.ts'
import type { InstalledByKey } from '#providers/provider-flows.ts'
import { placed } from '#providers/stand-in.ts'
import type { App, Apps } from '../apps.ts'
import { appAssertion } from '../authorization-server/signed-assertion.ts'
import { type Grant, GrantOutage, GrantRefused } from '../authorization-server/token-endpoint.ts'
import { type Callback, refusal, type TakenFlow } from './authorization-code.ts'
import type { FlowRow } from './flow-store.ts'

const InstallationToken = Type.Object({
  token: Type.String({ minLength: 1 }),
  expires_at: Type.String(),
  permissions: Type.Optional(Type.Record(Type.String(), Type.String())),
})

const requestTimeoutMs = 20_000
const largestAnswer = 1024 * 1024

/** An app that is installed for an organisation, and then acts there in its own name. */
export class AppInstallation {
  readonly #apps: Apps
  readonly #outbound: Outbound
  readonly #clock: Clock

  constructor(dependencies: { apps: Apps; outbound: Outbound; clock: Clock }) {
    this.#apps = dependencies.apps
    this.#outbound = dependencies.outbound
    this.#clock = dependencies.clock
  }

  /**
   * Where the app was installed, as the browser says on its return. That is believed of an operator only: who has the app's
   * own key or secret could name any installation anyway, and nobody else gets here.
   *
   * @returns the flow with the installation among its particulars, and the app for it
   * @throws AtomError `consent_denied` | `consent_pending` | `provider_refused` | `provider_misconfigured`
   */
  async installed({ flow, app }: TakenFlow, callback: Callback): Promise<TakenFlow> {
    const { provider } = app
    const { parameters } = callback
    const error = parameters.get('error')
    const installation = provider.flows?.app_installation
    if (error !== null) {
      const denied = installation?.by !== 'consent' && installation?.answer.denied?.includes(error) === true
      throw refusal(app, denied ? 'denied' : verdictOf(provider, error), error)
    }
    if (installation === undefined || installation.by === 'consent') return { flow, app }
    if (parameters.get(installation.answer.pending?.name ?? '') === installation.answer.pending?.value) {
      throw new AtomError('consent_pending')
    }
    const value = parameters.get(installation.answer.name) ?? ''
    const particulars = { ...flow.particulars, [installation.particular]: value }
    const needed = installation.answer.confirmed
    const confirmed =
      needed === undefined || parameters.get(needed.name)?.toLowerCase() === needed.value.toLowerCase()
    const { pattern = /./ } = installation.answer
    const named = pattern.test(value) && unfitParticulars(provider, particulars).length === 0
    if (!confirmed || !named) {
      throw new AtomError('provider_refused', `${provider.name} did not say where the app was installed.`)
    }
    const settled: FlowRow = { ...flow, particulars }
    return { flow: settled, app: await this.#apps.of(settled) }
  }

  /**
   * A token for an installation, asked for with an assertion that the app signs.
   * @throws GrantRefused | GrantOutage
   */
  async token(app: App, installation: InstalledByKey): Promise<Grant> {
    const { provider } = app
    const url = filled(installation.token, app.particulars)
    const assertion = await appAssertion(app, this.#clock.now())
    const answer = await this.#outbound
      .fetch(placed(url, app.standIns), {
        method: 'POST',
        headers: { ...provider.api.headers, authorization: `Bearer ${assertion}` },
        timeoutMs: requestTimeoutMs,
        maxBytes: largestAnswer,
      })
      .catch((error: unknown) => {
        // A token that nobody heard of does no harm: the next request makes another.
        if (error instanceof AtomError && error.code === 'provider_unavailable') {
          throw new GrantOutage('the app endpoint did not answer', false)
        }
        throw error
      })
    if (answer.status !== 201 && answer.status !== 200) {
      await answer.body?.cancel()
      throw refused(answer.status)
    }
    const body: unknown = await answer.json().catch(() => undefined)
    if (!Check(InstallationToken, body)) throw new GrantOutage('the answer is unusable', false)
    const expiresAt = new Date(body.expires_at)
    return {
      accessToken: new Secret(body.token),
      refreshToken: undefined,
      expiresAt: Number.isNaN(expiresAt.getTime()) ? null : expiresAt,
      granted: Object.entries(body.permissions ?? {}).map(([name, level]) => `${name}:${level}`),
      refreshExpiresAt: null,
      slot: 'main',
      others: [],
      subject: undefined,
      particulars: {},
    }
  }
}

/** The endpoint speaks no OAuth: its status is all that it says. */
function refused(status: number): Error {
  if (status >= 500 || status === 429 || status === 408) {
    return new GrantOutage(`the app endpoint answered ${status}`, false)
  }
  if (status === 401) return new GrantRefused('operator', 'invalid_client')
  // Uninstalled, or suspended.
  if (status === 404 || status === 403) return new GrantRefused('reconnect', 'installation_gone')
  return new GrantRefused('refused', `status_${status}`)
}
