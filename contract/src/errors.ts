import { type Static, Type } from 'typebox'

/**
 * The closed list of everything that can go wrong, as a caller sees it. A code never changes its meaning; a new failure gets
 * a new code here before anything can throw it. `status` is the HTTP status at the HTTP door; at the socket door the same
 * code travels in the acknowledgement. `retryable` says whether the same request may succeed later without being changed.
 */
export const errorTable = {
  malformed_request: row(
    400,
    'request',
    'low',
    false,
    'The request could not be read',
    'Send well-formed JSON with the content type application/json.',
  ),
  validation_failed: row(
    400,
    'request',
    'low',
    false,
    'The request is not valid',
    'Correct the fields listed in `errors` and send it again.',
  ),
  frame_malformed: row(
    400,
    'request',
    'low',
    false,
    'The frame could not be read',
    'Send the frame as described in the socket reference.',
  ),
  unauthenticated: row(
    401,
    'access',
    'low',
    false,
    'Who is calling is not known',
    'Sign in and send the access token as `Authorization: Bearer …`.',
  ),
  token_expired: row(
    401,
    'access',
    'low',
    false,
    'The access token has expired',
    'Refresh the session and send the new access token.',
  ),
  session_revoked: row(401, 'access', 'medium', false, 'The session has ended', 'Sign in again.'),
  invalid_credentials: row(
    401,
    'access',
    'medium',
    false,
    'E-mail or password is wrong',
    'Check both and try again.',
  ),
  forbidden: row(
    403,
    'access',
    'medium',
    false,
    'This is not allowed for you',
    'Ask an owner or admin of the workspace.',
  ),
  origin_refused: row(
    403,
    'access',
    'medium',
    false,
    'The origin is not allowed',
    'Add the origin to ATOM_CORS_ORIGINS, or open Atom by its own address.',
  ),
  blocked: row(
    403,
    'access',
    'medium',
    false,
    'You are kept out of this server',
    'Ask whoever runs this server to let you in again.',
  ),
  not_a_member: row(
    403,
    'access',
    'low',
    false,
    'You are not a member of this room',
    'Ask a member of the room to add you.',
  ),
  setup_token_invalid: row(
    403,
    'access',
    'high',
    false,
    'The setup link is not valid',
    'Use the link printed by the server that is running now.',
  ),
  setup_closed: row(
    409,
    'access',
    'low',
    false,
    'This server is already set up',
    'Sign in, or ask an owner for an invitation.',
  ),
  invitation_invalid: row(
    410,
    'access',
    'low',
    false,
    'The invitation is not valid any more',
    'Ask for a new invitation.',
  ),
  weak_password: row(
    422,
    'request',
    'low',
    false,
    'The password is too weak',
    'Choose at least 12 characters that are not a common password.',
  ),
  email_taken: row(
    409,
    'request',
    'low',
    false,
    'An account with this e-mail exists',
    'Sign in instead, or use another e-mail.',
  ),
  not_found: row(404, 'request', 'low', false, 'There is nothing here', 'Check the address and the id.'),
  method_not_allowed: row(
    405,
    'request',
    'low',
    false,
    'The method is not allowed here',
    'Use one of the methods in the Allow field.',
  ),
  unsupported_media_type: row(
    415,
    'request',
    'low',
    false,
    'The content type is not supported',
    'Send application/json.',
  ),
  room_full: row(
    409,
    'request',
    'low',
    false,
    'The room has as many members as a room may have',
    'Take somebody out of the room first, or make another room.',
  ),
  too_many_reactions: row(
    409,
    'request',
    'low',
    false,
    'The message has as many different reactions as a message may have',
    'Use one of the reactions that are there.',
  ),
  too_many_pins: row(
    409,
    'request',
    'low',
    false,
    'The room has as many pinned messages as a room may have',
    'Take a pin off first.',
  ),
  payload_too_large: row(
    413,
    'request',
    'low',
    false,
    'The request is too large',
    'Send less than the limit named in `detail`.',
  ),
  message_too_large: row(
    413,
    'request',
    'low',
    false,
    'The message is too long',
    'Shorten it to the limit named in `detail`, or send it in parts.',
  ),
  idempotency_conflict: row(
    409,
    'request',
    'medium',
    false,
    'The idempotency key was used for another request',
    'Use a new key for a new request.',
  ),
  protocol_unsupported: row(
    400,
    'request',
    'medium',
    false,
    'This protocol version is not supported',
    'Reload the page or update the client.',
  ),
  provider_unknown: row(
    404,
    'provider',
    'low',
    false,
    'There is no such provider',
    'Choose one from GET /v1/providers.',
  ),
  provider_not_configured: row(
    409,
    'provider',
    'medium',
    false,
    'No app is configured for this provider',
    'An owner enters client id and secret on the Connections page, or turns on the sandbox.',
  ),
  flow_invalid: row(
    400,
    'provider',
    'medium',
    false,
    'This answer does not belong to a running connection attempt',
    'Start connecting again from the Connections page.',
  ),
  flow_expired: row(
    410,
    'provider',
    'low',
    false,
    'The connection attempt took too long',
    'Start connecting again; finish within ten minutes.',
  ),
  flow_used: row(
    409,
    'provider',
    'medium',
    false,
    'This answer was used already',
    'Look at the Connections page; if the account is missing, start again.',
  ),
  flow_other_browser: row(
    403,
    'provider',
    'high',
    false,
    'The connection attempt began in another browser',
    'Start and finish connecting in the same browser.',
  ),
  flow_signed_out: row(
    403,
    'provider',
    'medium',
    false,
    'The session that began connecting has ended',
    'Sign in and start connecting again.',
  ),
  return_to_refused: row(
    400,
    'provider',
    'medium',
    false,
    'The return address is not allowed',
    'Use a path of this server, beginning with a single slash.',
  ),
  consent_denied: row(
    403,
    'provider',
    'low',
    false,
    'Access was not granted at the provider',
    'Nothing was connected. Start again when you want to grant access.',
  ),
  other_account: row(
    409,
    'provider',
    'low',
    false,
    'Another account was chosen at the provider',
    'Sign in there with the account of this connection, or connect the other one as a new connection.',
  ),
  consent_pending: row(
    409,
    'provider',
    'low',
    false,
    'Somebody else has to allow the access at the provider',
    'The provider has asked an administrator. Connect again once they have agreed.',
  ),
  provider_refused: row(
    502,
    'provider',
    'medium',
    false,
    'The provider refused the request',
    'See `detail` for the provider’s reason.',
  ),
  provider_misconfigured: row(
    502,
    'provider',
    'high',
    false,
    'The provider does not accept the configured app',
    'An owner checks client id, secret and redirect address of the app.',
  ),
  provider_unavailable: row(
    503,
    'provider',
    'medium',
    true,
    'The provider does not answer',
    'Try again in a moment.',
  ),
  connection_needs_reconnect: row(
    409,
    'provider',
    'medium',
    false,
    'The connection does not work any more',
    'Reconnect the account on the Connections page.',
  ),
  proxy_target_refused: row(
    400,
    'provider',
    'high',
    false,
    'The address is outside the provider’s API',
    'Give a path of the provider’s API.',
  ),
  capability_exceeded: row(
    403,
    'access',
    'medium',
    false,
    'The capability does not allow this',
    'Use a method, path and connection that it names, or ask whoever lent it for another.',
  ),
  write_under_way: row(
    409,
    'request',
    'low',
    true,
    'The same request is under way',
    'Send it again in a moment with the same key to get its answer.',
  ),
  write_outcome_unknown: row(
    409,
    'provider',
    'high',
    false,
    'What became of this request is not known',
    'It was sent and its answer was lost. Look at the provider before you send it under a new key.',
  ),
  write_answer_not_kept: row(
    409,
    'provider',
    'low',
    false,
    'The request was answered, but the answer is too long to be given twice',
    'Read what was written instead of writing it again.',
  ),
  approval_not_open: row(
    409,
    'agent',
    'low',
    false,
    'The approval was decided already',
    'See the decision in the room.',
  ),
  approval_expired: row(410, 'agent', 'low', false, 'The approval has expired', 'Ask the agent again.'),
  turn_not_active: row(409, 'agent', 'low', false, 'The turn has ended already', 'Nothing is left to stop.'),
  model_unavailable: row(
    503,
    'agent',
    'medium',
    true,
    'The language model does not answer',
    'Try again, or check its address and key.',
  ),
  rate_limited: row(429, 'capacity', 'low', true, 'Too many requests', 'Wait as long as Retry-After says.'),
  busy: row(
    503,
    'capacity',
    'medium',
    true,
    'The server is busy',
    'Send it again after `retryAfterMs`, with the same `clientId` or `Idempotency-Key`: nothing is stored twice.',
  ),
  starting: row(503, 'capacity', 'low', true, 'The server is starting', 'Try again in a moment.'),
  draining: row(503, 'capacity', 'low', true, 'The server is restarting', 'Connect again in a moment.'),
  unavailable: row(
    503,
    'capacity',
    'high',
    true,
    'The database or the key service cannot be reached',
    'Try again in a moment with the same `clientId` or `Idempotency-Key`: what was stored is not stored twice.',
  ),
  internal: row(
    500,
    'internal',
    'critical',
    false,
    'Something went wrong inside',
    'Tell the operator the request id.',
  ),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof errorTable
export type ErrorCategory = 'request' | 'access' | 'provider' | 'agent' | 'capacity' | 'internal'
export type Severity = 'low' | 'medium' | 'high' | 'critical'

export interface ErrorRow {
  /** HTTP status at the HTTP door. */
  readonly status: number
  readonly category: ErrorCategory
  readonly severity: Severity
  /** The same request may succeed later. */
  readonly retryable: boolean
  readonly title: string
  /** What to do next, in one sentence. */
  readonly remedy: string
}

export const errorCodes = Object.keys(errorTable) as ErrorCode[]

const ErrorCodeSchema = Type.Unsafe<ErrorCode>({ type: 'string', enum: errorCodes })

export const FieldProblem = Type.Object({
  /** JSON pointer into the body, or `query/…`, `params/…`. */
  pointer: Type.String(),
  detail: Type.String(),
})

/** RFC 9457 problem details, with Atom's members. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: 'Address of the page that explains the code.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.String(),
    code: ErrorCodeSchema,
    category: Type.String(),
    severity: Type.String(),
    retryable: Type.Boolean(),
    requestId: Type.String(),
    retryAfterMs: Type.Optional(Type.Integer()),
    /** Names of the limits that were met, as `RateLimit-Policy` names them. */
    violatedPolicies: Type.Optional(Type.Array(Type.String())),
    errors: Type.Optional(Type.Array(FieldProblem)),
  },
  { $id: 'Problem' },
)
export type Problem = Static<typeof Problem>

/** The same, as it travels in a socket acknowledgement. */
export const FrameError = Type.Object({
  code: ErrorCodeSchema,
  detail: Type.String(),
  retryable: Type.Boolean(),
  retryAfterMs: Type.Optional(Type.Integer()),
})
export type FrameError = Static<typeof FrameError>

function row(
  status: number,
  category: ErrorCategory,
  severity: Severity,
  retryable: boolean,
  title: string,
  remedy: string,
): ErrorRow {
  return { status, category, severity, retryable, title, remedy }
}
