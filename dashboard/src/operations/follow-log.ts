import { AtomClientError } from '@atom/client'
import { type LogLine, logRoutes } from '@atom/contract/log.ts'
import type { Query } from '@atom/contract/route.ts'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { atom } from '../shell/atom.ts'

export type LogWanted = Query<typeof logRoutes.logStream>

/** Why a stream ended: the server says so before it ends one in good order, as with the token that it was opened with. */
export type StreamEnd = 'closing' | 'gone'

/**
 * Opens the stream of the log, which the platform's EventSource cannot: it sends no token. Resolves when the server has
 * begun; what is written from then on comes out of `read`.
 * @throws AtomClientError `offline`, `bad_answer`
 */
export async function openLogStream(
  wanted: LogWanted,
  signal: AbortSignal,
): Promise<{ read(heard: (line: LogLine) => void): Promise<StreamEnd> }> {
  const token = await atom.session.accessToken()
  const search = new URLSearchParams(Object.entries(wanted).map(([name, value]) => [name, String(value)]))
  let answer: Response
  try {
    answer = await fetch(`${logRoutes.logStream.path}?${search}`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
      cache: 'no-store',
      signal,
    })
  } catch (cause) {
    throw new AtomClientError(signal.aborted ? 'aborted' : 'offline', { cause })
  }
  if (answer.status === 401) atom.session.distrust(token)
  if (!answer.ok || answer.body === null) {
    await answer.body?.cancel()
    throw new AtomClientError('bad_answer', { status: answer.status })
  }
  const events = answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  return {
    async read(heard) {
      const reader = events.getReader()
      try {
        for (;;) {
          const { done, value } = await reader.read()
          if (done) return 'gone'
          if (value.event === 'closing') return 'closing'
          // The shape is the contract's word: both sides run the same version of it.
          if (value.event === undefined || value.event === 'message') heard(JSON.parse(value.data) as LogLine)
        }
      } finally {
        await reader.cancel().catch((cause: unknown) => {
          // Of a stream that has broken there is nothing left to end.
          if (!signal.aborted) console.debug('Atom: the stream of the log had broken', cause)
        })
      }
    },
  }
}
