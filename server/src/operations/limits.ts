import {
  type CallerRule,
  type LimitedCallers,
  type LimitPolicy,
  type LimitState,
  type LoadState,
  limitPolicies,
  limitPolicyNames,
} from '@atom/contract/limits.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Notes } from '#foundation/database/notes.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import { allowanceOf } from '#foundation/rate-limit/rate-limit.ts'
import { isNetwork, isWithin } from '#http/callers.ts'
import type { Edge } from '#http/edge.ts'
import { type CallerRuleRow, type LimitChangeRow, LimitStore } from './limit-store.ts'

const topic = 'limits'
const usualPage = 50
const usualCallers = 20
/** Every new address is held against every rule. */
const mostRules = 1_000

export interface NewCallerRule {
  readonly verdict: 'allow' | 'block'
  readonly network?: string | undefined
  readonly accountId?: string | undefined
  readonly reason: string
  readonly forSeconds: number
}

/**
 * What operators have said about limits, in force on every node: read from the database at the start and whenever a node says that
 * something has changed.
 */
export class Limits implements AsyncDisposable {
  readonly #store: LimitStore
  readonly #edge: Edge
  readonly #notes: Notes
  readonly #clock: Clock
  readonly #log: Log
  readonly #accountExists: (workspaceId: string, id: string) => Promise<boolean>
  readonly #changed: () => void
  readonly #hearing: Disposable
  #changes: ReadonlyMap<LimitPolicy, LimitChangeRow> = new Map()
  #reading: Promise<void> | undefined
  #readAgain = false

  private constructor(options: LimitsOptions) {
    this.#store = new LimitStore(options.database)
    this.#edge = options.edge
    this.#notes = options.notes
    this.#clock = options.clock
    this.#log = options.log
    this.#accountExists = options.accountExists
    this.#changed = options.changed ?? (() => undefined)
    const heard = () => void this.#readSafely()
    this.#hearing = options.notes.hear(topic, heard, heard)
  }

  /** Resolves once what is in the database is in force. */
  static async open(options: LimitsOptions): Promise<Limits> {
    const limits = new Limits(options)
    await limits.#read()
    return limits
  }

  /** Every limit, as it is now. */
  states(): LimitState[] {
    return limitPolicyNames.map((policy) => this.#stateOf(policy))
  }

  load(): LoadState {
    const { utilisation, admitting, waitMs, shed } = this.#edge.shedding
    const rounded = (part: number) => Math.round(part * 1_000) / 1_000
    return { utilisation: rounded(utilisation), admitting: rounded(admitting), waitMs, shed: { ...shed } }
  }

  callers(count = usualCallers): Omit<LimitedCallers, 'node'> {
    const { limits } = this.#edge
    const busiest = limitPolicyNames
      .flatMap((policy) =>
        limits
          .of(policy)
          .busiest(count)
          .map((standing) => ({ policy, ...standing })),
      )
      .sort((one, other) => other.used - one.used)
      .slice(0, count)
    const refusals = limits.refusals.recent(count).map(({ policy, lastAt, ...refusal }) => ({
      ...refusal,
      policy: policy as LimitPolicy,
      lastAt: new Date(lastAt).toISOString(),
    }))
    return { busiest, refusals }
  }

  async change(
    principal: AccountPrincipal,
    policy: LimitPolicy,
    { burst, perSecond }: { burst: number; perSecond: number },
  ): Promise<LimitState> {
    const changedAt = this.#clock.now()
    await this.#store.change({ policy, burst, perSecond, changedBy: principal.id, changedAt })
    await this.#tell()
    this.#log.info({ accountId: principal.id, policy, burst, perSecond }, 'a limit was changed')
    return this.#stateOf(policy)
  }

  async reset(principal: AccountPrincipal, policy: LimitPolicy): Promise<LimitState> {
    await this.#store.reset(policy)
    await this.#tell()
    this.#log.info({ accountId: principal.id, policy }, 'a limit was put back to what it came as')
    return this.#stateOf(policy)
  }

  async rules(query: { cursor?: string | undefined; limit?: number | undefined }): Promise<{
    items: CallerRule[]
    next: string | null
  }> {
    const { cursor, limit = usualPage } = query
    const all = await this.#store.rules(this.#clock.now())
    const later = cursor === undefined ? all : all.filter(({ id }) => id < cursor)
    const items = later.slice(0, limit).map(ruleOf)
    return { items, next: later.length > limit ? (items.at(-1)?.id ?? null) : null }
  }

  /**
   * @param ip where the operator calls from; nobody shuts the door behind themselves
   * @throws AtomError `validation_failed` | `not_found` for an account of another workspace
   */
  async addRule(principal: AccountPrincipal, rule: NewCallerRule, ip: string): Promise<CallerRule> {
    const { verdict, network, accountId } = rule
    if ((network === undefined) === (accountId === undefined))
      throw invalid('/network', 'Give a network or an account, one of them.')
    if (network !== undefined && !isNetwork(network))
      throw invalid('/network', 'Is no address, and no network such as 192.0.2.0/24.')
    if (verdict === 'block' && network !== undefined && isWithin(ip, network))
      throw invalid('/network', 'You are calling from there yourself.')
    if (verdict === 'block' && accountId === principal.id) throw invalid('/accountId', 'That is you.')
    if (accountId !== undefined && !(await this.#accountExists(principal.workspaceId, accountId)))
      throw new AtomError('not_found')
    const createdAt = this.#clock.now()
    if ((await this.#store.rules(createdAt)).length >= mostRules)
      throw invalid('', `There are ${mostRules} rules already. End some first.`)
    const row: CallerRuleRow = {
      id: newId(),
      verdict,
      network: network ?? null,
      accountId: accountId?.toLowerCase() ?? null,
      reason: rule.reason,
      createdBy: principal.id,
      createdAt,
      expiresAt: new Date(createdAt.getTime() + rule.forSeconds * 1_000),
    }
    await this.#store.addRule(row)
    await this.#tell()
    this.#log.info({ operatorId: principal.id, ...named(row) }, 'a rule about callers was made')
    return ruleOf(row)
  }

  /** @throws AtomError `not_found` */
  async removeRule(principal: AccountPrincipal, id: string): Promise<void> {
    const removed = await this.#store.removeRule(id)
    if (removed === undefined) throw new AtomError('not_found')
    await this.#tell()
    this.#log.info({ operatorId: principal.id, ...named(removed) }, 'a rule about callers was ended')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#hearing[Symbol.dispose]()
    await this.#reading
  }

  #stateOf(policy: LimitPolicy): LimitState {
    const { title, counts, burst, perSecond } = limitPolicies[policy]
    const limit = this.#edge.limits.of(policy)
    const change = this.#changes.get(policy)
    return {
      policy,
      title,
      counts,
      burst: change?.burst ?? burst,
      perSecond: change?.perSecond ?? perSecond,
      usual: { burst, perSecond },
      changed: change === undefined ? null : { at: change.changedAt.toISOString(), by: change.changedBy },
      admitted: limit.admitted,
      refused: limit.refused,
    }
  }

  async #tell(): Promise<void> {
    await this.#read()
    this.#notes.tell(topic, {})
  }

  async #readSafely(): Promise<void> {
    try {
      await this.#read()
    } catch (error) {
      this.#log.warn({ err: error }, 'changed limits could not be read; those before them hold on')
    }
  }

  /** One at a time; who comes meanwhile gets one that began after they came. */
  async #read(): Promise<void> {
    if (this.#reading !== undefined) {
      this.#readAgain = true
      await this.#reading
      return
    }
    this.#reading = this.#readAll()
    try {
      await this.#reading
    } finally {
      this.#reading = undefined
    }
  }

  async #readAll(): Promise<void> {
    do {
      this.#readAgain = false
      const changes = await this.#store.changes()
      const rules = await this.#store.rules(this.#clock.now())
      this.#changes = new Map(changes.map((change) => [change.policy, change]))
      for (const policy of limitPolicyNames) {
        const { burst, perSecond } = this.#changes.get(policy) ?? limitPolicies[policy]
        this.#edge.limits.of(policy).change(allowanceOf(burst, perSecond))
      }
      this.#edge.callers.rule(rules)
    } while (this.#readAgain)
    this.#changed()
  }
}

export interface LimitsOptions {
  readonly database: Database
  readonly edge: Edge
  readonly notes: Notes
  readonly clock: Clock
  readonly log: Log
  readonly accountExists: (workspaceId: string, id: string) => Promise<boolean>
  /** Something else is in force now. */
  readonly changed?: () => void
}

function invalid(pointer: string, detail: string): AtomError {
  return new AtomError('validation_failed', undefined, { problems: [{ pointer, detail }] })
}

function named({ id, verdict, network, accountId, reason, expiresAt }: CallerRuleRow) {
  return {
    ruleId: id,
    verdict,
    reason,
    expiresAt: expiresAt.toISOString(),
    ...(network !== null && { network }),
    ...(accountId !== null && { accountId }),
  }
}

function ruleOf(row: CallerRuleRow): CallerRule {
  return { ...row, createdAt: row.createdAt.toISOString(), expiresAt: row.expiresAt.toISOString() }
}
