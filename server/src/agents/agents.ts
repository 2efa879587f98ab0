import type { Agent } from '@atom/contract/agents.ts'
import type { Principal } from '#access/principal.ts'
import type { Database, Queryable, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import * as store from './agent-store.ts'

/** Who answers in the rooms of a workspace. */
export class Agents {
  readonly #database: Database
  readonly #model: string

  /** `model`: the name of what answers, as `Agent.model` shows it. */
  constructor(options: { readonly database: Database; readonly model: string }) {
    this.#database = options.database
    this.#model = options.model
  }

  /** The agent that every workspace begins with. */
  async createDefault(tx: Transaction, workspaceId: string): Promise<{ id: string; name: string }> {
    const agent = { id: newId(), workspaceId, name: 'Atom' }
    await store.insertAgent(tx, agent)
    return { id: agent.id, name: agent.name }
  }

  /** The agent that is in every new room: the oldest of the workspace. */
  async default(db: Queryable, workspaceId: string): Promise<{ id: string; name: string }> {
    const [agent] = await store.agentsOf(db, workspaceId, { after: undefined, limit: 1 })
    if (agent === undefined)
      throw new AtomError('internal', undefined, { cause: `workspace ${workspaceId} has no agent` })
    return { id: agent.id, name: agent.name }
  }

  async find(workspaceId: string, agentId: string): Promise<Agent | undefined> {
    const row = await store.findAgent(this.#database, workspaceId, agentId)
    return row && this.#view(row)
  }

  /** The agents of the caller's workspace, the oldest first. `cursor` is the `next` of the page before. */
  async list(
    principal: Principal,
    {
      cursor,
      limit = 50,
    }: { readonly cursor?: string | undefined; readonly limit?: number | undefined } = {},
  ): Promise<{ items: Agent[]; next: string | null }> {
    if (cursor !== undefined && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(cursor))
      throw new AtomError('validation_failed', 'The cursor is not one of ours; start again without it.')
    const rows = await store.agentsOf(this.#database, principal.workspaceId, {
      after: cursor,
      limit: limit + 1,
    })
    const items = rows.slice(0, limit)
    return {
      items: items.map((row) => this.#view(row)),
      next: rows.length > limit ? (items.at(-1)?.id ?? null) : null,
    }
  }

  #view(row: store.AgentRow): Agent {
    return { id: row.id, name: row.name, model: this.#model }
  }
}
