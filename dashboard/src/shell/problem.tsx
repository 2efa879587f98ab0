import { AtomClientError } from '@atom/client'
import { errorTable } from '@atom/contract/errors.ts'
import { Button } from '../ui/button.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { Notice } from '../ui/notice.tsx'

export interface ProblemWords {
  /** What happened. */
  readonly title: string
  /** What to do next. */
  readonly next: string
  readonly requestId?: string
}

/** Any thrown thing in the words of the closed list. */
export function problemWords(error: unknown): ProblemWords {
  if (!(error instanceof AtomClientError)) {
    return { title: 'Something went wrong on this page', next: 'Reload the page and try again.' }
  }
  const request = error.requestId === undefined ? {} : { requestId: error.requestId }
  const row = codeWords(error.code)
  if (row === undefined) return { title: firstSentence(error.detail), next: rest(error.detail), ...request }
  // The server's own words say more than the general ones; where they only repeat the title, the remedy is what is missing.
  const said = error.detail.startsWith(row.title)
    ? error.detail.slice(row.title.length).replace(/^[.\s]+/, '')
    : error.detail
  const isUsual = said === '' || said === rowOf(error.code)?.remedy
  return { title: row.title, next: isUsual ? row.next : said, ...request }
}

/** The words of a code that came without a sentence, as in `?problem=consent_denied`. */
export function codeWords(code: string): ProblemWords | undefined {
  const row = rowOf(code)
  return row === undefined ? undefined : { title: row.title, next: forPeople[code] ?? row.remedy }
}

function rowOf(code: string): (typeof errorTable)[keyof typeof errorTable] | undefined {
  return Object.hasOwn(errorTable, code) ? errorTable[code as keyof typeof errorTable] : undefined
}

/** Where the list speaks of the fields of a request or an answer, which only a program sees. */
const forPeople: Readonly<Record<string, string>> = {
  unauthenticated: 'Sign in and try again.',
  payload_too_large: 'Send less at once.',
  message_too_large: 'Shorten it, or send it in parts.',
  rate_limited: 'Wait a moment, then try again.',
  busy: 'Try again in a moment: nothing is stored twice.',
  unavailable: 'Try again in a moment: what was stored is not stored twice.',
  validation_failed: 'Look at what was entered, and send it again.',
  provider_refused:
    'Start again. Where it refuses again, the operator finds what it said in the log of the server.',
}

/** What happened, what to do next, the request id to copy; the rest of the page keeps working. */
export function ProblemNotice({
  error,
  onRetry,
  onDismiss,
}: {
  error: unknown
  onRetry?: () => void
  onDismiss?: () => void
}) {
  const { title, next, requestId } = problemWords(error)
  return (
    <Notice
      tone="bad"
      title={title}
      {...(onDismiss === undefined ? {} : { onDismiss })}
      {...(onRetry === undefined ? {} : { actions: <Button onClick={onRetry}>Try again</Button> })}
    >
      {next !== '' && <p>{next}</p>}
      {requestId !== undefined && (
        <p className="mt-1 flex flex-wrap items-center gap-x-1 text-sm text-quiet">
          Request <code className="font-mono text-xs select-all">{requestId}</code>
          <CopyButton text={requestId} what="request id" />
        </p>
      )}
    </Notice>
  )
}

function firstSentence(text: string): string {
  return /^.*?[.!?](?=\s|$)/s.exec(text)?.[0].replace(/\.$/, '') ?? text
}

function rest(text: string): string {
  return text.slice(/^.*?[.!?](?=\s|$)/s.exec(text)?.[0].length ?? text.length).trim()
}
