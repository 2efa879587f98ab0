import type { LiveHistory } from '@atom/contract/operations.ts'

const keptMs = 15 * 60_000

/** What was held, and what came since; what is older than a quarter of an hour falls out. Another process begins anew. */
export function joined(held: LiveHistory | undefined, more: LiveHistory): LiveHistory {
  if (held === undefined || held.node !== more.node) return more
  const last = held.at.at(-1) ?? 0
  const from = more.at.findIndex((at) => at > last)
  if (from === -1) return held
  const newest = more.at.at(-1) ?? last
  const young = held.at.findIndex((at) => at > newest - keptMs)
  const to = young === -1 ? held.at.length : young
  const column = <T>(one: readonly T[], other: readonly T[]) => [...one.slice(to), ...other.slice(from)]
  return {
    node: more.node,
    at: column(held.at, more.at),
    sockets: column(held.sockets, more.sockets),
    published: column(held.published, more.published),
    acknowledgedP50Ms: column(held.acknowledgedP50Ms, more.acknowledgedP50Ms),
    acknowledgedP99Ms: column(held.acknowledgedP99Ms, more.acknowledgedP99Ms),
    handshakes: column(held.handshakes, more.handshakes),
    returned: column(held.returned, more.returned),
    resumes: column(held.resumes, more.resumes),
    behind: column(held.behind, more.behind),
  }
}
