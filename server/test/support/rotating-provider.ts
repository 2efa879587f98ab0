import type { LoopbackProvider, Said, Seen } from './loopback-provider.ts'

/**
 * What becomes of a refresh token that is used: it goes on, it is replaced, or it is replaced and using it again ends the
 * whole family.
 */
export type Rotation = 'lasting' | 'single_use' | 'family'

/**
 * Stands in the place of Salesforce, and does as some provider or other does. An access token dies when the API says so, and
 * as early as `expiresIn` where that is said.
 */
export class RotatingProvider {
  readonly loopback: LoopbackProvider
  /** The refresh tokens that were sent, in order. */
  readonly tokenRequests: string[] = []
  /** Of the last pair that was given. */
  generation = 0
  familyEnded = false
  /** Access tokens that the API was called with, and took. */
  readonly taken: string[] = []
  /** Seconds. */
  expiresIn: number | undefined
  /** What happens between the request and its effect, and between the effect and the answer. */
  beforeEffect: () => Promise<void> = async () => undefined
  beforeAnswer: () => Promise<void> = async () => undefined
  readonly #rotation: Rotation
  #refreshToken = ''
  #oldest = 1

  static readonly apiPath = '/services/data/v62.0/limits'

  constructor(loopback: LoopbackProvider, rotation: Rotation = 'family') {
    this.loopback = loopback
    this.#rotation = rotation
    loopback.on('login.salesforce.com', '/services/oauth2/token', (seen) => this.#token(seen))
    loopback.on('login.salesforce.com', '/services/oauth2/userinfo', () => ({
      body: { user_id: '0051', organization_id: '00D1', name: 'Ada Lovelace' },
    }))
    loopback.on('acme.my.salesforce.com', RotatingProvider.apiPath, ({ headers }) =>
      this.#api(headers.authorization ?? ''),
    )
  }

  /** A new grant, as consent gives it. */
  grant(): { accessToken: string; refreshToken: string } {
    this.generation += 1
    if (this.#rotation !== 'lasting') this.#oldest = this.generation
    if (this.#rotation !== 'lasting' || this.#refreshToken === '')
      this.#refreshToken = `5Aep.${this.generation}`
    return { accessToken: `00D!${this.generation}`, refreshToken: this.#refreshToken }
  }

  /** All access tokens of before end now. */
  endAccess(): void {
    this.#oldest = this.generation + 1
  }

  async #token(seen: Seen): Promise<Said> {
    const refreshToken = new URLSearchParams(seen.body).get('refresh_token')
    if (refreshToken !== null) {
      this.tokenRequests.push(refreshToken)
      await this.beforeEffect()
      if (refreshToken !== this.#refreshToken) {
        if (this.#rotation === 'family') this.familyEnded = true
        return { status: 400, body: { error: 'invalid_grant' } }
      }
    }
    if (this.familyEnded) return { status: 400, body: { error: 'invalid_grant' } }
    const pair = this.grant()
    if (refreshToken !== null) await this.beforeAnswer()
    return {
      body: {
        access_token: pair.accessToken,
        refresh_token: pair.refreshToken,
        scope: 'refresh_token api openid',
        instance_url: 'https://acme.my.salesforce.com',
        token_type: 'Bearer',
        ...(this.expiresIn !== undefined && { expires_in: this.expiresIn }),
      },
    }
  }

  #api(authorization: string): Said {
    const generation = Number(/^Bearer 00D!(\d+)$/.exec(authorization)?.[1])
    const known = generation >= this.#oldest && generation <= this.generation
    if (this.familyEnded || !known) {
      return { status: 401, body: [{ errorCode: 'INVALID_SESSION_ID' }] as object }
    }
    this.taken.push(authorization)
    return { body: {} }
  }
}
