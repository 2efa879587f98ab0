import { accountRoutes, type Me, type SignedIn } from '@atom/contract/accounts.ts'
import type { Answer, Body, Route } from '@atom/contract/route.ts'
import { AtomClientError, asAtomClientError } from './atom-client-error.ts'
import type { CallParts, Http } from './http.ts'
import { ObservableState } from './observable.ts'
import type { Tabs } from './tabs.ts'

export interface SessionSnapshot {
  /** `unknown` until `resume()` or a sign-in has found out. */
  readonly state: 'unknown' | 'signed_out' | 'signed_in'
  readonly me?: Me
}

/** What one tab tells the others. The refresh token is never in it. */
type Note = { readonly signedIn: SignedIn; readonly expiresAt: number } | { readonly signedOut: true }

type WithoutTransport<T> = Omit<T, 'transport'>

/** A token that has less than this left is not sent any more: it might expire on the way. */
const marginMs = 15_000

/**
 * Who is signed in. The access token lives in this object's memory only; the refresh token in an HttpOnly cookie that no
 * script can read, or, outside browsers, here as well.
 */
export class Session extends ObservableState<SessionSnapshot> {
  readonly #http: Http
  readonly #tabs: Tabs
  readonly #transport: 'cookie' | 'body'
  readonly #unhear: () => void
  #snapshot: SessionSnapshot = { state: 'unknown' }
  #accessToken: string | undefined
  #refreshToken: string | undefined
  #expiresAt = 0
  #refreshing: Promise<void> | undefined

  constructor(parts: { http: Http; tabs: Tabs; transport: 'cookie' | 'body' }) {
    super()
    this.#http = parts.http
    this.#tabs = parts.tabs
    this.#transport = parts.transport
    this.#unhear = parts.tabs.hear('session', (message) => {
      const note = message as Note
      if ('signedOut' in note) this.#leave()
      else this.#admit(note.signedIn, note.expiresAt)
    })
  }

  get state(): SessionSnapshot['state'] {
    return this.#snapshot.state
  }

  get me(): Me | undefined {
    return this.#snapshot.me
  }

  /** The first owner, by the setup link. @throws setup_closed, setup_token_invalid, weak_password, validation_failed */
  setup(body: WithoutTransport<Body<typeof accountRoutes.setup>>): Promise<Me> {
    return this.#enter(
      this.#http.send(accountRoutes.setup, { body: { ...body, transport: this.#transport } }),
    )
  }

  /** @throws invalid_credentials, rate_limited */
  login(body: WithoutTransport<Body<typeof accountRoutes.login>>): Promise<Me> {
    return this.#enter(
      this.#http.send(accountRoutes.login, { body: { ...body, transport: this.#transport } }),
    )
  }

  /** @throws invitation_invalid, weak_password */
  acceptInvitation(body: WithoutTransport<Body<typeof accountRoutes.acceptInvitation>>): Promise<Me> {
    return this.#enter(
      this.#http.send(accountRoutes.acceptInvitation, { body: { ...body, transport: this.#transport } }),
    )
  }

  /** Takes the session up again after a reload. Not signed in is an answer, not an error. @throws offline, timeout, … */
  async resume(): Promise<SessionSnapshot> {
    if (this.state !== 'signed_in') {
      try {
        await this.#refresh(undefined)
      } catch (thrown) {
        if (!endsSession(asAtomClientError(thrown))) throw thrown
      }
    }
    return this.#snapshot
  }

  /** @throws offline where the server could not be told: the session then stays, so that nobody believes it has ended */
  async logout(): Promise<void> {
    try {
      await this.call(accountRoutes.logout)
    } catch (thrown) {
      if (!endsSession(asAtomClientError(thrown))) throw thrown
    }
    this.#leave()
    this.#tabs.tell('session', { signedOut: true } satisfies Note)
  }

  /** A request as the person who is signed in; refreshes the access token where needed. */
  async call<R extends Route>(route: R, parts?: CallParts<R>): Promise<Answer<R>> {
    if (route.audience === 'anyone') return this.#http.send(route, parts)
    // Before anything is waited for: afterwards the caller may be in another trace, or in none.
    const traceparent = this.#http.traceparent()
    const token = await this.accessToken()
    try {
      return await this.#http.send(route, parts, token, traceparent)
    } catch (thrown) {
      const error = asAtomClientError(thrown)
      if (error.code === 'session_revoked') this.#leave()
      if (error.code !== 'token_expired' && error.code !== 'unauthenticated') throw error
      // Authentication is the first thing a route does, so the refused request has done nothing and may be repeated,
      // whatever its method.
      await this.#refresh(token)
      return await this.#http.send(route, parts, await this.accessToken(), traceparent)
    }
  }

  /** A token that is good for the next seconds. @throws unauthenticated, session_revoked, offline */
  async accessToken(): Promise<string> {
    if (this.#accessToken === undefined || this.#expiresAt - Date.now() < marginMs)
      await this.#refresh(this.#accessToken)
    if (this.#accessToken === undefined) throw new AtomClientError('unauthenticated')
    return this.#accessToken
  }

  /** The server refused this token although it looked good: the next `accessToken()` fetches another. */
  distrust(token: string): void {
    if (this.#accessToken === token) this.#expiresAt = 0
  }

  /** The server has ended the session. */
  ended(): void {
    this.#leave()
  }

  close(): void {
    this.#unhear()
  }

  protected override compose(): SessionSnapshot {
    return this.#snapshot
  }

  async #enter(answer: Promise<SignedIn>): Promise<Me> {
    const signedIn = await answer
    const me = this.#admit(signedIn, Date.now() + signedIn.expiresIn * 1000)
    this.#announce(signedIn)
    return me
  }

  /**
   * One flight in this tab, one holder among the tabs: refresh tokens rotate, and the server takes a token that comes twice
   * for a stolen one and ends the session.
   *
   * @param stale the token that will not do; where another tab has brought a newer one meanwhile, nothing is left to do
   */
  #refresh(stale: string | undefined): Promise<void> {
    this.#refreshing ??= this.#tabs
      .exclusively('refresh', () => this.#refreshAlone(stale))
      .finally(() => {
        this.#refreshing = undefined
      })
    return this.#refreshing
  }

  async #refreshAlone(stale: string | undefined): Promise<void> {
    if (this.#accessToken !== stale && this.#expiresAt - Date.now() >= marginMs) return
    if (this.state === 'signed_out') throw new AtomClientError('unauthenticated')
    if (this.#transport === 'body' && this.#refreshToken === undefined) {
      this.#leave()
      throw new AtomClientError('unauthenticated')
    }
    const body = this.#refreshToken === undefined ? {} : { refreshToken: this.#refreshToken }
    try {
      const signedIn = await this.#http.send(accountRoutes.refresh, { body })
      this.#admit(signedIn, Date.now() + signedIn.expiresIn * 1000)
      this.#announce(signedIn)
    } catch (thrown) {
      if (endsSession(asAtomClientError(thrown))) this.#leave()
      throw thrown
    }
  }

  #announce(signedIn: SignedIn): void {
    const { refreshToken: _, ...told } = signedIn
    this.#tabs.tell('session', { signedIn: told, expiresAt: this.#expiresAt } satisfies Note)
  }

  #admit(signedIn: SignedIn, expiresAt: number): Me {
    const { account, workspace, role } = signedIn
    this.#accessToken = signedIn.accessToken
    this.#refreshToken = signedIn.refreshToken ?? this.#refreshToken
    this.#expiresAt = expiresAt
    const before = this.#snapshot.me
    const me: Me = { account, workspace, role }
    // The same person again: the same object, so that nothing is drawn anew every ten minutes.
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(me)) return before
    this.#snapshot = { state: 'signed_in', me }
    this.changed()
    return me
  }

  #leave(): void {
    this.#accessToken = undefined
    this.#refreshToken = undefined
    this.#expiresAt = 0
    if (this.state === 'signed_out') return
    this.#snapshot = { state: 'signed_out' }
    this.changed()
  }
}

/** After these the refresh token is of no use any more. */
function endsSession(error: AtomClientError): boolean {
  return (
    error.code === 'unauthenticated' || error.code === 'session_revoked' || error.code === 'token_expired'
  )
}
