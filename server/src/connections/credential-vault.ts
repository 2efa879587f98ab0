import type { Envelope } from '#foundation/crypto/envelope.ts'
import type { Secret } from '#foundation/secret.ts'
import { refreshTokenIn } from './refresh/renewal-source.ts'

/** The secrets of a connection. */
export interface Tokens {
  readonly accessToken: Secret
  readonly refreshToken: Secret | undefined
}

export interface SealedTokens {
  readonly dataKey: Buffer
  readonly accessToken: Buffer
  readonly refreshToken: Buffer | null
}

/** Which credential: ciphertext of one does not open as another, nor as an older one of the same. */
export interface CredentialPlace {
  readonly workspaceId: string
  readonly connectionId: string
  readonly generation: number
  /** Which of the other credentials of the connection; undefined for its first. */
  readonly further?: string | undefined
}

type ConnectionPlace = Omit<CredentialPlace, 'generation'>

interface AppPlace {
  readonly workspaceId: string
  readonly appId: string
  readonly version: number
}

interface FlowPlace {
  readonly workspaceId: string
  readonly flowId: string
}

export interface FlowSecrets {
  readonly codeVerifier: string
  readonly nonce: string
  /** RFC 8628, where the server asks instead of waiting for a browser. */
  readonly deviceCode?: string
  /** Where tokens are to be bound to a key: a private JWK. */
  readonly dpopKey?: string
}

/**
 * Seals and opens what this room keeps secret. Each connection, app and flow has a data key of its own, wrapped by the master
 * key; every ciphertext is bound to workspace, owner of the key, field and version. There is no other way to store a token.
 */
export class CredentialVault {
  readonly #envelope: Envelope

  constructor(dependencies: { envelope: Envelope }) {
    this.#envelope = dependencies.envelope
  }

  /** `dataKey` where the connection has one already; a new one for new consent. */
  async sealTokens(place: CredentialPlace, tokens: Tokens, dataKey?: Buffer): Promise<SealedTokens> {
    const key =
      dataKey ??
      (await this.#envelope.createKey(dataKeyBinding('connection', place.workspaceId, place.connectionId)))
    return {
      dataKey: key,
      accessToken: await this.#envelope.seal(
        key,
        tokens.accessToken.reveal(),
        tokenBinding(place, 'access_token'),
      ),
      refreshToken:
        tokens.refreshToken === undefined
          ? null
          : await this.#envelope.seal(
              key,
              tokens.refreshToken.reveal(),
              tokenBinding(place, 'refresh_token'),
            ),
    }
  }

  async openAccessToken(place: CredentialPlace, sealed: SealedTokens): Promise<Secret> {
    return await this.#envelope.open(sealed.dataKey, sealed.accessToken, tokenBinding(place, 'access_token'))
  }

  /** A refresh token that may be told to its provider. */
  async openRefreshToken(place: CredentialPlace, sealed: SealedTokens): Promise<Secret | undefined> {
    return refreshTokenIn(await this.openRenewal(place, sealed))
  }

  /** What the next access token comes from: a refresh token, or what is kept in its place and told to nobody. */
  async openRenewal(place: CredentialPlace, sealed: SealedTokens): Promise<Secret | undefined> {
    if (sealed.refreshToken === null) return undefined
    return await this.#envelope.open(
      sealed.dataKey,
      sealed.refreshToken,
      tokenBinding(place, 'refresh_token'),
    )
  }

  async sealAppSecret(
    place: AppPlace,
    clientSecret: Secret,
  ): Promise<{ dataKey: Buffer; clientSecret: Buffer }> {
    const dataKey = await this.#envelope.createKey(dataKeyBinding('app', place.workspaceId, place.appId))
    return {
      dataKey,
      clientSecret: await this.#envelope.seal(dataKey, clientSecret.reveal(), appBinding(place)),
    }
  }

  async openAppSecret(row: {
    workspaceId: string
    id: string
    version: number
    dataKey: Buffer
    clientSecret: Buffer
  }): Promise<Secret> {
    return await this.#envelope.open(row.dataKey, row.clientSecret, appBinding({ ...row, appId: row.id }))
  }

  /** Beside the client secret, under the same data key. */
  async sealAppKey(place: AppPlace, dataKey: Buffer, privateKey: Secret): Promise<Buffer> {
    return await this.#envelope.seal(dataKey, privateKey.reveal(), appKeyBinding(place))
  }

  async openAppKey(row: {
    workspaceId: string
    id: string
    version: number
    dataKey: Buffer
    privateKey: Buffer | null
  }): Promise<Secret | undefined> {
    if (row.privateKey === null) return undefined
    return await this.#envelope.open(row.dataKey, row.privateKey, appKeyBinding({ ...row, appId: row.id }))
  }

  /** The key that a connection's tokens are bound to (RFC 9449), beside them, under the same data key. */
  async sealDpopKey(place: ConnectionPlace, dataKey: Buffer, dpopKey: Secret): Promise<Buffer> {
    return await this.#envelope.seal(dataKey, dpopKey.reveal(), dpopBinding(place))
  }

  async openDpopKey(
    place: ConnectionPlace,
    dataKey: Buffer,
    sealed: Buffer | null,
  ): Promise<Secret | undefined> {
    return sealed === null ? undefined : await this.#envelope.open(dataKey, sealed, dpopBinding(place))
  }

  async sealFlow(place: FlowPlace, secrets: FlowSecrets): Promise<{ dataKey: Buffer; secrets: Buffer }> {
    const dataKey = await this.#envelope.createKey(dataKeyBinding('flow', place.workspaceId, place.flowId))
    return {
      dataKey,
      secrets: await this.#envelope.seal(dataKey, JSON.stringify(secrets), flowBinding(place)),
    }
  }

  async openFlow(place: FlowPlace, sealed: { dataKey: Buffer; secrets: Buffer }): Promise<FlowSecrets> {
    const opened = await this.#envelope.open(sealed.dataKey, sealed.secrets, flowBinding(place))
    return JSON.parse(opened.reveal()) as FlowSecrets
  }
}

/** What a data key is bound to, and with more entries whatever it seals. */
export function dataKeyBinding(kind: 'connection' | 'app' | 'flow', workspaceId: string, id: string) {
  return { kind, workspace: workspaceId, id }
}

function tokenBinding(place: CredentialPlace, field: 'access_token' | 'refresh_token') {
  return {
    ...dataKeyBinding('connection', place.workspaceId, place.connectionId),
    field,
    version: String(place.generation),
    ...(place.further !== undefined && { slot: place.further }),
  }
}

function appBinding(place: AppPlace) {
  return {
    ...dataKeyBinding('app', place.workspaceId, place.appId),
    field: 'client_secret',
    version: String(place.version),
  }
}

function appKeyBinding(place: AppPlace) {
  return { ...appBinding(place), field: 'private_key' }
}

/** Bound to the consent and not to a generation: refreshes go on with the same key. */
function dpopBinding(place: ConnectionPlace) {
  return {
    ...dataKeyBinding('connection', place.workspaceId, place.connectionId),
    field: 'dpop_key',
    version: '1',
  }
}

function flowBinding(place: FlowPlace) {
  return { ...dataKeyBinding('flow', place.workspaceId, place.flowId), field: 'secrets', version: '1' }
}
