import { hash as digest, timingSafeEqual } from 'node:crypto'
import type { Invitation, Me, Session, SignedIn } from '@atom/contract/accounts.ts'
import { Id } from '@atom/contract/route.ts'
import { Compile } from 'typebox/compile'
import type { AccountPrincipal } from '#access/principal.ts'
import type { AccessTokens } from '#access/tokens.ts'
import type { Clock } from '#foundation/clock.ts'
import { hashPassword, isWeak, shortestPassword, verifyPassword } from '#foundation/crypto/password-hash.ts'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { fingerprint, newId, randomToken } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Secret } from '#foundation/secret.ts'
import {
  type AccountRow,
  type AccountStore,
  emailKey,
  type InvitationRow,
  type InvitedInto,
  type MembershipRow,
  type PageRequest,
  type WorkspaceRow,
} from './account-store.ts'
import type { Sessions, StartedSession } from './sessions.ts'
import type { SignInThrottle } from './sign-in-throttle.ts'

/** How long an invitation can be accepted. */
export const invitationLifetimeMs = 7 * 86_400_000

export interface Arrival {
  readonly workspace: { readonly id: string; readonly name: string }
  readonly account: { readonly id: string; readonly name: string }
  /** The workspace came to be with this person. */
  readonly founded: boolean
  /** Who invited them, and into which rooms. */
  readonly invited?: InvitedInto
}

/** Part of the transaction in which a person arrives: either both happen or neither. */
export type Arrived = (tx: Transaction, arrival: Arrival) => Promise<void>

export interface AccountsDependencies {
  readonly database: Database
  readonly store: AccountStore
  readonly sessions: Sessions
  readonly tokens: Pick<AccessTokens, 'mint'>
  readonly throttle: SignInThrottle
  readonly clock: Clock
  readonly log: Log
  /** What the setup link carries. */
  readonly setupToken: Secret<string>
  /** The origin people use. */
  readonly publicUrl: () => string
  readonly arrived: Arrived
  /** @throws AtomError where the rooms are not ones that this person can bring somebody into */
  readonly mayInviteInto: (principal: AccountPrincipal, roomIds: readonly string[]) => Promise<void>
}

/** Where a caller stands: what sign-in is slowed down by, and what a session is named after. */
export interface Caller {
  readonly ip: string
  readonly userAgent: string
}

interface NewPerson {
  readonly email: string
  readonly name: string
  readonly password: string
}

interface Page<T> {
  readonly items: T[]
  readonly next: string | null
}

interface PageQuery {
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
}

/** People, their workspace and how they get in. There are two ways to an account: the setup link, once, and an invitation. */
export class Accounts {
  readonly #database: Database
  readonly #store: AccountStore
  readonly #sessions: Sessions
  readonly #tokens: Pick<AccessTokens, 'mint'>
  readonly #throttle: SignInThrottle
  readonly #clock: Clock
  readonly #log: Log
  readonly #setupToken: Secret<string>
  readonly #publicUrl: () => string
  readonly #arrived: Arrived
  readonly #mayInviteInto: AccountsDependencies['mayInviteInto']

  constructor(dependencies: AccountsDependencies) {
    this.#database = dependencies.database
    this.#store = dependencies.store
    this.#sessions = dependencies.sessions
    this.#tokens = dependencies.tokens
    this.#throttle = dependencies.throttle
    this.#clock = dependencies.clock
    this.#log = dependencies.log
    this.#setupToken = dependencies.setupToken
    this.#publicUrl = dependencies.publicUrl
    this.#arrived = dependencies.arrived
    this.#mayInviteInto = dependencies.mayInviteInto
  }

  async setupOpen(): Promise<boolean> {
    return !(await this.#store.isSetUp(this.#database))
  }

  /**
   * The first owner and the workspace.
   *
   * @throws AtomError `setup_closed` | `setup_token_invalid` | `weak_password` | `rate_limited`
   */
  async setup(founder: NewPerson & { token: string; workspace: string }, caller: Caller): Promise<SignedIn> {
    if (!(await this.setupOpen())) throw new AtomError('setup_closed')
    const attempt = await this.#throttle.attempt(caller.ip)
    if (!sameText(founder.token, this.#setupToken.reveal())) throw new AtomError('setup_token_invalid')
    attempt.forgive()
    const workspace = { id: newId(), name: founder.workspace.trim() }
    const passwordHash = await this.#acceptPassword(founder)
    const signedIn = await this.#database.transaction(async (tx) => {
      if (!(await this.#store.claimInstallation(tx, workspace.id, this.#clock.now())))
        throw new AtomError('setup_closed')
      await this.#store.addWorkspace(tx, workspace, this.#clock.now())
      return await this.#arrive(tx, {
        founder,
        workspace,
        role: 'owner',
        founded: true,
        passwordHash,
        caller,
      })
    })
    this.#log.info({ accountId: signedIn.membership.account.id }, 'this server was set up')
    return await this.#signedIn(signedIn.membership, signedIn.session)
  }

  /** @throws AtomError `invalid_credentials`, the same for an unknown e-mail and a wrong password | `rate_limited` */
  async login(credentials: { email: string; password: string }, caller: Caller): Promise<SignedIn> {
    const attempt = await this.#throttle.attempt(caller.ip, emailKey(credentials.email))
    const found = await this.#store.findByEmail(this.#database, credentials.email)
    // Also without an account: the answer takes as long and says the same.
    const right = await verifyPassword(found?.passwordHash, credentials.password)
    if (found === undefined || !right) throw new AtomError('invalid_credentials')
    attempt.forgive()
    const session = await this.#database.transaction(
      async (tx) =>
        await this.#sessions.start(tx, {
          workspaceId: found.workspace.id,
          accountId: found.account.id,
          userAgent: caller.userAgent,
        }),
    )
    return await this.#signedIn(found, session)
  }

  /** @throws AtomError `unauthenticated` | `session_revoked` */
  async refresh(refreshToken: string, caller: Caller): Promise<SignedIn> {
    const session = await this.#sessions.refresh(refreshToken, caller.userAgent)
    const membership = await this.#store.findMembership(
      this.#database,
      session.workspaceId,
      session.accountId,
    )
    if (membership === undefined) throw new AtomError('session_revoked')
    return await this.#signedIn(membership, session)
  }

  async logout(principal: AccountPrincipal): Promise<void> {
    await this.#sessions.end(principal, principal.sessionId)
  }

  async sessions(principal: AccountPrincipal, query: PageQuery): Promise<Page<Session>> {
    return await paged(query, async (page) =>
      (await this.#sessions.list(principal, page)).map((session) => ({
        id: session.id,
        current: session.id === principal.sessionId,
        userAgent: session.userAgent,
        createdAt: session.createdAt.toISOString(),
        lastUsedAt: session.lastUsedAt.toISOString(),
      })),
    )
  }

  /** @throws AtomError `not_found` */
  async endSession(principal: AccountPrincipal, id: string): Promise<void> {
    if (!(await this.#sessions.end(principal, id))) throw new AtomError('not_found')
  }

  /** @throws AtomError `session_revoked` where the membership is gone */
  async me(principal: AccountPrincipal): Promise<Me> {
    const membership = await this.#store.findMembership(this.#database, principal.workspaceId, principal.id)
    if (membership === undefined) throw new AtomError('session_revoked')
    return meOf(membership)
  }

  async find(
    workspaceId: string,
    accountId: string,
  ): Promise<{ id: string; name: string; email: string; role: Me['role'] } | undefined> {
    const membership = await this.#store.findMembership(this.#database, workspaceId, accountId)
    if (membership === undefined) return undefined
    const { account, role } = membership
    return { id: account.id, name: account.name, email: account.email, role }
  }

  async members(principal: AccountPrincipal, query: PageQuery): Promise<Page<Pick<Me, 'account' | 'role'>>> {
    return await paged(
      query,
      async (page) =>
        (await this.#store.members(this.#database, principal.workspaceId, page)).map((membership) => ({
          account: accountOf(membership.account),
          role: membership.role,
        })),
      (member) => member.account.id,
    )
  }

  /**
   * The link holds the only copy of the token.
   *
   * @throws AtomError `email_taken`; for the rooms `not_found` | `not_a_member` | `forbidden`
   */
  async invite(
    principal: AccountPrincipal,
    guest: { email: string; role: 'admin' | 'member'; roomIds?: readonly string[] | undefined },
  ): Promise<{ invitation: Invitation; url: string }> {
    const roomIds = (guest.roomIds ?? []).map((id) => id.toLowerCase())
    if (roomIds.length > 0) await this.#mayInviteInto(principal, roomIds)
    if (await this.#store.emailTaken(this.#database, guest.email)) throw new AtomError('email_taken')
    const now = this.#clock.now()
    const token = randomToken()
    const row: InvitationRow = {
      id: newId(),
      workspaceId: principal.workspaceId,
      email: guest.email,
      role: guest.role,
      expiresAt: new Date(now.getTime() + invitationLifetimeMs),
      acceptedAt: null,
    }
    await this.#store.addInvitation(this.#database, {
      ...row,
      tokenHash: fingerprint(token),
      invitedBy: principal.id,
      roomIds,
      createdAt: now,
    })
    return { invitation: invitationOf(row), url: `${this.#publicUrl()}/join#token=${token}` }
  }

  async invitations(principal: AccountPrincipal, query: PageQuery): Promise<Page<Invitation>> {
    return await paged(query, async (page) =>
      (await this.#store.invitations(this.#database, principal.workspaceId, page)).map(invitationOf),
    )
  }

  /** @throws AtomError `not_found` */
  async withdrawInvitation(principal: AccountPrincipal, id: string): Promise<void> {
    const withdrawn = await this.#store.withdrawInvitation(
      this.#database,
      principal.workspaceId,
      id,
      this.#clock.now(),
    )
    if (!withdrawn) throw new AtomError('not_found')
  }

  /** @throws AtomError `invitation_invalid` | `weak_password` | `email_taken` | `rate_limited` */
  async acceptInvitation(
    guest: { token: string; name: string; password: string },
    caller: Caller,
  ): Promise<SignedIn> {
    const attempt = await this.#throttle.attempt(caller.ip)
    const invitation = await this.#store.findOpenInvitation(
      this.#database,
      fingerprint(guest.token),
      this.#clock.now(),
    )
    if (invitation === undefined) throw new AtomError('invitation_invalid')
    attempt.forgive()
    const person = { email: invitation.email, name: guest.name, password: guest.password }
    const passwordHash = await this.#acceptPassword(person)
    const signedIn = await this.#database.transaction(
      async (tx) =>
        await this.#arrive(tx, {
          founder: person,
          workspace: { id: invitation.workspaceId, name: invitation.workspaceName },
          role: invitation.role,
          founded: false,
          passwordHash,
          caller,
          invitationId: invitation.id,
          invited: { invitedBy: invitation.invitedBy, roomIds: invitation.roomIds },
        }),
    )
    return await this.#signedIn(signedIn.membership, signedIn.session)
  }

  async #arrive(
    tx: Transaction,
    arrival: {
      founder: NewPerson
      workspace: WorkspaceRow
      role: MembershipRow['role']
      founded: boolean
      passwordHash: string
      caller: Caller
      invitationId?: string
      invited?: InvitedInto
    },
  ): Promise<{ membership: MembershipRow; session: StartedSession }> {
    const { founder, workspace, role, founded, passwordHash, caller, invitationId, invited } = arrival
    const now = this.#clock.now()
    const account: AccountRow = {
      id: newId(),
      email: founder.email,
      name: founder.name.trim(),
      createdAt: now,
    }
    if (!(await this.#store.addAccount(tx, account, passwordHash))) throw new AtomError('email_taken')
    if (invitationId !== undefined && !(await this.#store.takeInvitation(tx, invitationId, account.id, now)))
      throw new AtomError('invitation_invalid')
    await this.#store.addMembership(tx, { workspaceId: workspace.id, accountId: account.id, role, at: now })
    await this.#arrived(tx, {
      workspace,
      account: { id: account.id, name: account.name },
      founded,
      ...(invited !== undefined && { invited }),
    })
    const session = await this.#sessions.start(tx, {
      workspaceId: workspace.id,
      accountId: account.id,
      userAgent: caller.userAgent,
    })
    return { membership: { account, workspace, role }, session }
  }

  async #acceptPassword(person: NewPerson): Promise<string> {
    if ([...person.password].length < shortestPassword)
      throw new AtomError(
        'weak_password',
        `Use at least ${shortestPassword} characters; a few unrelated words are easy to remember.`,
      )
    if (await isWeak(person.password, person))
      throw new AtomError(
        'weak_password',
        'This password is easy to guess. Use a few unrelated words, without your name or address.',
      )
    return await hashPassword(person.password)
  }

  async #signedIn(membership: MembershipRow, session: StartedSession): Promise<SignedIn> {
    const { account, workspace, role } = membership
    const minted = await this.#tokens.mint({
      kind: 'account',
      id: account.id,
      workspaceId: workspace.id,
      role,
      sessionId: session.sessionId,
      name: account.name,
    })
    return { ...meOf(membership), ...minted, refreshToken: session.refreshToken, tokenType: 'Bearer' }
  }
}

function meOf(membership: MembershipRow): Me {
  const { workspace, role } = membership
  return {
    account: accountOf(membership.account),
    workspace: { id: workspace.id, name: workspace.name },
    role,
  }
}

function accountOf(row: AccountRow): Me['account'] {
  return { id: row.id, email: row.email, name: row.name, createdAt: row.createdAt.toISOString() }
}

function invitationOf(row: InvitationRow): Invitation {
  return {
    id: row.id,
    email: row.email,
    role: row.role,
    expiresAt: row.expiresAt.toISOString(),
    acceptedAt: row.acceptedAt?.toISOString() ?? null,
  }
}

/** Compared as digests: equal length whatever was sent, and no early end. */
function sameText(one: string, other: string): boolean {
  return timingSafeEqual(digest('sha256', one, 'buffer'), digest('sha256', other, 'buffer'))
}

const idCheck = Compile(Id)
const usualPage = 50

/** One page; asks for one row more to know whether another page follows. The cursor is the id of the last item. */
async function paged<T>(
  query: PageQuery,
  read: (page: PageRequest) => Promise<T[]>,
  idOf: (item: T) => string = (item) => (item as T & { id: string }).id,
): Promise<Page<T>> {
  const { cursor, limit = usualPage } = query
  if (cursor !== undefined && !idCheck.Check(cursor))
    throw new AtomError('validation_failed', undefined, {
      problems: [{ pointer: 'query/cursor', detail: 'Is not a cursor of this list.' }],
    })
  const rows = await read({ after: cursor, limit: limit + 1 })
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return { items, next: rows.length > limit && last !== undefined ? idOf(last) : null }
}
