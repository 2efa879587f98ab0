import type { Model, ModelInput, ModelPart, TranscriptEntry } from '#agents/models/model.ts'

type Script = (
  transcript: readonly TranscriptEntry[],
  input: ModelInput,
) => ModelPart[] | AsyncIterable<ModelPart>

/** A model that says what a test tells it to: for the turn's own promises, whatever answers. */
export class ScriptedModel implements Model {
  readonly name: string
  /** How often it was asked. */
  asked = 0
  readonly #script: Script

  constructor(script: Script, name = 'scripted') {
    this.#script = script
    this.name = name
  }

  async *step(input: ModelInput): AsyncIterable<ModelPart> {
    this.asked++
    yield* this.#script(input.transcript, input)
  }
}

/** The words of the person who asked. */
export function askedText(transcript: readonly TranscriptEntry[]): string {
  return transcript.findLast((entry) => entry.role === 'person')?.text ?? ''
}

/** What the tools answered in this turn, newest last. */
export function outcomes(transcript: readonly TranscriptEntry[]) {
  const asked = transcript.findLastIndex((entry) => entry.role === 'person')
  return transcript.slice(asked).flatMap((entry) => (entry.role === 'toolResult' ? [entry.outcome] : []))
}

export const say = (text: string): ModelPart => ({ type: 'text', text })
export const use = (tool: string, args: Record<string, unknown>, callId = 'call-1'): ModelPart => ({
  type: 'toolCall',
  callId,
  tool,
  args,
})

/** Does what the message begins with (`create`, `list`, `close`), then tells what came of it. */
export function obedient(): ScriptedModel {
  return new ScriptedModel((transcript) => {
    const done = outcomes(transcript)
    if (done.length > 0) return [say(`${done.map((outcome) => outcome.summary).join('; ')}.`)]
    const [verb = '', ...rest] = askedText(transcript).split(' ')
    if (verb === 'create')
      return [use('github_create_issue', { title: rest.join(' '), repository: 'atom-labs/app' })]
    if (verb === 'list') return [use('github_list_issues', {})]
    if (verb === 'close')
      return [use('github_close_issue', { number: Number(rest[0]), repository: 'atom-labs/app' })]
    return [say(`You said: ${askedText(transcript)}`)]
  })
}
