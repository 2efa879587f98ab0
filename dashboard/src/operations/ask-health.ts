import { AtomClientError } from '@atom/client'
import type { Health } from '@atom/contract/health.ts'
import { operationRoutes } from '@atom/contract/operations.ts'
import { atom } from '../shell/atom.ts'

const patienceMs = 15_000

/**
 * How the process that answers is, with its parts. Anybody may ask, so the client sends no token with the question, but only
 * operators are told of the parts; and that something is down comes as 503, which is an answer here.
 * @throws AtomClientError `offline`, `bad_answer`
 */
export async function askHealth(): Promise<Health> {
  const token = await atom.session.accessToken()
  let answer: Response
  try {
    answer = await fetch(operationRoutes.health.path, {
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
      cache: 'no-store',
      signal: AbortSignal.timeout(patienceMs),
    })
  } catch (cause) {
    throw new AtomClientError('offline', { cause })
  }
  const told: unknown = await answer.json().catch((cause: unknown) => {
    throw new AtomClientError('bad_answer', { status: answer.status, cause })
  })
  if (isHealth(told)) return told
  throw new AtomClientError('bad_answer', { status: answer.status })
}

function isHealth(told: unknown): told is Health {
  return (
    typeof told === 'object' &&
    told !== null &&
    'status' in told &&
    (told.status === 'up' || told.status === 'degraded' || told.status === 'down')
  )
}
