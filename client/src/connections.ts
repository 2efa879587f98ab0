import {
  type AppTest,
  type BegunConnection,
  type Connection,
  type ConnectionEvent,
  type ConnectionFlow,
  connectionRoutes,
  type DisconnectReceipt,
  type FlowName,
  type ForecastItem,
  type ProviderView,
} from '@atom/contract/connections.ts'
import { type ErrorCode, errorTable } from '@atom/contract/errors.ts'
import { operationRoutes } from '@atom/contract/operations.ts'
import type { Body } from '@atom/contract/route.ts'
import { AtomClientError, asAtomClientError } from './atom-client-error.ts'
import { ObservableList } from './observable-list.ts'
import type { Session } from './session.ts'
import type { Tabs } from './tabs.ts'

export interface AuthorizeOptions {
  /** `popup`: a small window beside this page. `redirect`: this page goes to the provider and comes back. */
  readonly mode: 'popup' | 'redirect'
  /** A path of the dashboard that the provider's consent returns to; `/connections` where absent. */
  readonly returnTo?: string
  readonly scopes?: readonly string[]
  /** What the provider has to be told first, such as Salesforce's `login` host. */
  readonly particulars?: Readonly<Record<string, string>>
  /** Consent for this connection and for no other account. */
  readonly connectionId?: string
  /** A way that leads to a page of the provider; the provider's first where absent. */
  readonly flow?: FlowName
}

/** How consent ended. Everything but `connected` and `leaving` has its sentence in `problem`. */
export type AuthorizationOutcome =
  | { readonly outcome: 'connected'; readonly connection: Connection }
  /** This page goes to the provider; `completeAuthorization` tells the rest on return. */
  | { readonly outcome: 'leaving' }
  | { readonly outcome: AuthorizationTrouble; readonly problem: AtomClientError }

/**
 * `denied` the person said no · `popup_blocked` the browser opened no window · `closed` the window was closed before ·
 * `other_account` consent was given for another account than that of `connectionId` · `timed_out` it took longer than the ten
 * minutes that a flow lives · `failed` all else, by `problem.code`.
 */
export type AuthorizationTrouble =
  | 'denied'
  | 'popup_blocked'
  | 'closed'
  | 'other_account'
  | 'timed_out'
  | 'failed'

export interface AuthorizationReturn {
  /** Id of the connection that is active now. */
  readonly connected?: string
  /** Why nothing was connected. */
  readonly problem?: AtomClientError
}

/** The window that the person grants access in. */
export interface Popup {
  readonly closed: boolean
  close(): void
  readonly location: { replace(url: string): void }
}

/** The page, as far as consent needs one. */
export interface Page {
  /** Null where the browser blocked it. */
  openPopup(): Popup | null
  /** The person is at this page, and so not at the provider's. */
  hasFocus(): boolean
  readonly href: string
  goTo(url: string): void
  closeItself(): void
}

export const browserPage: Page = {
  openPopup: () => {
    const width = 640
    const height = 760
    const left = Math.max(0, Math.round(window.screenX + (window.outerWidth - width) / 2))
    const top = Math.max(0, Math.round(window.screenY + (window.outerHeight - height) / 2))
    return window.open(
      'about:blank',
      '_blank',
      `popup,width=${width},height=${height},left=${left},top=${top}`,
    )
  },
  hasFocus: () => document.hasFocus(),
  get href() {
    return window.location.href
  },
  goTo: (url) => window.location.assign(url),
  closeItself: () => window.close(),
}

/** What the return page tells the page that waits. */
interface Note {
  readonly attempt: string
  readonly connected?: string
  readonly problem?: string
}

const attemptParameter = 'attempt'
/** The return page tells us; asking the server is the net below it. */
const pollMs = 3_000
const closedPollMs = 400
/** How long a closed window is forgiven: its last act may be a connection that is still being written. */
const closedGraceMs = 2_000
/** As long as the server keeps a flow: nothing that comes later can connect anything. */
const flowLifeMs = 10 * 60_000

/** My connected accounts. */
export class Connections extends ObservableList<Connection> {
  readonly #session: Session
  readonly #tabs: Tabs
  readonly #page: Page | undefined
  readonly #pollMs: number
  readonly #flowLifeMs: number
  readonly #unhear: () => void

  constructor(parts: {
    session: Session
    tabs: Tabs
    page: Page | undefined
    pollMs?: number
    flowLifeMs?: number
  }) {
    super()
    this.#session = parts.session
    this.#tabs = parts.tabs
    this.#page = parts.page
    this.#pollMs = parts.pollMs ?? pollMs
    this.#flowLifeMs = parts.flowLifeMs ?? flowLifeMs
    // Also a consent that nobody waits for any more, or that another tab began, changes what is shown here.
    this.#unhear = parts.tabs.hear('authorization', () => this.stale())
  }

  list(): Promise<readonly Connection[]> {
    return this.load(() => this.#fetch())
  }

  async get(id: string): Promise<Connection> {
    const connection = await this.#session.call(connectionRoutes.connection, { params: { id } })
    this.#keep(connection)
    return connection
  }

  /** Something has changed on the server: fetches the list again, where anybody has ever asked for it. */
  stale(): void {
    if (this.getSnapshot().state === 'loading' || this.#session.state !== 'signed_in') return
    // The failure is in the snapshot already.
    this.list().catch(() => undefined)
  }

  /**
   * Lets the person connect an account. Call it directly in the click's handler, with no `await` before it: the window must
   * open while the click still counts. Never throws: whatever comes of it is an outcome.
   */
  authorize(provider: string, options: AuthorizeOptions): Promise<AuthorizationOutcome> {
    const page = this.#page
    if (page === undefined) return Promise.resolve(troubleOf(new AtomClientError('browser_needed')))
    // Not in the async part: browsers count a window as wanted only within the click's own call.
    const popup = options.mode === 'popup' ? page.openPopup() : undefined
    if (popup === null) return Promise.resolve(troubleOf(new AtomClientError('popup_blocked')))
    const outcome: Promise<AuthorizationOutcome> =
      popup === undefined
        ? this.#redirect(page, provider, options)
        : this.#inPopup(page, popup, provider, options)
    return outcome.catch((thrown: unknown) => troubleOf(asAtomClientError(thrown)))
  }

  /** Consent anew for the same account, for what it was asked for before, in a window whatever the way it came by. Like `authorize`. */
  reconnect(
    connection: Pick<Connection, 'id' | 'provider' | 'flow'>,
    options: Pick<AuthorizeOptions, 'mode' | 'returnTo'>,
  ): Promise<AuthorizationOutcome> {
    const { id: connectionId, provider, flow } = connection
    return this.authorize(provider, { ...options, connectionId, flow: inWindow(flow) })
  }

  /** The same, for `scopes` besides what it was asked for before. */
  widen(
    connection: Pick<Connection, 'id' | 'provider' | 'flow'>,
    scopes: readonly string[],
    options: Pick<AuthorizeOptions, 'mode' | 'returnTo'>,
  ): Promise<AuthorizationOutcome> {
    const { id: connectionId, provider, flow } = connection
    return this.authorize(provider, { ...options, connectionId, scopes, flow: inWindow(flow) })
  }

  /**
   * Only begins: for a caller that opens the address itself, in the browser whose cookies began it, that shows a device code,
   * or that has a credential to give, whose connection is there at once.
   */
  async begin(
    provider: string,
    options: Omit<Body<typeof connectionRoutes.connect>, 'provider'> = {},
  ): Promise<BegunConnection> {
    const begun = await this.#session.call(connectionRoutes.connect, { body: { provider, ...options } })
    if ('connection' in begun) this.#keep(begun.connection)
    return begun
  }

  /**
   * Begins the same account anew by the way that it came by: `credential` is entered anew, a device code is a new one. What
   * turns out to be another account is none of this connection and changes nothing (`other_account`). An account that came by
   * a window is reconnected in one.
   */
  beginAgain(
    connection: Pick<Connection, 'id' | 'provider' | 'flow'>,
    { credential }: Pick<Body<typeof connectionRoutes.connect>, 'credential'> = {},
  ): Promise<BegunConnection> {
    const { id: connectionId, provider, flow } = connection
    return this.begin(provider, { connectionId, flow, ...(credential === undefined ? {} : { credential }) })
  }

  /** What has become of what `begin` began. */
  flow(id: string): Promise<ConnectionFlow> {
    return this.#session.call(connectionRoutes.connectionFlow, { params: { id } })
  }

  async #consent(
    provider: string,
    options: AuthorizeOptions,
  ): Promise<{ readonly flowId: string; readonly authorizeUrl: string }> {
    const begun = await this.begin(provider, {
      ...(options.returnTo === undefined ? {} : { returnTo: options.returnTo }),
      ...(options.scopes === undefined ? {} : { scopes: [...options.scopes] }),
      ...(options.particulars === undefined ? {} : { particulars: { ...options.particulars } }),
      ...(options.connectionId === undefined ? {} : { connectionId: options.connectionId }),
      ...(options.flow === undefined ? {} : { flow: options.flow }),
    })
    if (!('authorizeUrl' in begun)) throw new AtomClientError('flow_invalid')
    return begun
  }

  /**
   * Called once, at start, by the page that consent returns to. Tells whoever waits, and closes this window where it is the
   * popup. Undefined where the address speaks of no return.
   */
  completeAuthorization(href = this.#page?.href): AuthorizationReturn | undefined {
    if (href === undefined) return undefined
    const { searchParams } = new URL(href)
    const connected = searchParams.get('connected') ?? undefined
    const problem = searchParams.get('problem') ?? undefined
    if (connected === undefined && problem === undefined) return undefined
    const attempt = searchParams.get(attemptParameter)
    this.#tabs.tell('authorization', {
      attempt: attempt ?? '',
      ...(connected === undefined ? {} : { connected }),
      ...(problem === undefined ? {} : { problem }),
    } satisfies Note)
    if (attempt !== null) this.#page?.closeItself()
    return {
      ...(connected === undefined ? {} : { connected }),
      ...(problem === undefined ? {} : { problem: problemOf(problem) }),
    }
  }

  /** Refreshes the access token at the provider now. @throws connection_needs_reconnect, provider_unavailable */
  async refresh(id: string): Promise<Connection> {
    const connection = await this.#session.call(connectionRoutes.refreshConnection, { params: { id } })
    this.#keep(connection)
    return connection
  }

  /** Revokes at the provider and destroys the credential. */
  async disconnect(id: string): Promise<DisconnectReceipt> {
    const receipt = await this.#session.call(connectionRoutes.disconnect, { params: { id } })
    this.amend((items) => items.filter((item) => item.id !== id))
    this.#tabs.tell('authorization', { attempt: '' } satisfies Note)
    return receipt
  }

  /** What has happened to a connection, newest first; `next` is null on the last page. */
  events(
    id: string,
    page: { cursor?: string; limit?: number } = {},
  ): Promise<{ items: ConnectionEvent[]; next: string | null }> {
    return this.#session.call(connectionRoutes.connectionEvents, { params: { id }, query: page })
  }

  /** What will end, soonest first. */
  async forecast(): Promise<readonly ForecastItem[]> {
    return (await this.#session.call(connectionRoutes.forecast)).items
  }

  async providers(): Promise<readonly ProviderView[]> {
    return (await this.#session.call(connectionRoutes.providers)).items
  }

  /** The operator's own OAuth app for a provider; its secret is never shown again. */
  configureApp(provider: string, app: Body<typeof connectionRoutes.configureApp>): Promise<ProviderView> {
    return this.#session.call(connectionRoutes.configureApp, { params: { provider }, body: app })
  }

  /** Tries the app of a provider, as far as that goes without a person. */
  testApp(provider: string): Promise<AppTest> {
    return this.#session.call(connectionRoutes.testApp, { params: { provider } })
  }

  async removeApp(provider: string): Promise<void> {
    await this.#session.call(connectionRoutes.removeApp, { params: { provider } })
  }

  /** Starts the provider sandbox on the server's machine. */
  async openSandbox(): Promise<void> {
    await this.#session.call(operationRoutes.openSandbox)
  }

  close(): void {
    this.#unhear()
  }

  async #redirect(page: Page, provider: string, options: AuthorizeOptions): Promise<AuthorizationOutcome> {
    const { authorizeUrl } = await this.#consent(provider, options)
    page.goTo(authorizeUrl)
    return { outcome: 'leaving' }
  }

  async #inPopup(
    page: Page,
    popup: Popup,
    provider: string,
    options: AuthorizeOptions,
  ): Promise<AuthorizationOutcome> {
    const attempt = crypto.getRandomValues(new Uint32Array(4)).join('-')
    let unhear = (): void => undefined
    const watch = new AbortController()
    try {
      const told = new Promise<string>((resolve, reject) => {
        unhear = this.#tabs.hear('authorization', (message) => {
          const note = message as Note
          if (note.attempt !== attempt) return
          if (note.connected !== undefined) resolve(note.connected)
          else reject(problemOf(note.problem ?? 'flow_invalid'))
        })
      })
      const returnTo = new URL(options.returnTo ?? '/connections', 'http://atom.invalid')
      returnTo.searchParams.set(attemptParameter, attempt)
      const { flowId, authorizeUrl } = await this.#consent(provider, {
        ...options,
        returnTo: returnTo.pathname + returnTo.search + returnTo.hash,
      })
      if (popup.closed) throw new AtomClientError('window_closed')
      popup.location.replace(authorizeUrl)
      const connected = await Promise.race([told, this.#watch(page, popup, flowId, watch.signal)])
      return { outcome: 'connected', connection: await this.get(connected) }
    } finally {
      watch.abort()
      unhear()
      if (!popup.closed) popup.close()
    }
  }

  /**
   * The net below the return page's word: asks the server from time to time what has become of the flow. A window that reads
   * as closed may be open all the same, because a provider's page can cut the tie between the two
   * (Cross-Origin-Opener-Policy): it counts as closed once the person is back at this page and the flow has not ended.
   *
   * @returns the id of the connection
   * @throws AtomClientError `window_closed`, `flow_expired`, and whatever ended the flow
   */
  async #watch(page: Page, popup: Popup, flowId: string, signal: AbortSignal): Promise<string> {
    const endsAt = Date.now() + this.#flowLifeMs
    let lookAt = Date.now() + this.#pollMs
    let backSince: number | undefined
    while (!signal.aborted) {
      await new Promise((resolve) => {
        setTimeout(resolve, Math.min(closedPollMs, this.#pollMs))
      })
      if (signal.aborted) break
      const now = Date.now()
      const isBack = popup.closed && page.hasFocus()
      if (isBack && backSince === undefined) lookAt = now
      backSince = isBack ? (backSince ?? now) : undefined
      if (now >= lookAt) {
        lookAt = now + (isBack ? closedPollMs : this.#pollMs)
        const connected = await this.#ended(flowId)
        if (connected !== undefined) return connected
      }
      if (now >= endsAt) throw new AtomClientError('flow_expired')
      if (backSince !== undefined && now - backSince >= Math.min(closedGraceMs, this.#pollMs))
        throw new AtomClientError('window_closed')
    }
    throw new AtomClientError('aborted')
  }

  /**
   * @returns the id of the connection that a flow led to; undefined while it goes on, or while that cannot be told
   * @throws AtomClientError whatever ended the flow
   */
  async #ended(flowId: string): Promise<string | undefined> {
    let flow: ConnectionFlow
    try {
      flow = await this.flow(flowId)
    } catch (thrown) {
      // The next look may succeed; the return page's word needs no look at all.
      if (asAtomClientError(thrown).retryable) return undefined
      throw thrown
    }
    if (flow.status === 'failed') throw problemOf(flow.problem ?? 'flow_invalid')
    return flow.connectionId
  }

  async #fetch(): Promise<readonly Connection[]> {
    const connections: Connection[] = []
    let cursor: string | null = null
    do {
      const page: { items: Connection[]; next: string | null } = await this.#session.call(
        connectionRoutes.connections,
        { query: cursor === null ? { limit: 200 } : { limit: 200, cursor } },
      )
      connections.push(...page.items)
      cursor = page.next
    } while (cursor !== null)
    return connections
  }

  #keep(connection: Connection): void {
    this.amend((items) =>
      items.some(({ id }) => id === connection.id)
        ? items.map((item) => (item.id === connection.id ? connection : item))
        : [connection, ...items],
    )
  }
}

/** A code or a key is asked for in no window; the consent for the same account is. */
function inWindow(flow: FlowName): FlowName {
  return flow === 'app_installation' ? flow : 'authorization_code'
}

/** From an address, which anybody can write: what is not in the closed list says nothing. */
function problemOf(code: string): AtomClientError {
  return new AtomClientError(code in errorTable ? (code as ErrorCode) : 'flow_invalid')
}

const troubles: Readonly<Partial<Record<AtomClientError['code'], AuthorizationTrouble>>> = {
  consent_denied: 'denied',
  popup_blocked: 'popup_blocked',
  window_closed: 'closed',
  other_account: 'other_account',
  flow_expired: 'timed_out',
}

function troubleOf(problem: AtomClientError): AuthorizationOutcome {
  return { outcome: troubles[problem.code] ?? 'failed', problem }
}
