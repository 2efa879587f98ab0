import { type Static, Type } from 'typebox'
import { ById, Id, Nothing, Page, PageQuery, route, Time } from './route.ts'

export const limits = {
  nameLength: 80,
  emailLength: 254,
  /** ASVS 5.0 6.2.1, 6.2.9: at least 8 (we ask 12), and 128 must be allowed. */
  passwordMin: 12,
  passwordMax: 128,
  /** Rooms that one invitation leads into. */
  invitedRooms: 20,
} as const

const Name = Type.String({ minLength: 1, maxLength: limits.nameLength, pattern: '\\S' })
const Email = Type.String({ format: 'email', maxLength: limits.emailLength })
/** Strength is judged by the server (`weak_password`), so that the answer says why; here only the outer bound. */
const Password = Type.String({ minLength: 1, maxLength: limits.passwordMax })

export const Role = Type.Union([Type.Literal('owner'), Type.Literal('admin'), Type.Literal('member')])
export type Role = Static<typeof Role>

export const Account = Type.Object({ id: Id, email: Type.String(), name: Type.String(), createdAt: Time })
export type Account = Static<typeof Account>

export const Workspace = Type.Object({ id: Id, name: Type.String() })
export type Workspace = Static<typeof Workspace>

/**
 * `transport: "cookie"` is for browsers: the refresh token is then set as an HttpOnly cookie and left out of the body, so
 * that no script can read it.
 */
const SessionTransport = Type.Optional(Type.Union([Type.Literal('body'), Type.Literal('cookie')]))

export const Tokens = Type.Object({
  accessToken: Type.String(),
  refreshToken: Type.Optional(Type.String()),
  tokenType: Type.Literal('Bearer'),
  expiresIn: Type.Integer({ description: 'Seconds until the access token expires.' }),
})
export type Tokens = Static<typeof Tokens>

export const SignedIn = Type.Object({
  account: Account,
  workspace: Workspace,
  role: Role,
  ...Tokens.properties,
})
export type SignedIn = Static<typeof SignedIn>

export const Session = Type.Object({
  id: Id,
  current: Type.Boolean(),
  userAgent: Type.String(),
  createdAt: Time,
  lastUsedAt: Time,
})
export type Session = Static<typeof Session>

export const Invitation = Type.Object({
  id: Id,
  email: Type.String(),
  role: Role,
  expiresAt: Time,
  acceptedAt: Type.Union([Time, Type.Null()]),
})
export type Invitation = Static<typeof Invitation>

export const Me = Type.Object({ account: Account, workspace: Workspace, role: Role })
export type Me = Static<typeof Me>

export const accountRoutes = {
  setupState: route({
    method: 'GET',
    path: '/v1/setup',
    summary: 'Whether this server still waits for its first owner',
    audience: 'anyone',
    priority: 'entry',
    answers: { 200: Type.Object({ open: Type.Boolean() }) },
    errors: [],
  }),
  setup: route({
    method: 'POST',
    path: '/v1/setup',
    summary: 'Create the first owner and the workspace; works once',
    audience: 'anyone',
    priority: 'entry',
    body: Type.Object(
      {
        token: Type.String({ minLength: 1, maxLength: 200 }),
        email: Email,
        password: Password,
        name: Name,
        workspace: Name,
        transport: SessionTransport,
      },
      { additionalProperties: false },
    ),
    answers: { 201: SignedIn },
    errors: ['setup_closed', 'setup_token_invalid', 'weak_password', 'rate_limited', 'origin_refused'],
  }),
  login: route({
    method: 'POST',
    path: '/v1/auth/login',
    summary: 'Sign in',
    audience: 'anyone',
    priority: 'entry',
    body: Type.Object(
      { email: Email, password: Password, transport: SessionTransport },
      { additionalProperties: false },
    ),
    answers: { 200: SignedIn },
    errors: ['invalid_credentials', 'rate_limited', 'origin_refused'],
  }),
  refresh: route({
    method: 'POST',
    path: '/v1/auth/refresh',
    summary:
      'Exchange the refresh token (body or cookie) for a new pair; reuse of an old one ends the session',
    audience: 'anyone',
    priority: 'entry',
    body: Type.Object(
      { refreshToken: Type.Optional(Type.String({ maxLength: 200 })) },
      { additionalProperties: false },
    ),
    answers: { 200: SignedIn },
    errors: ['unauthenticated', 'session_revoked', 'origin_refused'],
  }),
  logout: route({
    method: 'POST',
    path: '/v1/auth/logout',
    summary: 'End this session everywhere',
    audience: 'member',
    answers: { 204: Nothing },
    errors: [],
  }),
  sessions: route({
    method: 'GET',
    path: '/v1/auth/sessions',
    summary: 'Where I am signed in',
    audience: 'member',
    query: PageQuery,
    answers: { 200: Page(Session) },
    errors: [],
  }),
  endSession: route({
    method: 'DELETE',
    path: '/v1/auth/sessions/{id}',
    summary: 'End one of my sessions',
    audience: 'member',
    params: ById,
    answers: { 204: Nothing },
    errors: ['not_found'],
  }),
  me: route({
    method: 'GET',
    path: '/v1/me',
    summary: 'Who I am',
    audience: 'member',
    answers: { 200: Me },
    errors: [],
  }),
  members: route({
    method: 'GET',
    path: '/v1/members',
    summary: 'Who is in this workspace',
    audience: 'member',
    query: PageQuery,
    answers: { 200: Page(Type.Object({ account: Account, role: Role })) },
    errors: [],
  }),
  invite: route({
    method: 'POST',
    path: '/v1/invitations',
    summary: 'Invite a person; the link is shown once',
    audience: 'operator',
    body: Type.Object(
      {
        email: Email,
        role: Type.Union([Type.Literal('admin'), Type.Literal('member')]),
        /** Rooms of mine that they are in from the start. */
        roomIds: Type.Optional(Type.Array(Id, { maxItems: limits.invitedRooms, uniqueItems: true })),
      },
      { additionalProperties: false },
    ),
    answers: { 201: Type.Object({ invitation: Invitation, url: Type.String() }) },
    errors: ['email_taken', 'not_found', 'not_a_member', 'forbidden'],
  }),
  invitations: route({
    method: 'GET',
    path: '/v1/invitations',
    summary: 'Invitations of this workspace',
    audience: 'operator',
    query: PageQuery,
    answers: { 200: Page(Invitation) },
    errors: [],
  }),
  withdrawInvitation: route({
    method: 'DELETE',
    path: '/v1/invitations/{id}',
    summary: 'Withdraw an invitation',
    audience: 'operator',
    params: ById,
    answers: { 204: Nothing },
    errors: ['not_found'],
  }),
  acceptInvitation: route({
    method: 'POST',
    path: '/v1/invitations/accept',
    summary: 'Join a workspace with an invitation',
    audience: 'anyone',
    priority: 'entry',
    body: Type.Object(
      {
        token: Type.String({ minLength: 1, maxLength: 200 }),
        name: Name,
        password: Password,
        transport: SessionTransport,
      },
      { additionalProperties: false },
    ),
    answers: { 201: SignedIn },
    errors: ['invitation_invalid', 'weak_password', 'email_taken', 'rate_limited', 'origin_refused'],
  }),
} as const
