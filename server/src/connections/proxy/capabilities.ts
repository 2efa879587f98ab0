import type { Capability, CreatedCapability } from '@atom/contract/connections.ts'
import { type AccountPrincipal, type AgentPrincipal, personOf } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { fingerprint, newId, randomToken } from '#foundation/ids.ts'
import { CacheCounts } from '#foundation/telemetry/cache-counts.ts'
import type { ProviderApi } from '#providers/provider.ts'
import type { ConnectionStore } from '../connection-store.ts'
import { idIn } from '../list-cursor.ts'
import type { CapabilityRow, CapabilityStore } from './capability-store.ts'
import { isCovered, pathPattern } from './path-pattern.ts'

interface CapabilityWish {
  readonly methods: readonly string[]
  readonly paths: readonly string[]
  readonly ratePerMinute?: number | undefined
  /** Seconds. */
  readonly expiresIn: number
}

/** Whoever bears a capability: acts for the person who lent it, on one connection, within its limits. */
export interface Bearer {
  readonly principal: AgentPrincipal
  readonly connectionId: string
  /** Takes one call out of its rate. @throws AtomError `rate_limited` */
  spend(): Promise<void>
  permits(method: string, api: ProviderApi, target: URL): boolean
}

/** Three parts with dots between them, because Octokit writes `Bearer` only before what looks like a JWT. */
const prefix = 'atom.capability.'

/** Tokens that have opened something, kept to tell agents from strangers under overload. */
const mostSeen = 10_000

/**
 * Capabilities: a connection lent out, for a time, for some methods and paths, at some rate. The token is random and only its
 * hash is stored; unlike a signed one it ends the moment its row does. It opens the proxy of its connection and no other door.
 */
export class Capabilities {
  readonly #store: CapabilityStore
  readonly #connections: Pick<ConnectionStore, 'live'>
  readonly #clock: Clock
  /** Of each by its hash whose it is; the one used last stands last. */
  readonly #seen = new Map<string, string>()
  readonly cache = new CacheCounts(() => this.#seen.size)

  constructor(dependencies: {
    capabilityStore: CapabilityStore
    store: Pick<ConnectionStore, 'live'>
    clock: Clock
  }) {
    this.#store = dependencies.capabilityStore
    this.#connections = dependencies.store
    this.#clock = dependencies.clock
  }

  /** @throws AtomError `not_found` unless the person owns the connection · `validation_failed` */
  async create(
    principal: AccountPrincipal,
    connectionId: string,
    wish: CapabilityWish,
  ): Promise<CreatedCapability> {
    await this.#requireOwn(principal, connectionId)
    for (const [at, path] of wish.paths.entries()) requirePattern(path, at)
    const token = `${prefix}${randomToken()}`
    const createdAt = this.#clock.now()
    const row = {
      id: newId(),
      workspaceId: principal.workspaceId,
      connectionId,
      createdBy: principal.id,
      methods: [...new Set(wish.methods)],
      paths: [...new Set(wish.paths)],
      ratePerMinute: wish.ratePerMinute ?? null,
      createdAt,
      expiresAt: new Date(createdAt.getTime() + wish.expiresIn * 1000),
    }
    if (!(await this.#store.add({ ...row, tokenHash: fingerprint(token) }))) throw new AtomError('not_found')
    return { id: row.id, token, expiresAt: row.expiresAt.toISOString() }
  }

  /** Newest first, those that ended within the last day among them. @throws AtomError `not_found` */
  async list(
    principal: AccountPrincipal,
    connectionId: string,
    page: { cursor?: string | undefined; limit?: number | undefined },
  ): Promise<{ items: Capability[]; next: string | null }> {
    await this.#requireOwn(principal, connectionId)
    const limit = page.limit ?? 50
    const rows = await this.#store.list(connectionId, {
      before: page.cursor === undefined ? undefined : idIn(page.cursor),
      limit: limit + 1,
    })
    const items = rows.slice(0, limit).map(viewOf)
    return { items, next: rows.length > limit ? (items.at(-1)?.id ?? null) : null }
  }

  /** Ends it at once. @throws AtomError `not_found` */
  async remove(principal: AccountPrincipal, connectionId: string, id: string): Promise<void> {
    await this.#requireOwn(principal, connectionId)
    if (!(await this.#store.remove(connectionId, id))) throw new AtomError('not_found')
  }

  /** Undefined for what is no capability's token. @throws AtomError `unauthenticated` | `token_expired` */
  async bearer(token: string): Promise<Bearer | undefined> {
    if (!token.startsWith(prefix)) return undefined
    const now = this.#clock.now()
    const hash = fingerprint(token)
    const row = await this.#store.withToken(hash, now)
    this.#seen.delete(hash)
    if (row === undefined) throw new AtomError('unauthenticated')
    if (row.expiresAt <= now) {
      throw new AtomError('token_expired', 'The capability has expired. Ask whoever lent it for another.')
    }
    const [oldest] = this.#seen.keys()
    if (this.#seen.size >= mostSeen && oldest !== undefined) this.#seen.delete(oldest)
    this.#seen.set(hash, row.workspaceId)
    const permits = (method: string, api: ProviderApi, target: URL) =>
      row.methods.includes(method === 'HEAD' ? 'GET' : method) && isCovered(row.paths, api, target)
    return {
      principal: {
        kind: 'agent',
        id: row.id,
        workspaceId: row.workspaceId,
        onBehalfOf: row.createdBy,
        name: 'capability',
      },
      connectionId: row.connectionId,
      permits,
      spend: () => this.#spend(row),
    }
  }

  /**
   * What is known of who bears such a token, without asking anybody: undefined for what is no capability's. That it is no person is
   * believed of any, as nobody gains by it; a workspace's part is only for one that has opened something here.
   */
  claim(token: string): { party: string | undefined; priority: 'agents' } | undefined {
    if (!token.startsWith(prefix)) return undefined
    const party = this.#seen.get(fingerprint(token))
    if (party === undefined) this.cache.misses++
    else this.cache.hits++
    return { party, priority: 'agents' }
  }

  async #spend({ id, ratePerMinute }: CapabilityRow): Promise<void> {
    if (ratePerMinute === null) return
    const now = this.#clock.now()
    const freeAt = await this.#store.take(id, ratePerMinute, now)
    if (freeAt === undefined) return
    throw new AtomError('rate_limited', `The capability allows ${ratePerMinute} calls a minute.`, {
      retryAfterMs: Math.max(1, freeAt.getTime() - now.getTime()),
    })
  }

  async #requireOwn(principal: AccountPrincipal, connectionId: string): Promise<void> {
    const connection = await this.#connections.live(principal.workspaceId, connectionId)
    if (connection === undefined || connection.ownerId !== personOf(principal))
      throw new AtomError('not_found')
  }
}

function requirePattern(path: string, at: number): void {
  if (path !== '' && path.startsWith('/') && pathPattern.test(path)) return
  throw new AtomError('validation_failed', undefined, {
    problems: [
      {
        pointer: `/paths/${at}`,
        detail:
          'Must be a path as /repos/*/issues: decoded, * for one segment, ** at its end for everything below.',
      },
    ],
  })
}

function viewOf(row: CapabilityRow): Capability {
  return {
    id: row.id,
    methods: [...row.methods] as Capability['methods'],
    paths: [...row.paths],
    ...(row.ratePerMinute !== null && { ratePerMinute: row.ratePerMinute }),
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  }
}
