import { logRoutes } from '@atom/contract/log.ts'
import { LiveNode, operationRoutes as routes, type SilentNode } from '@atom/contract/operations.ts'
import type { Answer, Query } from '@atom/contract/route.ts'
import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Notes } from '#foundation/database/notes.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Live } from './live.ts'
import type { LogDesk } from './log-desk.ts'
import { NodeCalls } from './node-calls.ts'

export interface NodesOptions {
  readonly live: Live
  readonly notes: Notes
  /** Ids of all processes that count as alive, this one among them. */
  readonly alive: () => Promise<readonly string[]>
  readonly draining: () => boolean
  /** What this process wrote into its log last. */
  readonly lines: LogDesk['lines']
  readonly version: string
  readonly clock: Clock
  readonly log: Log
  /** How long another process may take to answer. */
  readonly answerMs?: number
}

type Filter = Omit<Query<typeof routes.sockets>, 'node'>
type Lines = Omit<Query<typeof logRoutes.log>, 'node'>
type Span = Omit<Query<typeof routes.liveHistory>, 'node'>

/** What one process asks another, for an operator whom the asking one has let in. */
type Question =
  | { readonly call: 'node' }
  | { readonly call: 'sockets'; readonly operator: AccountPrincipal; readonly filter: Filter }
  | { readonly call: 'rooms'; readonly operator: AccountPrincipal; readonly limit: number | undefined }
  | { readonly call: 'history'; readonly span: Span }
  | { readonly call: 'log'; readonly lines: Lines }
  | {
      readonly call: 'disconnect'
      readonly operator: AccountPrincipal
      readonly socketId: string
      readonly comeBack: boolean
    }
  | { readonly call: 'drain'; readonly operator: AccountPrincipal; readonly confirm: string }

/** So long one round of questions is good for whoever else looks. */
const freshMs = 1_000

/** The live side of every process of the installation, whichever of them an operator has reached. */
export class Nodes implements Disposable {
  readonly #live: Live
  readonly #self: string
  readonly #options: NodesOptions
  readonly #since: Date
  readonly #calls: NodeCalls
  readonly #answerMs: number
  /** What others were called when they answered last, by id. */
  readonly #heard = new Map<
    string,
    { readonly node: string; readonly at: Date; readonly draining: boolean }
  >()
  #round: { readonly at: number; readonly told: Promise<Answer<typeof routes.nodes>> } | undefined

  constructor(options: NodesOptions) {
    this.#options = options
    this.#live = options.live
    this.#self = options.notes.self
    this.#since = options.clock.now()
    this.#answerMs = options.answerMs ?? 2_000
    this.#calls = new NodeCalls({
      notes: options.notes,
      log: options.log,
      answer: (question) => this.#answer(question as Question),
    })
  }

  /** Every process that counts as alive: this one first, then by name. */
  async list(): Promise<Answer<typeof routes.nodes>> {
    const now = performance.now()
    if (this.#round === undefined || now - this.#round.at > freshMs) {
      const told = this.#ask()
      this.#round = { at: now, told }
      // Whoever asks next asks anew.
      told.catch(() => {
        if (this.#round?.told === told) this.#round = undefined
      })
    }
    return await this.#round.told
  }

  /** Throws `validation_failed` for a cursor that is none, `not_found` for a process that is none. */
  async sockets(
    operator: AccountPrincipal,
    { node, ...filter }: Query<typeof routes.sockets>,
  ): Promise<Answer<typeof routes.sockets>> {
    return await this.#at(node, { call: 'sockets', operator, filter }, routes.sockets.answers[200])
  }

  async rooms(
    operator: AccountPrincipal,
    { node, limit }: Query<typeof routes.liveRooms>,
  ): Promise<Answer<typeof routes.liveRooms>> {
    return await this.#at(node, { call: 'rooms', operator, limit }, routes.liveRooms.answers[200])
  }

  async history({
    node,
    ...span
  }: Query<typeof routes.liveHistory>): Promise<Answer<typeof routes.liveHistory>> {
    return await this.#at(node, { call: 'history', span }, routes.liveHistory.answers[200])
  }

  /** What one process wrote last. Throws as `sockets`. */
  async log({ node, ...lines }: Query<typeof logRoutes.log>): Promise<Answer<typeof logRoutes.log>> {
    return await this.#at(node, { call: 'log', lines }, logRoutes.log.answers[200])
  }

  async disconnect(
    operator: AccountPrincipal,
    socketId: string,
    { node, comeBack }: { node?: string | undefined; comeBack: boolean },
  ): Promise<Answer<typeof routes.disconnectSocket>> {
    return await this.#at(
      node,
      { call: 'disconnect', operator, socketId, comeBack },
      routes.disconnectSocket.answers[200],
    )
  }

  async drain(
    operator: AccountPrincipal,
    { node, confirm }: { node?: string | undefined; confirm: string },
  ): Promise<Answer<typeof routes.drain>> {
    return await this.#at(node, { call: 'drain', operator, confirm }, routes.drain.answers[202])
  }

  [Symbol.dispose](): void {
    this.#calls[Symbol.dispose]()
  }

  async #ask(): Promise<Answer<typeof routes.nodes>> {
    const alive = await this.#options.alive()
    const silent: SilentNode[] = []
    const others = await Promise.all(
      alive
        .filter((id) => id !== this.#self)
        .map(async (id): Promise<readonly LiveNode[]> => {
          try {
            const told = checked(await this.#calls.ask(id, { call: 'node' }, this.#answerMs), NodeItself)
            this.#heard.set(id, {
              node: told.summary.node,
              at: this.#options.clock.now(),
              draining: told.draining,
            })
            return [{ ...told, answers: false }]
          } catch (error) {
            this.#options.log.debug({ err: error, nodeId: id }, 'a process did not say how it is')
            const { node, at, draining } = this.#heard.get(id) ?? {}
            // What was draining has ended: it counts as alive a little longer, for the sake of its people.
            if (draining !== true) silent.push({ id, node: node ?? null, heardAt: at?.toISOString() ?? null })
            return []
          }
        }),
    )
    for (const id of this.#heard.keys()) if (!alive.includes(id)) this.#heard.delete(id)
    const items = others.flat().sort((one, other) => compare(one.summary.node, other.summary.node))
    return { items: [{ ...this.#itself(), answers: true }, ...items], silent }
  }

  #itself(): Omit<LiveNode, 'answers'> {
    const { version, draining } = this.#options
    return {
      id: this.#self,
      version,
      since: this.#since.toISOString(),
      draining: draining(),
      summary: this.#live.summary(),
    }
  }

  /** Asks the process that is meant. */
  async #at<S extends TSchema>(node: string | undefined, question: Question, answer: S): Promise<Static<S>> {
    const id = node === undefined ? this.#self : await this.#idOf(node)
    return checked(
      id === this.#self ? await this.#answer(question) : await this.#calls.ask(id, question, this.#answerMs),
      answer,
    )
  }

  async #idOf(node: string): Promise<string> {
    if (node === this.#self || node === this.#live.node) return this.#self
    const known = this.#known(node)
    if (known !== undefined) return known
    await this.list()
    const found = this.#known(node)
    if (found === undefined) throw new AtomError('not_found', 'No such process answers. It may have ended.')
    return found
  }

  #known(node: string): string | undefined {
    if (this.#heard.has(node)) return node
    for (const [id, heard] of this.#heard) if (heard.node === node) return id
    return undefined
  }

  async #answer(question: Question): Promise<unknown> {
    const live = this.#live
    switch (question.call) {
      case 'node':
        return this.#itself()
      case 'sockets':
        return { summary: live.summary(), ...live.list(question.operator, question.filter) }
      case 'rooms':
        return { node: live.node, items: await live.rooms(question.operator, question.limit) }
      case 'history':
        return live.history(question.span)
      case 'log': {
        const { q, ...wanted } = question.lines
        return { node: live.node, ...this.#options.lines({ ...wanted, text: q }) }
      }
      case 'disconnect':
        live.disconnect(question.operator, question.socketId, question.comeBack)
        return { closed: true }
      case 'drain':
        return live.drain(question.operator, question.confirm)
      default:
        throw new AtomError('unavailable', 'The process that was asked is of another version.')
    }
  }
}

const NodeItself = Type.Omit(LiveNode, ['answers'])

/** Another process may be of another version. */
function checked<S extends TSchema>(answer: unknown, schema: S): Static<S> {
  if (!Value.Check(schema, answer)) {
    throw new AtomError('unavailable', 'The process that was asked is of another version.')
  }
  return answer
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
