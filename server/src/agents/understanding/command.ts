import type { OpenQuestion } from '#agents/models/model.ts'
import type { ToolDescription } from '#agents/tools/tool.ts'

/** What a person meant, as far as it was understood. */
export type Command =
  | { kind: 'call'; tool: string; slots: Record<string, string>; confidence: number }
  /** `slots` may hold `day` besides the tool's own: the day of a time whose hour is still to come, RFC 3339. */
  | { kind: 'ask'; tool: string; slot: string; question: string; slots: Record<string, string> }
  | { kind: 'clarify'; options: { tool: string; label: string }[] }
  | { kind: 'answer'; topic: 'greeting' | 'thanks' | 'help' }
  | { kind: 'cancel' }
  | { kind: 'connect'; provider?: string }
  | { kind: 'cannotHandle'; nearest: string[]; reason: 'unclear' | 'compound' | 'repeating' | 'language' }

export interface UnderstandingContext {
  readonly tools: readonly ToolDescription[]
  readonly now: Date
  /** The message may be the answer to this. */
  readonly openQuestion?: OpenQuestion
}

export interface Understanding extends AsyncDisposable {
  /** @throws AtomError `model_unavailable` when the worker died; the next call starts another. */
  understand(text: string, context: UnderstandingContext): Promise<Command>
}
