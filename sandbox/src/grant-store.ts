import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { SandboxClock } from './sandbox-clock.ts'
import type { SandboxStore } from './sandbox-store.ts'

/**
 * What one authorization server remembers: sessions, consents, codes, tokens. `oidc-provider` reads the machine's clock, so
 * times are stored in the sandbox's time and handed out in the machine's: `advance` then ages everything alike.
 */
export class GrantStore {
  readonly #store: SandboxStore
  readonly #clock: SandboxClock
  readonly #provider: string

  constructor(dependencies: { store: SandboxStore; clock: SandboxClock; provider: string }) {
    this.#store = dependencies.store
    this.#clock = dependencies.clock
    this.#provider = dependencies.provider
    const now = Math.floor(this.#clock.now().getTime() / 1000)
    this.#store.run('delete from artifact where provider = ? and expires_at < ?', this.#provider, now)
  }

  save(model: string, id: string, payload: AdapterPayload): void {
    const offset = this.#clock.offsetSeconds
    const aged = {
      ...payload,
      ...(payload.exp === undefined ? undefined : { exp: payload.exp + offset }),
      ...(payload.iat === undefined ? undefined : { iat: payload.iat + offset }),
    }
    this.#store.run(
      'insert or replace into artifact values (?, ?, ?, ?, ?, ?, ?, ?, ?)',
      this.#provider,
      model,
      id,
      JSON.stringify(aged),
      aged.exp ?? null,
      payload.grantId ?? null,
      payload.uid ?? null,
      payload.accountId ?? null,
      payload.clientId ?? null,
    )
  }

  find(model: string, id: string): AdapterPayload | undefined {
    return this.#read('select payload from artifact where provider = ? and model = ? and id = ?', model, id)
  }

  findByUid(model: string, uid: string): AdapterPayload | undefined {
    return this.#read('select payload from artifact where provider = ? and model = ? and uid = ?', model, uid)
  }

  /** The person's one consent for the app. */
  grantIdOf(account: string, client: string): string | undefined {
    const id = this.#store.all(
      `select id from artifact where provider = ? and model = 'Grant' and account = ? and client = ?`,
      this.#provider,
      account,
      client,
    )[0]?.['id']
    return typeof id === 'string' ? id : undefined
  }

  consume(model: string, id: string): void {
    this.#store.run(
      `update artifact set payload = json_set(payload, '$.consumed', unixepoch())
       where provider = ? and model = ? and id = ?`,
      this.#provider,
      model,
      id,
    )
  }

  destroy(model: string, id: string): void {
    this.#store.run(
      'delete from artifact where provider = ? and model = ? and id = ?',
      this.#provider,
      model,
      id,
    )
  }

  /** Tokens and codes under the grant; the grant itself stays. */
  destroyTokens(grantId: string): void {
    this.#store.run('delete from artifact where provider = ? and grant_id = ?', this.#provider, grantId)
  }

  /** Ids of one model from one visit to the consent page. */
  inAuthorization(grantId: string, sessionUid: string, model: string): string[] {
    return this.#store
      .all(
        `select id from artifact where provider = ? and grant_id = ? and json_extract(payload, '$.sessionUid') = ?
         and model = ?`,
        this.#provider,
        grantId,
        sessionUid,
        model,
      )
      .map(({ id }) => String(id))
  }

  /** The tokens of one visit to the consent page, out of all that the grant has; only those of `model` where it is given. */
  destroyAuthorization(grantId: string, sessionUid: string, model?: string): void {
    this.#store.run(
      `delete from artifact where provider = ? and grant_id = ? and json_extract(payload, '$.sessionUid') = ?
       and model in ('AccessToken', 'RefreshToken') and (? is null or model = ?)`,
      this.#provider,
      grantId,
      sessionUid,
      model ?? null,
      model ?? null,
    )
  }

  /** Consent and every token, of one person or of all. Returns the tokens killed. */
  revoke(account: string | undefined): number {
    const { killed } =
      this.#store.all(
        `select count(*) as killed from artifact where provider = ? and model in ('AccessToken', 'RefreshToken')
         and (? is null or account = ?)`,
        this.#provider,
        account ?? null,
        account ?? null,
      )[0] ?? {}
    this.#store.run(
      `delete from artifact where provider = ? and model in ('AccessToken', 'RefreshToken', 'AuthorizationCode', 'Grant')
       and (? is null or account = ?)`,
      this.#provider,
      account ?? null,
      account ?? null,
    )
    return Number(killed)
  }

  /** Takes the tokens of one person, or of all, out of use, and remembers that they were good. Returns how many. */
  challenge(account: string | undefined): number {
    return this.#store.run(
      `update artifact set model = 'Challenged' || model
       where provider = ? and model in ('AccessToken', 'RefreshToken') and (? is null or account = ?)`,
      this.#provider,
      account ?? null,
      account ?? null,
    )
  }

  expireAccessTokens(): number {
    const now = Math.floor(this.#clock.now().getTime() / 1000) - 1
    return this.#store.run(
      `update artifact set payload = json_set(payload, '$.exp', ?), expires_at = ?
       where provider = ? and model = 'AccessToken' and expires_at > ?`,
      now,
      now,
      this.#provider,
      now,
    )
  }

  clear(): void {
    this.#store.run('delete from artifact where provider = ?', this.#provider)
  }

  /** The face `oidc-provider` wants, one per model. */
  adapter(model: string): Adapter {
    return {
      upsert: async (id, payload) => this.save(model, id, payload),
      find: async (id) => this.find(model, id),
      findByUid: async (uid) => this.findByUid(model, uid),
      findByUserCode: async () => undefined,
      consume: async (id) => this.consume(model, id),
      destroy: async (id) => this.destroy(model, id),
      revokeByGrantId: async (grantId) => this.destroyTokens(grantId),
    }
  }

  #read(statement: string, model: string, key: string): AdapterPayload | undefined {
    const row = this.#store.all(statement, this.#provider, model, key)[0]
    if (row === undefined) return undefined
    const payload = JSON.parse(String(row['payload'])) as AdapterPayload
    const offset = this.#clock.offsetSeconds
    if (payload.exp !== undefined) payload.exp -= offset
    if (payload.iat !== undefined) payload.iat -= offset
    return payload
  }
}
