import type { Static, TSchema } from 'typebox'
import { Check } from 'typebox/value'
import type { Clock } from '#foundation/clock.ts'
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
import type { DpopProofs, Presented } from './authorization-server/dpop.ts'
import { appAssertion } from './authorization-server/signed-assertion.ts'
import type { StoredIdentity } from './connection-store.ts'
import { keyAttachment } from './credential-attachment.ts'

/** What is known of a grant besides its tokens. */
interface GrantContext {
  readonly granted: readonly string[]
  /** The person as the verified id_token names them, where there is one. */
  readonly subject: string | undefined
  readonly particulars: Particulars
  /** The key that the token is bound to. */
  readonly dpopKey?: Secret | undefined
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
  readonly #clock: Clock
  readonly #proofs: DpopProofs

  constructor(dependencies: { outbound: Outbound; log: Log; proofs: DpopProofs; clock: Clock }) {
    this.#outbound = dependencies.outbound
    this.#proofs = dependencies.proofs
    this.#log = dependencies.log
    this.#clock = dependencies.clock
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
    context: { scopes: readonly string[]; particulars: Particulars; dpopKey?: Secret | undefined },
  ): Promise<boolean> {
    const { scopes: granted, particulars, dpopKey } = context
    try {
      await this.#ask(app, accessToken, { granted, subject: undefined, particulars, dpopKey })
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
    const attachment = keyAttachment(app.provider, app.flow)
    const token = { value: accessToken, dpopKey: context.dpopKey, attachment }
    const { headers } = app.provider.api
    const { granted, subject, particulars } = context
    const reader: ProviderReader = {
      granted,
      subject,
      particulars,
      clientId: app.clientId,
      get: (url, shape) => this.#read(app, url, shape, { headers }, token),
      post: (url, body, shape) =>
        this.#read(
          app,
          url,
          shape,
          {
            method: 'POST',
            headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
            ...(body !== undefined && { body: JSON.stringify(body) }),
          },
          token,
        ),
      getAsApp: async (url, shape) =>
        this.#read(app, url, shape, {
          headers: { ...headers, authorization: `Bearer ${await appAssertion(app, this.#clock.now())}` },
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
    request: OutboundRequest & { readonly headers: Readonly<Record<string, string>> },
    token?: Presented,
  ): Promise<Static<T>> {
    const answer = await this.#dial(app, new URL(url), request, token)
    const what = `${new URL(url).pathname} of ${app.provider.id}`
    if (answer.status !== 200) {
      await answer.body?.cancel()
      throw new ProviderAnswer(answer.status, what)
    }
    const body = await bodyOf(answer)
    if (!Check(shape, body)) throw new ProviderAnswer(200, `${what} has another shape than documented`)
    return body as Static<T>
  }

  async #dial(
    app: App,
    url: URL,
    request: OutboundRequest & { readonly headers: Readonly<Record<string, string>> },
    token: Presented | undefined,
  ): Promise<Response> {
    const send = async () =>
      await this.#outbound.fetch(placed(url, app.standIns), {
        ...request,
        headers: {
          ...request.headers,
          ...(token && (await this.#proofs.presented(token, request.method ?? 'GET', url))),
        },
        timeoutMs: requestTimeoutMs,
        maxBytes: largestAnswer,
        certificate: app.certificate,
      })
    const answer = await send()
    if (token === undefined || !this.#proofs.heard(token, url, answer)) return answer
    await answer.body?.cancel()
    const again = await send()
    this.#proofs.heard(token, url, again)
    return again
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

/** What an answer says: JSON, or the first event of a stream, as an MCP server may choose to answer. */
async function bodyOf(answer: Response): Promise<unknown> {
  if (answer.headers.get('content-type')?.startsWith('text/event-stream') !== true) {
    return await answer.json().catch(() => undefined)
  }
  let text = ''
  const decoder = new TextDecoder()
  for await (const piece of answer.body ?? []) {
    text += decoder.decode(piece, { stream: true })
    for (const event of text.split(/\r?\n\r?\n/).slice(0, -1)) {
      const data = event.split(/\r?\n/).flatMap((line) => /^data: ?(.*)$/.exec(line)?.[1] ?? [])
      if (data.length === 0) continue
      try {
        return JSON.parse(data.join('\n'))
      } catch {
        // Not JSON: of no documented shape, which the caller says.
        return undefined
      }
    }
  }
  return undefined
}
