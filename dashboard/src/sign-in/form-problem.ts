import { AtomClientError } from '@atom/client'

/** What the server says about one field of the form, by the field's name in the request. */
export function fieldProblem(error: unknown, field: string): string | undefined {
  if (!(error instanceof AtomClientError)) return undefined
  const named = error.errors?.find((trouble) => trouble.pointer.replace(/^(body)?\//, '') === field)
  if (named !== undefined) return sentence(named.detail)
  if (error.code === 'weak_password' && field === 'password') return error.detail
  if (error.code === 'email_taken' && field === 'email') return error.detail
  return undefined
}

/** True where the problem stands at one of these fields and needs no notice of its own. */
export function isFieldProblem(error: unknown, fields: readonly string[]): boolean {
  return fields.some((field) => fieldProblem(error, field) !== undefined)
}

function sentence(text: string): string {
  const trimmed = text.trim()
  return `${trimmed.charAt(0).toUpperCase()}${trimmed.slice(1)}${/[.!?]$/.test(trimmed) ? '' : '.'}`
}
