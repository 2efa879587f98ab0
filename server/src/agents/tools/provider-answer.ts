import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { AtomError } from '#foundation/errors.ts'
import type { ProviderAccount, ProviderAnswer, ProviderRequest } from './tool.ts'
import { ToolRefused, ToolUncertain } from './tool.ts'

/** Longest piece of foreign text that is kept of one field. */
const fieldLength = 300

/** Foreign text as one short line: control and direction characters out, so that it cannot pretend to be anything else. */
export function line(foreign: string, length = fieldLength): string {
  const clean = foreign.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim()
  return clean.length <= length ? clean : `${clean.slice(0, length - 1)}…`
}

/** The address where it is one that a browser may open, else nothing. */
export function webAddress(foreign: string | null | undefined): string | undefined {
  if (foreign === null || foreign === undefined) return undefined
  const url = URL.parse(foreign)
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url.href : undefined
}

const Complaint = Type.Union([
  Type.Object({ message: Type.String() }),
  Type.Object({ error: Type.Object({ message: Type.String() }) }),
])

function complaintOf(answer: ProviderAnswer): string {
  if (!Value.Check(Complaint, answer.body)) return `status ${answer.status}`
  return line('message' in answer.body ? answer.body.message : answer.body.error.message, 200)
}

/** When the provider lets this account ask again, where it says so (RFC 9110 10.2.3, and GitHub's own field). */
function waitOf(answer: ProviderAnswer, now: Date): string {
  const after = Number(answer.headers.get('retry-after') ?? Number.NaN)
  const reset = Number(answer.headers.get('x-ratelimit-reset') ?? Number.NaN)
  const seconds = Number.isFinite(after) ? after : Number.isFinite(reset) ? reset - now.getTime() / 1000 : 60
  const minutes = Math.max(1, Math.ceil(seconds / 60))
  return minutes === 1 ? 'in a minute' : `in ${minutes} minutes`
}

/**
 * Asks the provider and reads the answer as `schema`.
 * @param what for the sentence of a refusal: "the issue"
 * @throws ToolRefused for an answer of 4xx · ToolUncertain for a write without a clear answer · AtomError
 * `provider_unavailable` for a read without one
 */
export async function ask<S extends TSchema>(
  account: ProviderAccount,
  provider: string,
  request: ProviderRequest,
  schema: S,
  what: string,
): Promise<{ value: Static<S>; headers: Headers }> {
  const answer = await send(account, provider, request)
  judge(account, provider, request, answer, what)
  if (!Value.Check(schema, answer.body)) throw unclear(provider, request, 'an answer that Atom cannot read')
  return { value: answer.body, headers: answer.headers }
}

/** Sends it; a write that got no answer is uncertain, whatever the reason. */
export async function send(
  account: ProviderAccount,
  provider: string,
  request: ProviderRequest,
): Promise<ProviderAnswer> {
  try {
    return await account.request(request)
  } catch (thrown) {
    if (request.method === 'GET' || !(thrown instanceof AtomError) || thrown.code !== 'provider_unavailable')
      throw thrown
    throw new ToolUncertain(`${provider} did not answer.`, { cause: thrown })
  }
}

export function judge(
  account: ProviderAccount,
  provider: string,
  request: ProviderRequest,
  answer: ProviderAnswer,
  what: string,
): void {
  const { status } = answer
  if (status >= 200 && status < 300) return
  if (status >= 500 || status < 200) throw unclear(provider, request, `status ${status}`)
  const limited = status === 429 || (status === 403 && answer.headers.get('x-ratelimit-remaining') === '0')
  if (limited)
    throw new ToolRefused(`${provider} asks to slow down. Try again ${waitOf(answer, account.now)}.`)
  if (status === 404 || status === 410)
    throw new ToolRefused(`${provider} does not know ${what}, or this account may not see it.`)
  if (status === 401 || status === 403)
    throw new ToolRefused(`${provider} does not allow this account to do that: ${complaintOf(answer)}`)
  throw new ToolRefused(`${provider} refused: ${complaintOf(answer)}`)
}

function unclear(provider: string, request: ProviderRequest, got: string): Error {
  return request.method === 'GET'
    ? new AtomError('provider_unavailable', `${provider} gave ${got}. Try again in a moment.`)
    : new ToolUncertain(`${provider} gave ${got}.`)
}
