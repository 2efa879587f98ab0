import type { RealtimeSnapshot } from '@atom/client'
import { plural } from '../ui/clock-text.ts'

export interface LiveLineWords {
  readonly text: string
  /** `now`: a button that tries again at once. `reload`: one that loads the page anew. */
  readonly offer?: 'now' | 'reload'
}

/**
 * What the line at the top says, or undefined when there is nothing to say.
 * @param online what the browser believes about its network
 */
export function liveLineWords(
  realtime: RealtimeSnapshot,
  online: boolean,
  now: number,
): LiveLineWords | undefined {
  const waiting =
    realtime.pendingCount > 0 ? ` ${plural(realtime.pendingCount, 'message')} waiting to be sent.` : ''
  switch (realtime.state) {
    case 'idle':
    case 'connected':
    case 'closed':
      return undefined
    case 'connecting':
      return { text: `Reconnecting…${waiting}` }
    case 'draining':
      return { text: `The server is restarting; Atom comes back by itself.${waiting}` }
    case 'failed':
      if (realtime.reason === 'protocol_unsupported') {
        return { text: 'Atom was updated on the server. Reload to go on.', offer: 'reload' }
      }
      if (realtime.reason === 'replaced') {
        return { text: 'This page was replaced by another one with the same session.', offer: 'reload' }
      }
      if (realtime.reason === 'disconnected') {
        return { text: `An operator ended this live connection.${waiting}`, offer: 'reload' }
      }
      return { text: `The live connection has ended.${waiting}`, offer: 'reload' }
    case 'suspended': {
      if (!online) return { text: `Offline.${waiting || ' What you write is kept here and sent later.'}` }
      if (realtime.reason === 'unavailable') {
        return { text: `Degraded: the server cannot reach its database.${waiting}`, offer: 'now' }
      }
      return {
        text: `The server cannot be reached.${waiting}${nextTry(realtime.retryAt, now)}`,
        offer: 'now',
      }
    }
  }
}

/**
 * The same for what is asked by request, on pages that need no socket.
 * @param code why nobody answered
 */
export function awayWords(code: string, retryAt: number, online: boolean, now: number): LiveLineWords {
  if (!online) return { text: 'Offline. What is shown here may be old.' }
  const what = {
    unavailable: 'Degraded: the server cannot reach its database.',
    timeout: 'The server does not answer.',
    bad_answer: 'What answers is not Atom’s server. Is a proxy in the way?',
  }[code]
  return { text: `${what ?? 'The server cannot be reached.'}${nextTry(retryAt, now)}`, offer: 'now' }
}

function nextTry(at: number | undefined, now: number): string {
  const seconds = at === undefined ? 0 : Math.ceil((at - now) / 1000)
  return seconds > 0 ? ` Next try in ${seconds} s.` : ''
}
