import type { Static, TSchema } from 'typebox'
import { Check } from 'typebox/value'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound, OutboundRequest } from '#foundation/outbound.ts'
import type { Secret } from '#foundation/secret.ts'
import {
  type Particulars,
  ProviderAnswer,
  type ProviderIdentity,
  type ProviderReader,
  unfitParticulars,
} from '#providers/provider.ts'
import { placed } from '#providers/stand-in.ts'
import type { App } from './apps.ts'
import type { StoredIdentity } from './connection-store.ts'
import { attachment } from './credential-attachment.ts'

/** What is known of a grant besides its tokens. */
interface GrantContext {
  readonly granted: readonly string[]
  /** The person as the verified id_token names them, where there is one. */
  readonly subject: string | undefined
  readonly particulars: Particulars
}

export interface RecognisedPerson {
  readonly id: string
  readonly identity: StoredIdentity
  readonly particulars: Particulars
}

const requestTimeoutMs = 20_000
const largestAnswer = 1024 * 1024
const largestPicture = 128 * 1024
/** SVG is left out: it is a document that can carry scripts and addresses. */
const pictureTypes = /^image\/(?:png|jpeg|gif|webp|avif)$/

/** Asks a provider whom a token belongs to. */
export class IdentityReader {
  readonly #outbound: Outbound
  readonly #log: Log

  constructor(dependencies: { outbound: Outbound; log: Log }) {
    this.#outbound = dependencies.outbound
    this.#log = dependencies.log
  }

  /**
   * @throws ProviderAnswer where the provider does not tell · AtomError `provider_unavailable`
   */
  async recognise(app: App, accessToken: Secret, context: GrantContext): Promise<RecognisedPerson> {
    const { id, picture, particulars = {}, ...known } = await this.#ask(app, accessToken, context)
    if (unfitParticulars(app.provider, particulars).length > 0) {
      throw new ProviderAnswer(200, `the identity at ${app.provider.id} has unexpected particulars`)
    }
    const avatarUrl = picture === undefined ? undefined : await this.#picture(app, picture)
    const identity = {
      name: known.name.slice(0, 200),
      ...(known.handle !== undefined && { handle: known.handle.slice(0, 200) }),
      ...(known.email !== undefined && { email: known.email.slice(0, 320) }),
      ...(avatarUrl !== undefined && { avatarUrl }),
    }
    return { id, identity, particulars }
  }

  /**
   * Whether the provider still takes this token. Only its 401 is a no; anything else it says is not about the token.
   * @throws AtomError `provider_unavailable`
   */
  async accepts(
    app: App,
    accessToken: Secret,
    context: { scopes: readonly string[]; particulars: Particulars },
  ): Promise<boolean> {
    const { scopes: granted, particulars } = context
    try {
      await this.#ask(app, accessToken, { granted, subject: undefined, particulars })
      return true
    } catch (error) {
      if (!(error instanceof ProviderAnswer)) throw error
      if (error.status === 401) return false
      if (error.status >= 500 || error.status === 429) {
        throw new AtomError('provider_unavailable', undefined, { cause: error })
      }
      return true
    }
  }

  #ask(app: App, accessToken: Secret, context: GrantContext): Promise<ProviderIdentity> {
    const { header, value } = attachment(app.provider, app.flow, accessToken)
    const standard = { ...app.provider.api.headers, [header]: value }
    const reader: ProviderReader = {
      ...context,
      get: (url, shape) => this.#read(app, url, shape, { headers: standard }),
      post: (url, body, shape) =>
        this.#read(app, url, shape, {
          method: 'POST',
          headers: { ...standard, ...(body !== undefined && { 'content-type': 'application/json' }) },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        }),
      introspect: (url, shape) =>
        this.#read(app, url, shape, {
          method: 'POST',
          headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
          body: new URLSearchParams({
            client_id: app.clientId,
            client_secret: app.clientSecret.reveal(),
            token: accessToken.reveal(),
            token_type_hint: 'access_token',
          }).toString(),
        }),
    }
    return app.provider.identify(reader)
  }

  async #read<T extends TSchema>(
    app: App,
    url: string,
    shape: T,
    request: OutboundRequest,
  ): Promise<Static<T>> {
    const answer = await this.#outbound.fetch(placed(url, app.standIns), {
      ...request,
      timeoutMs: requestTimeoutMs,
      maxBytes: largestAnswer,
    })
    const what = `${new URL(url).pathname} of ${app.provider.id}`
    if (answer.status !== 200) {
      await answer.body?.cancel()
      throw new ProviderAnswer(answer.status, what)
    }
    const body: unknown = await answer.json().catch(() => undefined)
    if (!Check(shape, body)) throw new ProviderAnswer(200, `${what} has another shape than documented`)
    return body as Static<T>
  }

  /** The picture itself, so that no browser has to fetch it from a stranger; a connection does without where it fails. */
  async #picture(app: App, url: string): Promise<string | undefined> {
    try {
      const answer = await this.#outbound.fetch(placed(url, app.standIns), {
        timeoutMs: 5_000,
        maxBytes: largestPicture,
      })
      const type = answer.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
      if (answer.status !== 200 || !pictureTypes.test(type)) {
        await answer.body?.cancel()
        this.#log.info({ provider: app.provider.id, status: answer.status, type }, 'no usable picture')
        return undefined
      }
      const bytes = Buffer.from(await answer.arrayBuffer())
      return bytes.length > largestPicture ? undefined : `data:${type};base64,${bytes.toString('base64')}`
    } catch (error) {
      this.#log.info({ provider: app.provider.id, err: error }, 'no picture')
      return undefined
    }
  }
}
