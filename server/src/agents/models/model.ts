import type { ToolOutcome } from '@atom/contract/agents.ts'
import type { Choice } from '@atom/contract/rooms.ts'
import type { ToolArgs, ToolDescription } from '#agents/tools/tool.ts'

/** What the agent asked and still waits for: the tool it wants to call and what it knows already. */
export interface OpenQuestion {
  readonly tool: string
  readonly slot: string
  readonly slots: Readonly<Record<string, string>>
}

/** What a model reads: the tail of the room, then what this turn did so far. */
export type TranscriptEntry =
  | { readonly role: 'person'; readonly name: string; readonly text: string; readonly at: Date }
  | { readonly role: 'agent'; readonly text: string; readonly question?: OpenQuestion }
  | { readonly role: 'toolCall'; readonly callId: string; readonly tool: string; readonly args: ToolArgs }
  | {
      readonly role: 'toolResult'
      readonly callId: string
      readonly tool: string
      /** Data from outside: a model is told so, and reads no instruction in it. */
      readonly outcome: ToolOutcome
    }

/** What a model says, piece by piece. Any number of texts; `question` and `choices` at most once. */
export type ModelPart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'toolCall'; readonly callId: string; readonly tool: string; readonly args: ToolArgs }
  | { readonly type: 'choices'; readonly choices: readonly Choice[] }
  /** The text asks for this; the next message of the same person is read as its answer. */
  | { readonly type: 'question'; readonly question: OpenQuestion }
  | { readonly type: 'usage'; readonly inputTokens: number; readonly outputTokens: number }

export interface ModelInput {
  readonly transcript: readonly TranscriptEntry[]
  readonly tools: readonly ToolDescription[]
  readonly signal: AbortSignal
}

/** Something that decides what an agent says or does next. One step: it calls no tool itself and remembers nothing. */
export interface Model {
  /** As `turn.started` names it: `rules`, or the model's own name. */
  readonly name: string
  /** @throws AtomError `model_unavailable`, before or between parts; the step may then be taken by another model. */
  step(input: ModelInput): AsyncIterable<ModelPart>
}
