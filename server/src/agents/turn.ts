import { setTimeout as delay } from 'node:timers/promises'
import type { ApprovalView, ToolOutcome } from '@atom/contract/agents.ts'
import type { Connection } from '@atom/contract/connections.ts'
import type { Choice } from '@atom/contract/rooms.ts'
import { Value } from 'typebox/value'
import type { AgentPrincipal } from '#access/principal.ts'
import type { ConnectionProxy } from '#connections/proxy/connection-proxy.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import type { Failures } from '#foundation/failure-groups.ts'
import { derivedId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import { spanAround } from '#foundation/telemetry/trace.ts'
import type { EventDraft, Timeline } from '#rooms/timeline.ts'
import * as store from './agent-store.ts'
import { type Approvals, bindingOf, canonical } from './approvals.ts'
import type { Draft, Drafts } from './drafts.ts'
import type { Model, ModelPart, OpenQuestion, TranscriptEntry } from './models/model.ts'
import { ProxiedAccount } from './provider-account.ts'
import {
  type Prepared,
  type Presented,
  type ProviderAccount,
  type Tool,
  type ToolArgs,
  ToolRefused,
  ToolUncertain,
} from './tools/tool.ts'
import { deedsOf, historyOf, originOf } from './transcript.ts'
import {
  approvalRequestedDraft,
  endingDrafts,
  startedDraft,
  toolEndedDraft,
  toolStartedDraft,
} from './turn-events.ts'
import { answerOf, stopped } from './turns.ts'

/** Between which two effects a turn is. A crash may fall into any of them; tests make it. */
export type Checkpoint =
  | 'claimed'
  | 'started'
  | 'step-started'
  | 'step-said'
  | 'step-done'
  | 'prepared'
  | 'parked'
  | 'dispatching'
  | 'dispatched'
  | 'answered'
  | 'call-done'
  | 'ending'
  | 'ended'

export interface TurnLimits {
  readonly steps: number
  readonly calls: number
  /** The same tool with the same arguments, before the turn is stopped as going round in circles. */
  readonly sameCall: number
  /** After so many lost claims a turn is given up: something in it ends the process again and again. */
  readonly interruptions: number
  readonly textLength: number
  readonly argsLength: number
  readonly approvalMs: number
  /** How long one call of a tool may take in all. */
  readonly callMs: number
  /** After this a request that left cannot arrive at the provider any more. */
  readonly settleMs: number
  /** How long a provider is asked whether a write happened, before a person has to look. */
  readonly verifyMs: number
  readonly verifyEveryMs: number
  readonly dispatches: number
}

const turnLimits: TurnLimits = {
  steps: 8,
  calls: 16,
  sameCall: 3,
  interruptions: 5,
  textLength: 100_000,
  argsLength: 128 * 1024,
  approvalMs: 24 * 3_600_000,
  callMs: 15_000,
  settleMs: 20_000,
  verifyMs: 90_000,
  verifyEveryMs: 1_000,
  dispatches: 3,
}

export interface TurnDependencies {
  readonly database: Database
  readonly timeline: Timeline
  readonly approvals: Approvals
  readonly drafts: Drafts
  readonly proxy: Pick<ConnectionProxy, 'request'>
  /** Connections of a person, for one provider. */
  readonly connectionsOf: (workspaceId: string, accountId: string, provider: string) => Promise<Connection[]>
  readonly providerName: (provider: string) => string
  readonly tools: readonly Tool[]
  /** Who answers; the next one takes over where one is not available. */
  readonly models: readonly [Model, ...Model[]]
  readonly clock: Clock
  readonly log: Log
  /** Hears of every model that did not answer, also where the next one took over. */
  readonly failures?: Pick<Failures, 'note'>
  readonly limits?: Partial<TurnLimits>
  /** Called between any two effects of a turn. */
  readonly checkpoint?: (name: Checkpoint, turnId: string) => Promise<void>
}

/** Somebody else has the turn now: whatever this run still wanted to write is not written. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

interface Ending {
  readonly status: store.EndedStatus
  /** Said after what the steps said. */
  readonly text?: string
  readonly reason?: string
  readonly choices?: readonly Choice[]
  readonly question?: OpenQuestion
  /** What becomes of approvals that are still open; `withdrawn` where absent. */
  readonly approvals?: 'expired' | 'withdrawn'
}

/** What became of one tool call: it is over, or waits for a person, or ends the turn. */
type Settled = 'over' | 'parked' | Ending

interface Chosen {
  readonly tool: Tool
  readonly connection: Connection
}

/** The parts of the tables that the loop looks at before each step. */
interface Progress {
  readonly steps: readonly store.StepRow[]
  readonly calls: readonly store.CallRow[]
}

const bareAnswer =
  /^(yes|yeah|yep|yup|y|ok|okay|sure|approved?|do it|go ahead|go for it|confirm(ed)?|please do|no|nope|nah|n|den(y|ied)|declined?|reject(ed)?|cancel|stop|don'?t)( please| thanks| thank you)?[\s.!]*$/i

/**
 * One run of an agent, from wherever an earlier run left it. Everything it decides is a row before it matters: a step before
 * its calls, a request before it leaves, an answer before it is told. Run again from any point, it does nothing twice.
 */
export class TurnRun {
  readonly #with: TurnDependencies
  readonly #limits: TurnLimits
  readonly #tools: ReadonlyMap<string, Tool>
  readonly #principal: AgentPrincipal
  readonly #lost: AbortSignal
  readonly #cancelled: AbortSignal
  #turn: store.TurnRow
  #draft: Draft | undefined

  /**
   * @param signals `lost`: the claim does not hold any more · `cancelled`: a person stopped the turn
   */
  constructor(
    turn: store.TurnRow,
    signals: { readonly lost: AbortSignal; readonly cancelled: AbortSignal },
    dependencies: TurnDependencies,
  ) {
    this.#turn = turn
    this.#lost = signals.lost
    this.#cancelled = signals.cancelled
    this.#with = dependencies
    this.#limits = { ...turnLimits, ...dependencies.limits }
    this.#tools = new Map(dependencies.tools.map((tool) => [tool.name, tool]))
    this.#principal = {
      kind: 'agent',
      id: turn.agentId,
      workspaceId: turn.workspaceId,
      onBehalfOf: turn.onBehalfOf,
      name: turn.agentName,
    }
  }

  /** The claim as it stands: a turn raises its own attempt when it begins its text anew. */
  get claim(): { readonly id: string; readonly attempt: number } {
    return this.#turn
  }

  /** Resolves when the turn has ended or waits. @throws LeaseLost */
  async run(): Promise<void> {
    await this.#reach('claimed')
    if (this.#turn.interruptions > this.#limits.interruptions) {
      await this.#end({
        status: 'interrupted',
        text: 'I was interrupted while I worked on this and could not finish it. Please ask me again.',
        reason: 'It was interrupted too often.',
      })
      return
    }
    await this.#start()
    const history = await this.#history()
    const ending = await this.#drafted(history)
    if (ending !== 'parked') await this.#end(ending)
  }

  /** The loop, its text told as it grows. */
  async #drafted(history: readonly TranscriptEntry[]): Promise<Ending | 'parked'> {
    const before = answerOf((await this.#progress()).steps)
    using draft = this.#with.drafts.begin(this.#identity(), this.#turn.attempt, before)
    this.#draft = draft
    const ending = await this.#loop(history)
    if (ending !== 'parked' && ending.text !== undefined) this.#tell(draft.text, ending.text, true)
    return ending
  }

  async #loop(history: readonly TranscriptEntry[]): Promise<Ending | 'parked'> {
    for (let n = 1; ; n++) {
      if (this.#cancelled.aborted) return cancelledEnding
      const progress = await this.#progress()
      const known = progress.steps.find((step) => step.n === n)
      if (known === undefined || known.state === 'started') {
        if (n > this.#limits.steps) return tooMuch
        const spoken = await this.#step(n, history, progress)
        if (spoken === 'cancelled') return cancelledEnding
      }
      const { steps, calls } = await this.#progress()
      const step = steps.find((each) => each.n === n)
      if (step === undefined) throw new Error('a step that was just written is missing')
      if (step.state === 'failed') continue
      const own = calls.filter((call) => call.stepN === n)
      for (const call of own) {
        if (this.#cancelled.aborted && call.state !== 'dispatched') return cancelledEnding
        const settled = await this.#settle(call, calls, [...history, ...deedsOf(steps, calls)])
        if (settled !== 'over') return settled
      }
      if (own.length === 0) return endingOf(step)
    }
  }

  // The beginning

  async #start(): Promise<void> {
    if (this.#turn.startedSeq !== null) return
    const seq = await this.#write(async (tx) => {
      const [appended] = await this.#with.timeline.append(tx, [startedDraft(this.#turn)])
      if (appended === undefined) throw new Error('an appended event is missing')
      await store.setStarted(tx, this.#turn.id, appended.seq)
      return appended.seq
    })
    this.#turn = { ...this.#turn, startedSeq: seq }
    await this.#reach('started')
  }

  async #history(): Promise<readonly TranscriptEntry[]> {
    const { roomId, startedSeq, triggerSeq } = this.#turn
    const page = await this.#with.timeline.before(roomId, startedSeq ?? triggerSeq + 1, 100)
    // Under a flood of messages the one that asked may lie before the page.
    const asked = page.events.some((event) => event.seq === triggerSeq)
      ? []
      : (await this.#with.timeline.since(roomId, triggerSeq - 1, 1)).events.filter(
          (event) => event.seq === triggerSeq,
        )
    const open = await store.openQuestion(this.#with.database, this.#turn)
    return historyOf(this.#turn, [...asked, ...page.events], open)
  }

  // Steps of a model

  async #step(
    n: number,
    history: readonly TranscriptEntry[],
    progress: Progress,
  ): Promise<'said' | 'cancelled'> {
    const failures = progress.steps.filter((step) => step.state === 'failed').length
    const { models } = this.#with
    const model = models[Math.min(failures, models.length - 1)] ?? models[0]
    await this.#write((tx) => store.startStep(tx, this.#turn, { n, model: model.name }))
    await this.#reach('step-started')
    const parts: ModelPart[] = []
    const prefix = answerOf(progress.steps)
    const note = fallbackNote(progress.steps, n)
    if (note !== '') {
      parts.push({ type: 'text', text: note })
      this.#tell(prefix, note, true)
    }
    try {
      const reply = n === 1 ? await this.#replyWhileAsked(history) : undefined
      if (reply !== undefined) {
        parts.push({ type: 'text', text: reply })
        this.#tell(prefix, reply, note === '')
      } else {
        const transcript = [...history, ...deedsOf(progress.steps, progress.calls)]
        await spanAround(
          () => this.#listen(model, transcript, prefix, parts),
          () => ({
            name: `chat ${model.name}`,
            kind: 'client',
            attributes: { 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': model.name },
          }),
        )
      }
    } catch (thrown) {
      if (this.#lost.aborted) throw new LeaseLost()
      if (this.#cancelled.aborted) {
        // Who stops an answer has read it so far; it does not vanish before their eyes.
        const told = parts.filter((part) => part.type === 'text')
        await this.#stepDone(n, told)
        return 'cancelled'
      }
      await this.#stepFailed(n, model, failures, thrown, prefix)
      return 'said'
    }
    await this.#reach('step-said')
    await this.#stepDone(n, parts)
    await this.#reach('step-done')
    return 'said'
  }

  async #listen(
    model: Model,
    transcript: readonly TranscriptEntry[],
    prefix: string,
    parts: ModelPart[],
  ): Promise<void> {
    const signal = AbortSignal.any([this.#lost, this.#cancelled])
    let length = 0
    const begun = parts.length > 0
    for await (const part of model.step({ transcript, tools: this.#with.tools, signal })) {
      signal.throwIfAborted()
      if (part.type === 'text') {
        if (length >= this.#limits.textLength || part.text === '') continue
        // PostgreSQL keeps no NUL, and nobody reads one.
        const text = part.text.replaceAll('\0', '').slice(0, this.#limits.textLength - length)
        this.#tell(prefix, text, length === 0 && !begun)
        length += text.length
        parts.push({ type: 'text', text })
      } else {
        parts.push(part)
      }
    }
    signal.throwIfAborted()
  }

  /** The next model takes the step; what was streamed of it is void, which a higher attempt tells everybody. */
  async #stepFailed(
    n: number,
    model: Model,
    failures: number,
    thrown: unknown,
    prefix: string,
  ): Promise<void> {
    const unavailable = thrown instanceof AtomError && thrown.code === 'model_unavailable'
    this.#with.log.warn({ err: thrown, turnId: this.#turn.id, model: model.name }, 'a model did not answer')
    this.#with.failures?.note({ door: 'job', place: 'model', error: asAtomError(thrown) })
    if (!unavailable || failures + 1 >= this.#with.models.length) {
      throw new TurnFailed('I could not work out an answer just now. Please try again in a moment.', {
        cause: thrown,
      })
    }
    const attempt = await this.#write(async (tx) => {
      await store.endStep(tx, this.#turn.id, n, {
        state: 'failed',
        said: { text: '' },
        error: thrown instanceof Error ? thrown.message.slice(0, 500) : 'unknown',
      })
      return await store.raiseAttempt(tx, this.#turn.id)
    })
    this.#turn = { ...this.#turn, attempt }
    this.#draft?.restart(attempt, prefix)
  }

  async #stepDone(n: number, parts: readonly ModelPart[]): Promise<void> {
    const said = parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('')
    const text = said.trim() === '' ? '' : said
    const choices = parts.find((part) => part.type === 'choices')?.choices
    const question = parts.find((part) => part.type === 'question')?.question
    const usage = parts.find((part) => part.type === 'usage')
    const calls = parts.filter((part) => part.type === 'toolCall')
    await this.#write(async (tx) => {
      await store.endStep(tx, this.#turn.id, n, {
        state: 'done',
        said: { text, ...(choices && { choices }), ...(question && { question }) },
        ...(usage && { inputTokens: usage.inputTokens, outputTokens: usage.outputTokens }),
      })
      for (const [place, call] of calls.entries()) {
        const tool = this.#tools.get(call.tool)
        const problem = this.#problemWith(tool, call.args)
        await store.insertCall(tx, this.#turn, {
          id: derivedId('call', this.#turn.id, String(n), String(place)),
          stepN: n,
          place,
          modelCallId: call.callId.slice(0, 200),
          tool: call.tool.slice(0, 200),
          args: problem === undefined ? call.args : {},
          invalid: problem ?? null,
          effect: tool?.effect ?? 'read',
        })
      }
    })
  }

  #problemWith(tool: Tool | undefined, args: ToolArgs): string | undefined {
    if (tool === undefined) return 'There is no such tool.'
    if (JSON.stringify(args).length > this.#limits.argsLength) return 'The arguments are too long.'
    if (Value.Check(tool.input, args)) return undefined
    const [first] = Value.Errors(tool.input, args)
    return `The arguments do not fit: ${first?.instancePath ?? ''} ${first?.message ?? ''}`.trim()
  }

  /** "Yes" is no approval: what exactly would be agreed to stands on the card, and only there can it be agreed to. */
  async #replyWhileAsked(history: readonly TranscriptEntry[]): Promise<string | undefined> {
    const asked = history.at(-1)
    if (asked?.role !== 'person' || !bareAnswer.test(asked.text.trim())) return undefined
    const open = await store.waitingApproval(this.#with.database, this.#turn)
    if (open === undefined) return undefined
    return `Please decide on the card above with its buttons: “${open.view.title}” is still waiting for you. I go ahead only when you approve it there, so that nothing happens by a misunderstanding.`
  }

  // Tool calls

  async #settle(
    call: store.CallRow,
    calls: readonly store.CallRow[],
    transcript: readonly TranscriptEntry[],
  ): Promise<Settled> {
    switch (call.state) {
      case 'proposed':
        return await this.#propose(call, calls, transcript)
      case 'waiting_approval':
        return await this.#lookAtApproval(call)
      case 'ready':
        return await this.#dispatch(call)
      case 'dispatched':
        return await this.#recover(call)
      default:
        return 'over'
    }
  }

  async #propose(
    call: store.CallRow,
    calls: readonly store.CallRow[],
    transcript: readonly TranscriptEntry[],
  ): Promise<Settled> {
    const tool = this.#tools.get(call.tool)
    if (call.invalid !== null || tool === undefined) {
      const summary = call.invalid ?? 'There is no such tool.'
      await this.#write((tx) =>
        store.endCall(tx, call.id, {
          state: 'failed',
          outcome: { status: 'failed', summary, durationMs: 0 },
        }),
      )
      return 'over'
    }
    if (calls.length > this.#limits.calls || this.#goesInCircles(call, calls)) return tooMuch
    const chosen = await this.#choose(tool)
    if (!('connection' in chosen)) return chosen
    const began = performance.now()
    let prepared: Prepared
    try {
      prepared = await tool.prepare(this.#account(chosen.connection), call.args)
    } catch (thrown) {
      return await this.#callFailed(call, chosen, call.args, thrown, began)
    }
    if ('ask' in prepared) return asking(tool, call.args, prepared.ask)
    const { args, context = [] } = prepared
    if (!Value.Check(tool.final, args)) {
      const [first] = Value.Errors(tool.final, args)
      const refused = new ToolRefused(`${tool.title}: ${first?.instancePath ?? ''} ${first?.message ?? ''}`)
      return await this.#callFailed(call, chosen, call.args, refused, began)
    }
    const { connection } = chosen
    if (tool.effect === 'read') {
      await this.#write((tx) =>
        store.prepareCall(tx, call.id, { state: 'ready', args, connectionId: connection.id }),
      )
      await this.#reach('prepared')
      return await this.#dispatch({ ...call, state: 'ready', args, connectionId: connection.id })
    }
    const view = this.#approvalView(call, chosen, args, context, transcript)
    await this.#write(async (tx) => {
      await store.prepareCall(tx, call.id, { state: 'waiting_approval', args, connectionId: connection.id })
      await store.insertApproval(tx, {
        id: view.id,
        callId: call.id,
        turnId: this.#turn.id,
        workspaceId: this.#turn.workspaceId,
        binding: bindingOf({ turnId: this.#turn.id, tool: tool.name, args, connectionId: connection.id }),
        decider: view.decider,
        view,
        expiresAt: new Date(view.expiresAt),
      })
      await store.parkTurn(tx, this.#turn.id, new Date(view.expiresAt))
      const said = await this.#said(tx)
      await this.#with.timeline.append(tx, [approvalRequestedDraft(this.#turn, view, said)])
    })
    await this.#reach('parked')
    return 'parked'
  }

  #approvalView(
    call: store.CallRow,
    { tool, connection }: Chosen,
    args: ToolArgs,
    context: readonly { name: string; label: string; value: string; multiline: boolean }[],
    transcript: readonly TranscriptEntry[],
  ): ApprovalView {
    const expiresAt = new Date(this.#with.clock.now().getTime() + this.#limits.approvalMs)
    const fields = tool
      .preview(args)
      .map((field) => ({ ...field, origin: originOf(field.value, transcript) }))
    const shown = context.map((field) => ({ ...field, editable: false, origin: 'outside' as const }))
    return {
      id: derivedId('approval', call.id),
      callId: call.id,
      tool: tool.name,
      title: tool.sentence(args),
      provider: tool.provider,
      connectionId: connection.id,
      account: connection.identity.name,
      decider: connection.ownerId,
      fields: [...fields, ...shown],
      expiresAt: expiresAt.toISOString(),
    }
  }

  async #lookAtApproval(call: store.CallRow): Promise<Settled> {
    const approval = await store.approvalOfCall(this.#with.database, call.id)
    if (approval === undefined) throw new Error('a call waits for an approval that is not there')
    if (approval.decision === null && !approval.expired) {
      await this.#write((tx) => store.parkTurn(tx, this.#turn.id, approval.expiresAt))
      return 'parked'
    }
    const text = `Nobody decided about “${approval.view.title}” in time, so nothing was done.`
    return { status: 'cancelled', text, reason: 'The approval has expired.', approvals: 'expired' }
  }

  async #dispatch(call: store.CallRow): Promise<Settled> {
    const tool = this.#tools.get(call.tool)
    if (tool === undefined || call.connectionId === null) throw new Error('a ready call without its tool')
    const chosen = await this.#choose(tool, call.connectionId)
    if (!('connection' in chosen)) return chosen
    const { connection } = chosen
    if (tool.effect !== 'read') {
      const approval = await store.approvalOfCall(this.#with.database, call.id)
      const binding = bindingOf({
        turnId: this.#turn.id,
        tool: tool.name,
        args: call.args,
        connectionId: connection.id,
      })
      if (approval?.decision !== 'approved' || approval.binding !== binding)
        throw new TurnFailed('What was approved is not what would be done, so nothing was done.')
    }
    await this.#reach('dispatching')
    const began = performance.now()
    const dispatched = await this.#write(async (tx) => {
      const row = await store.dispatchCall(tx, call.id)
      await this.#with.timeline.append(tx, [this.#toolStarted(call, chosen, call.args, await this.#said(tx))])
      return row
    })
    await this.#reach('dispatched')
    // A process that was frozen since the commit must not send: by now somebody else may have the turn.
    if (this.#lost.aborted || performance.now() - began > this.#limits.callMs) throw new LeaseLost()
    try {
      const left = this.#limits.callMs - (performance.now() - began)
      const presented = await tool.call(this.#account(connection, tool.effect, left), call.args, call.id)
      await this.#reach('answered')
      return await this.#callDone(call, presented, began)
    } catch (thrown) {
      if (this.#lost.aborted) throw new LeaseLost()
      if (this.#cancelled.aborted && tool.effect === 'read') return cancelledEnding
      if (tool.effect !== 'read' && mayHaveHappened(thrown))
        return await this.#recover({ ...call, ...dispatched, state: 'dispatched' })
      return await this.#callFailed(call, chosen, call.args, thrown, began)
    }
  }

  /**
   * The request may have left, and how it ended is not known: this process was ended in the middle, or no clear answer came.
   * What may be repeated is repeated; what can be looked up is looked up; the rest is for a person.
   */
  async #recover(call: store.CallRow): Promise<Settled> {
    const tool = this.#tools.get(call.tool)
    if (tool === undefined || call.connectionId === null)
      throw new Error('a dispatched call without its tool')
    const chosen = await this.#choose(tool, call.connectionId)
    if (!('connection' in chosen)) return tool.effect === 'read' ? chosen : await this.#uncertain(call, tool)
    if (tool.effect === 'blind') return await this.#uncertain(call, tool)
    if (tool.effect === 'reconcilable') {
      const found = await this.#lookFor(call, tool, chosen.connection)
      if (found === 'unknown') return await this.#uncertain(call, tool)
      if (found !== 'absent') return await this.#callDone(call, found, performance.now())
    }
    if (call.dispatches >= this.#limits.dispatches) {
      return tool.effect === 'read'
        ? await this.#callFailed(
            call,
            chosen,
            call.args,
            new AtomError('provider_unavailable'),
            performance.now(),
          )
        : await this.#uncertain(call, tool)
    }
    return await this.#dispatch({ ...call, state: 'ready' })
  }

  /** Looks for the traces of a call until they are found, or until they cannot appear any more. */
  async #lookFor(
    call: store.CallRow,
    tool: Tool,
    connection: Connection,
  ): Promise<Presented | 'absent' | 'unknown'> {
    if (tool.verify === undefined) return 'unknown'
    // Clocks differ; a few minutes more cost nothing.
    const since = new Date((call.dispatchedAt ?? this.#turn.createdAt).getTime() - 5 * 60_000)
    const began = performance.now()
    for (;;) {
      // Asked before the look: what is absent in a look that began late enough is absent for good.
      const age = await store.dispatchAge(this.#with.database, call.id)
      try {
        const found = await tool.verify(this.#account(connection), call.args, call.id, since)
        if (found !== undefined) return found
        if (age >= this.#limits.settleMs) return 'absent'
      } catch (thrown) {
        if (this.#lost.aborted) throw new LeaseLost()
        this.#with.log.info({ err: thrown, turnId: this.#turn.id }, 'a write could not be looked up yet')
      }
      if (performance.now() - began > this.#limits.verifyMs) return 'unknown'
      await delay(this.#limits.verifyEveryMs, undefined, { signal: this.#lost }).catch(() => {
        throw new LeaseLost()
      })
    }
  }

  async #uncertain(call: store.CallRow, tool: Tool): Promise<Ending> {
    const title = tool.sentence(call.args)
    const name = this.#with.providerName(tool.provider)
    const outcome: ToolOutcome = {
      status: 'unknown',
      summary: `${name} gave no clear answer, so it may or may not have happened: ${title}`,
      durationMs: 0,
    }
    await this.#write(async (tx) => {
      await store.endCall(tx, call.id, { state: 'unknown', outcome })
      await this.#with.timeline.append(tx, [toolEndedDraft(this.#turn, call.id, outcome)])
    })
    return {
      status: 'needs_attention',
      text: `I asked ${name} to do this and got no clear answer: “${title}”. I do not know whether it happened, and I will not try again by myself. Please look at ${name} first.`,
      reason: 'It is not known whether it happened.',
    }
  }

  async #callDone(call: store.CallRow, presented: Presented, began: number): Promise<Settled> {
    const outcome: ToolOutcome = { status: 'done', ...presented, durationMs: since(began) }
    await this.#write(async (tx) => {
      await store.endCall(tx, call.id, { state: 'done', outcome })
      await this.#with.timeline.append(tx, [toolEndedDraft(this.#turn, call.id, outcome)])
    })
    await this.#reach('call-done')
    return 'over'
  }

  async #callFailed(
    call: store.CallRow,
    chosen: Chosen,
    args: ToolArgs,
    thrown: unknown,
    began: number,
  ): Promise<Settled> {
    if (this.#lost.aborted) throw new LeaseLost()
    if (this.#cancelled.aborted) return cancelledEnding
    const name = this.#with.providerName(chosen.tool.provider)
    const summary = failureSentence(thrown, name)
    if (summary === undefined) throw thrown
    const outcome: ToolOutcome = { status: 'failed', summary, durationMs: since(began) }
    await this.#write(async (tx) => {
      await store.endCall(tx, call.id, { state: 'failed', outcome })
      await this.#with.timeline.append(tx, [
        this.#toolStarted(call, chosen, args, await this.#said(tx)),
        toolEndedDraft(this.#turn, call.id, outcome),
      ])
    })
    await this.#reach('call-done')
    const reconnect = thrown instanceof AtomError && thrown.code === 'connection_needs_reconnect'
    return reconnect ? this.#reconnect(chosen.tool.provider) : 'over'
  }

  /**
   * The connection of the person who asked, and of nobody else. `connectionId`: the one that was chosen before and, for a
   * write, agreed to.
   */
  async #choose(tool: Tool, connectionId?: string): Promise<Chosen | Ending> {
    const { onBehalfOf, workspaceId } = this.#turn
    const own = await this.#with.connectionsOf(workspaceId, onBehalfOf, tool.provider)
    const living = own.filter((each) => each.ownerId === onBehalfOf && each.status !== 'revoked')
    const candidates = connectionId ? living.filter((each) => each.id === connectionId) : living
    const working = candidates.filter((each) => each.status !== 'needs_reconnect')
    const name = this.#with.providerName(tool.provider)
    if (candidates.length === 0) {
      const gone = connectionId === undefined ? 'is not connected' : 'is not connected any more'
      return {
        status: 'succeeded',
        text: `${name} ${gone}. Connect your account, then ask me again.`,
        choices: [{ label: `Connect ${name}`, connect: tool.provider }],
      }
    }
    if (working.length === 0) return this.#reconnect(tool.provider)
    const allowed = working.find(
      (each) => each.scopes.length === 0 || each.scopes.some((scope) => tool.scopes.includes(scope)),
    )
    if (allowed !== undefined) return { tool, connection: allowed }
    return {
      status: 'succeeded',
      text: `Your ${name} connection does not allow this yet: ${tool.title.toLowerCase()}. Connect it again and grant access.`,
      choices: [{ label: `Connect ${name} again`, connect: tool.provider }],
    }
  }

  #reconnect(provider: string): Ending {
    const name = this.#with.providerName(provider)
    return {
      status: 'succeeded',
      text: `${name} does not accept the connection any more. Reconnect your account, then ask me again.`,
      choices: [{ label: `Reconnect ${name}`, connect: provider }],
    }
  }

  #goesInCircles(call: store.CallRow, calls: readonly store.CallRow[]): boolean {
    const signature = canonical([call.tool, call.args])
    const before = calls.filter(
      (each) =>
        (each.stepN < call.stepN || (each.stepN === call.stepN && each.place <= call.place)) &&
        canonical([each.tool, each.args]) === signature,
    )
    return before.length >= this.#limits.sameCall
  }

  #toolStarted(call: store.CallRow, { tool, connection }: Chosen, args: ToolArgs, said: number): EventDraft {
    const of = {
      id: call.id,
      tool: tool.name,
      title: tool.sentence(args),
      connectionId: connection.id,
      provider: tool.provider,
      account: connection.identity.name,
    }
    return toolStartedDraft(this.#turn, of, said)
  }

  /** How much of the answer stands before the call that is about to be told. */
  async #said(tx: Transaction): Promise<number> {
    return answerOf(await store.stepsOf(tx, this.#turn.id)).length
  }

  /**
   * A write that was sent is waited for, whatever people want meanwhile: its answer is worth knowing. `withinMs` counts from
   * the dispatch and stays below `settleMs`: who looks for traces after that looks at everything there can be.
   */
  #account(
    connection: Connection,
    effect: Tool['effect'] = 'read',
    withinMs = this.#limits.callMs,
  ): ProviderAccount {
    const deadline = AbortSignal.timeout(Math.max(0, Math.round(withinMs)))
    const signals = effect === 'read' ? [deadline, this.#lost, this.#cancelled] : [deadline, this.#lost]
    return new ProxiedAccount({
      connection,
      proxy: this.#with.proxy,
      principal: this.#principal,
      clock: this.#with.clock,
      signal: AbortSignal.any(signals),
    })
  }

  // The end

  async #end(ending: Ending): Promise<void> {
    await this.#reach('ending')
    await this.#write(async (tx) => {
      const steps = await store.stepsOf(tx, this.#turn.id)
      const text = [answerOf(steps), ending.text ?? ''].filter((piece) => piece !== '').join('\n\n')
      await this.#with.approvals.close(tx, this.#turn, ending.approvals ?? 'withdrawn')
      await store.endTurn(tx, this.#turn.id, {
        status: ending.status,
        reason: ending.reason,
        question: ending.question,
      })
      await this.#with.timeline.append(tx, endingDrafts(this.#turn, { ...ending, text: text || stopped }))
      // The next message in the room may be waiting for this.
      await store.notifyTurn(tx, this.#turn.id)
    })
    await this.#reach('ended')
  }

  /** Ends the turn because of something that nobody foresaw. */
  async fail(thrown: unknown): Promise<void> {
    this.#with.log.error({ err: thrown, turnId: this.#turn.id }, 'a turn failed')
    const text =
      thrown instanceof TurnFailed
        ? thrown.message
        : 'Something went wrong on my side, and I could not finish this. Please try again.'
    await this.#end({ status: 'failed', text, reason: text })
  }

  // Everything goes through these

  async #write<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return await this.#with.database.transaction(async (tx) => {
      if (!(await store.stillMine(tx, this.#turn))) throw new LeaseLost()
      return await work(tx)
    })
  }

  async #progress(): Promise<Progress> {
    const { database } = this.#with
    const [steps, calls] = await Promise.all([
      store.stepsOf(database, this.#turn.id),
      store.callsOf(database, this.#turn.id),
    ])
    return { steps, calls }
  }

  #tell(prefix: string, piece: string, first: boolean): void {
    this.#draft?.write(first && prefix !== '' ? `\n\n${piece}` : piece)
  }

  #identity() {
    const { agentId, agentName, id, messageId, roomId } = this.#turn
    return { roomId, turnId: id, messageId, actor: { kind: 'agent' as const, id: agentId, name: agentName } }
  }

  async #reach(name: Checkpoint): Promise<void> {
    await this.#with.checkpoint?.(name, this.#turn.id)
  }
}

/** Ends the turn with this sentence. One with a cause was counted where that came about. */
export class TurnFailed extends Error {
  override readonly name = 'TurnFailed'
}

/** What was said stays as it was read: a word put after it would stand in the middle of whatever was cut off. */
const cancelledEnding: Ending = { status: 'cancelled', reason: stopped }

const tooMuch: Ending = {
  status: 'failed',
  text: 'I stopped here because I was going round in circles. Please ask in another way, or for one thing at a time.',
  reason: 'It took too many steps.',
}

/** Another brain answers than the one that is configured: the room is told, once. */
function fallbackNote(steps: readonly store.StepRow[], n: number): string {
  const failed = steps.find((step) => step.state === 'failed')
  if (failed === undefined) return ''
  const told = steps.some((step) => step.state === 'done' && step.n > failed.n && step.n < n)
  return told ? '' : `_The model ${failed.model} does not answer just now, so the built-in agent does._\n\n`
}

function endingOf(step: store.StepRow): Ending {
  const { choices, question, text } = step.said
  return {
    status: 'succeeded',
    ...(choices && { choices }),
    ...(question && { question }),
    ...(text === '' && { text: 'Done.' }),
  }
}

function asking(
  tool: Tool,
  args: ToolArgs,
  ask: { readonly slot: string; readonly question: string; readonly suggestions: readonly string[] },
): Ending {
  const slots = Object.fromEntries(
    Object.entries(args)
      .filter(([name, value]) => value !== undefined && name !== ask.slot)
      .map(([name, value]) => [name, String(value)]),
  )
  return {
    status: 'succeeded',
    text: ask.question,
    choices: ask.suggestions.map((suggestion) => ({ label: suggestion, send: suggestion })),
    question: { tool: tool.name, slot: ask.slot, slots },
  }
}

/** Whether the request may have reached the provider; what the proxy refuses by itself has not. */
function mayHaveHappened(thrown: unknown): boolean {
  return thrown instanceof ToolUncertain || !(thrown instanceof ToolRefused || thrown instanceof AtomError)
}

function failureSentence(thrown: unknown, provider: string): string | undefined {
  if (thrown instanceof ToolRefused) return thrown.message
  if (!(thrown instanceof AtomError)) return undefined
  if (thrown.code === 'connection_needs_reconnect')
    return `${provider} does not accept the connection any more`
  if (thrown.code === 'not_found') return `The ${provider} connection is gone`
  if (thrown.row.category === 'provider') return `${provider}: ${thrown.row.title}. ${thrown.detail}`
  return undefined
}

function since(began: number): number {
  return Math.round(performance.now() - began)
}
