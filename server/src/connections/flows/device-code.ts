import type { DeviceCode } from '@atom/contract/connections.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { fingerprint, newId, randomToken } from '#foundation/ids.ts'
import { filled } from '#providers/provider.ts'
import type { App, Apps } from '../apps.ts'
import {
  type Grant,
  GrantOutage,
  GrantRefused,
  type TokenEndpoint,
} from '../authorization-server/token-endpoint.ts'
import type { ConnectionRow } from '../connection-store.ts'
import type { CredentialVault } from '../credential-vault.ts'
import { particularsToAsk, scopesToAsk } from './asked-for.ts'
import { type FlowPerson, type FlowWish, localPath, refusal } from './authorization-code.ts'
import { requireOffered, requireParticulars } from './flow-needs.ts'
import type { FlowRow, FlowStore } from './flow-store.ts'

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code'
/** RFC 8628 3.2. */
const standardInterval = 5
/** Nothing that is longer is meant: a code that is asked for so seldom, or lives so long, would wait in vain. */
const longestIntervalSeconds = 60
const longestLifeSeconds = 24 * 3600

export interface BegunDeviceFlow {
  readonly flowId: string
  readonly device: DeviceCode
}

/** The provider's word on a device code: not yet, not yet and less often, or a grant. */
export type DeviceAnswer =
  | { readonly pending: 'same' | 'slower' | 'unreachable' }
  | { readonly grant: Grant; readonly app: App }

/** The device authorization grant (RFC 8628): the person enters a code elsewhere, and the server asks until they have. */
export class DeviceCodeFlow {
  readonly #store: FlowStore
  readonly #vault: CredentialVault
  readonly #apps: Apps
  readonly #tokenEndpoint: TokenEndpoint
  readonly #sessionEnded: (sessionId: string) => boolean
  readonly #clock: Clock

  constructor(dependencies: {
    store: FlowStore
    vault: CredentialVault
    apps: Apps
    tokenEndpoint: TokenEndpoint
    sessionEnded: (sessionId: string) => boolean
    clock: Clock
  }) {
    this.#store = dependencies.store
    this.#vault = dependencies.vault
    this.#apps = dependencies.apps
    this.#tokenEndpoint = dependencies.tokenEndpoint
    this.#sessionEnded = dependencies.sessionEnded
    this.#clock = dependencies.clock
  }

  /**
   * @param target the connection that consent is given for anew
   * @throws AtomError `provider_unknown` | `provider_not_configured` | `validation_failed` | `provider_refused` |
   * `provider_misconfigured` | `provider_unavailable`
   */
  async begin(person: FlowPerson, wish: FlowWish, target?: ConnectionRow): Promise<BegunDeviceFlow> {
    const returnTo = localPath(wish.returnTo ?? '/connections')
    const said = particularsToAsk(this.#apps.provider(wish.provider), wish, target)
    const app =
      target === undefined
        ? await this.#apps.current(person, wish.provider, said, 'device_code')
        : await this.#apps.again(person, { ...target, flow: 'device_code', particulars: said })
    const { provider, particulars } = app
    requireParticulars(provider, 'device_code', particulars)
    requireOffered(provider, deviceGrant)
    const scopes = scopesToAsk(app, wish, target)
    const named = provider.flows?.device_code?.endpoint
    const endpoint =
      named === undefined ? provider.metadata?.device_authorization_endpoint : filled(named, particulars)
    if (endpoint === undefined) {
      throw new AtomError('provider_refused', `${provider.name}: the server gives out no device codes.`)
    }
    const answer = await this.#authorization(app, endpoint, scopes)
    const interval = Math.min(
      Math.max(1, Math.ceil(answer.interval ?? standardInterval)),
      longestIntervalSeconds,
    )
    const expiresIn = Math.min(Math.floor(answer.expires_in), longestLifeSeconds)
    const id = newId()
    const createdAt = this.#clock.now()
    const sealed = await this.#vault.sealFlow(
      { workspaceId: person.workspaceId, flowId: id },
      { codeVerifier: '', nonce: '', deviceCode: answer.device_code },
    )
    await this.#store.beginDeviceFlow(
      {
        id,
        connectionId: target?.id ?? null,
        workspaceId: person.workspaceId,
        accountId: person.accountId,
        sessionId: person.sessionId,
        provider: provider.id,
        flow: 'device_code',
        appId: app.id,
        clientId: app.clientId,
        // Of states that nobody knows: no callback can ever belong to it.
        stateHash: fingerprint(randomToken()),
        browserHash: fingerprint(randomToken()),
        redirectUri: '',
        returnTo,
        scopes,
        particulars,
        ...sealed,
        createdAt,
        expiresAt: new Date(createdAt.getTime() + expiresIn * 1000),
      },
      interval,
    )
    return {
      flowId: id,
      device: {
        userCode: answer.user_code,
        verificationUri: answer.verification_uri,
        ...(answer.verification_uri_complete !== undefined && {
          verificationUriComplete: answer.verification_uri_complete,
        }),
        expiresIn,
        interval,
      },
    }
  }

  /**
   * Asks whether the person has entered the code.
   * @throws AtomError `flow_expired` | `flow_signed_out` | `consent_denied` | `provider_refused` |
   * `provider_misconfigured` | `provider_not_configured`: it is over
   */
  async ask(flow: FlowRow): Promise<DeviceAnswer> {
    if (flow.expiresAt <= this.#clock.now()) throw new AtomError('flow_expired')
    if (flow.sessionId !== null && this.#sessionEnded(flow.sessionId)) throw new AtomError('flow_signed_out')
    const app = await this.#apps.of(flow)
    const place = { workspaceId: flow.workspaceId, flowId: flow.id }
    const { deviceCode = '' } = await this.#vault.openFlow(place, flow)
    try {
      const grant = await this.#tokenEndpoint.grant(app, {
        grantType: deviceGrant,
        parameters: { device_code: deviceCode },
        client: 'authenticates',
      })
      return { grant, app }
    } catch (error) {
      // RFC 8628 3.5: whoever cannot be reached is asked again, less often.
      if (error instanceof GrantOutage) return { pending: 'unreachable' }
      if (!(error instanceof GrantRefused)) throw error
      if (error.error === 'authorization_pending') return { pending: 'same' }
      if (error.error === 'slow_down') return { pending: 'slower' }
      if (error.verdict === 'retry') return { pending: 'unreachable' }
      if (error.error === 'expired_token') throw new AtomError('flow_expired', undefined, { cause: error })
      throw refusal(app, error.verdict, error.error, error)
    }
  }

  async #authorization(app: App, endpoint: string, scopes: readonly string[]) {
    try {
      const answer = await this.#tokenEndpoint.deviceAuthorization(app, endpoint, scopes)
      for (const address of [answer.verification_uri, answer.verification_uri_complete]) {
        // People are told to open it: no script, no file, and nothing unencrypted but a sandbox on this machine.
        if (address !== undefined && !isOpenable(address, app.sandbox)) {
          throw new AtomError('provider_refused', `${app.provider.name} names no address that can be opened.`)
        }
      }
      return answer
    } catch (error) {
      if (error instanceof GrantOutage) {
        throw new AtomError('provider_unavailable', `${app.provider.name} did not answer. Try again.`, {
          cause: error,
        })
      }
      if (error instanceof GrantRefused) throw refusal(app, error.verdict, error.error, error)
      throw error
    }
  }
}

function isOpenable(address: string, sandbox: boolean): boolean {
  if (!URL.canParse(address)) return false
  const { protocol } = new URL(address)
  return protocol === 'https:' || (sandbox && protocol === 'http:')
}
