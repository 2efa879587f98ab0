import type { FlowName } from '@atom/contract/connections.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { Secret } from '#foundation/secret.ts'
import type { Particulars, Provider } from '#providers/provider.ts'
import {
  type CredentialField,
  CredentialUnfit,
  type CredentialValues,
  credentialFields,
} from '#providers/provider-flows.ts'
import type { App, Apps } from '../apps.ts'
import {
  type Grant,
  GrantOutage,
  GrantRefused,
  type TokenEndpoint,
  type TokenRequest,
} from '../authorization-server/token-endpoint.ts'
import type { ConnectionRow } from '../connection-store.ts'
import { keyOf } from '../credential-attachment.ts'
import { type RenewalSource, sourceIn, sourceSecret } from '../refresh/renewal-source.ts'
import type { AppInstallation } from './app-installation.ts'
import { particularsToAsk, scopesToAsk } from './asked-for.ts'
import { refusal, type TakenFlow } from './authorization-code.ts'
import { clientCredentials } from './client-credentials.ts'
import { isOperators, requireOffered, requireOperator, requireParticulars } from './flow-needs.ts'
import type { Attempt } from './flow-store.ts'
import { jwtBearer, jwtBearerGrant, signsAsApp } from './jwt-bearer.ts'
import { tokenExchange, tokenExchangeGrant } from './token-exchange.ts'

/** The flows that need no browser: what is given is enough, and the connection is there at once. */
export type CredentialFlowName = Extract<
  FlowName,
  'client_credentials' | 'jwt_bearer' | 'token_exchange' | 'api_key'
>

const grantTypes = {
  client_credentials: 'client_credentials',
  jwt_bearer: jwtBearerGrant,
  token_exchange: tokenExchangeGrant,
}

export interface CredentialWish {
  readonly provider: string
  readonly flow: CredentialFlowName
  readonly scopes?: readonly string[] | undefined
  readonly particulars?: Particulars | undefined
  readonly credential?: CredentialValues | undefined
}

/**
 * Connects by what a person gives (a key, an assertion, another token) or by the app's own name, and makes new access tokens
 * of the same later.
 */
export class CredentialFlow {
  readonly #apps: Apps
  readonly #tokenEndpoint: TokenEndpoint
  readonly #appInstallation: AppInstallation
  readonly #clock: Clock

  constructor(dependencies: {
    apps: Apps
    tokenEndpoint: TokenEndpoint
    appInstallation: AppInstallation
    clock: Clock
  }) {
    this.#apps = dependencies.apps
    this.#appInstallation = dependencies.appInstallation
    this.#tokenEndpoint = dependencies.tokenEndpoint
    this.#clock = dependencies.clock
  }

  /**
   * @param target the connection that is connected anew
   * @throws AtomError `provider_not_configured` · `forbidden` for who is no operator and would act as the app ·
   * `validation_failed` · `provider_refused` · `provider_misconfigured` · `provider_unavailable`
   */
  async begin(
    principal: AccountPrincipal,
    wish: CredentialWish,
    target?: ConnectionRow,
  ): Promise<{ readonly flow: Attempt; readonly app: App; readonly grant: Grant }> {
    const { flow } = wish
    const provider = this.#apps.provider(wish.provider)
    if (isOperators(provider, flow)) requireOperator(principal)
    const said = particularsToAsk(provider, wish, target)
    const values = credentialValues(provider, flow, wish.credential)
    const app = await this.#app(principal, provider, flow, said, target)
    const { particulars } = app
    requireParticulars(provider, flow, particulars)
    if (flow !== 'api_key') requireOffered(app.provider, grantTypes[flow])
    if (flow === 'jwt_bearer' && this.#signsAsApp(app, values)) requireOperator(principal)
    const source = { flow, scopes: scopesOf(app, wish, target), values, particulars }
    const grant = await this.#first(app, source)
    return {
      app,
      grant,
      flow: {
        connectionId: target?.id ?? null,
        workspaceId: principal.workspaceId,
        accountId: principal.id,
        provider: provider.id,
        flow,
        appId: app.id,
        clientId: app.clientId,
        scopes: source.scopes,
        particulars,
      },
    }
  }

  /** The first token of an app that has just been installed. @throws AtomError as `begin` */
  async installed({ flow, app }: TakenFlow): Promise<Grant> {
    const { scopes, particulars } = flow
    return await this.#first(app, { flow: 'app_installation', scopes, values: {}, particulars })
  }

  /**
   * The next access token: of a refresh token, or of what is kept in its place.
   * @param granted the scopes held, for providers that want them named again
   * @param dpopKey the key that the tokens are bound to
   * @throws GrantRefused | GrantOutage
   */
  async refresh(app: App, source: Secret, granted: readonly string[], dpopKey?: Secret): Promise<Grant> {
    const kept = sourceIn(source)
    return kept === undefined
      ? await this.#tokenEndpoint.refresh(app, source, granted, dpopKey)
      : await this.#ask(app, kept)
  }

  #signsAsApp(app: App, values: CredentialValues): boolean {
    try {
      return signsAsApp(app, values)
    } catch (error) {
      if (error instanceof CredentialUnfit) throw unfit(error.field, error.message)
      throw error
    }
  }

  async #app(
    { workspaceId, id: accountId }: AccountPrincipal,
    provider: Provider,
    flow: CredentialFlowName,
    particulars: Particulars,
    target: ConnectionRow | undefined,
  ): Promise<App> {
    const without =
      (flow === 'api_key' && provider.flows?.api_key?.app !== 'needed') ||
      (flow === 'jwt_bearer' && provider.flows?.jwt_bearer?.app === 'none')
    if (without) {
      return await this.#apps.withoutApp(workspaceId, provider.id, particulars, flow, target?.sandbox)
    }
    const person = { workspaceId, accountId }
    return target === undefined
      ? await this.#apps.current(person, provider.id, particulars, flow)
      : await this.#apps.again(person, { ...target, flow, particulars })
  }

  async #first(app: App, source: RenewalSource): Promise<Grant> {
    const attach = app.provider.flows?.api_key?.attach
    if (source.flow === 'api_key' && attach !== undefined) return keyGrant(keyOf(attach, source.values))
    try {
      const grant = await this.#ask(app, source)
      return { ...grant, refreshToken: grant.refreshToken ?? sourceSecret(source) }
    } catch (error) {
      if (error instanceof GrantOutage) {
        throw new AtomError('provider_unavailable', `${app.provider.name} did not answer. Try again.`, {
          cause: error,
        })
      }
      if (error instanceof GrantRefused) throw refusal(app, error.verdict, error.error, error)
      if (error instanceof CredentialUnfit) throw unfit(error.field, error.message)
      throw error
    }
  }

  async #ask(app: App, source: RenewalSource): Promise<Grant> {
    const installation = source.flow === 'app_installation' ? app.provider.flows?.app_installation : undefined
    if (installation?.by === 'key') return await this.#appInstallation.token(app, installation)
    const grant = await this.#tokenEndpoint.grant(app, await this.#request(app, source))
    // RFC 6749 4.4.3: there should be none, and what is kept makes the next token anyway.
    return source.flow === 'token_exchange' ? grant : { ...grant, refreshToken: undefined }
  }

  async #request(app: App, source: RenewalSource): Promise<TokenRequest> {
    switch (source.flow) {
      case 'client_credentials':
      case 'app_installation':
        return clientCredentials(app, source)
      case 'jwt_bearer':
        return await jwtBearer(app, source, this.#clock.now())
      case 'token_exchange':
        return tokenExchange(app, source)
      default:
        throw new TypeError(`${source.flow} asks for no token`)
    }
  }
}

/** A key has no end that anybody knows of, and what it may do is said nowhere. */
function keyGrant(key: string): Grant {
  return {
    accessToken: new Secret(key),
    refreshToken: undefined,
    expiresAt: null,
    refreshExpiresAt: null,
    slot: 'main',
    others: [],
    granted: [],
    subject: undefined,
    particulars: {},
  }
}

function scopesOf(app: App, wish: CredentialWish, target: ConnectionRow | undefined): readonly string[] {
  const { flows } = app.provider
  if (wish.flow === 'api_key') return []
  if (wish.flow === 'client_credentials' && flows?.client_credentials?.scopes !== undefined) {
    return flows.client_credentials.scopes
  }
  if (wish.flow === 'jwt_bearer' && flows?.jwt_bearer?.scopes === 'none') return []
  return scopesToAsk(app, wish, target)
}

/** @throws AtomError `validation_failed` where a field is missing, unknown, or not of its form */
function credentialValues(
  provider: Provider,
  flow: FlowName,
  given: CredentialValues = {},
): CredentialValues {
  const fields = credentialFields(provider.flows).find((one) => one.flow === flow)?.fields ?? []
  const known = new Map<string, CredentialField>(fields.map((field) => [field.name, field]))
  for (const name of Object.keys(given)) if (!known.has(name)) throw unfit(name, 'Is not asked for.')
  for (const { name, label, optional, pattern } of fields) {
    const value = given[name]
    if (value === undefined && optional !== true) throw unfit(name, `${label} is missing.`)
    if (value !== undefined && pattern?.test(value) === false) throw unfit(name, `Is no ${label}.`)
  }
  return given
}

function unfit(field: string, detail: string): AtomError {
  return new AtomError('validation_failed', undefined, {
    problems: [{ pointer: `/credential/${field}`, detail }],
  })
}
