import type { ToolOutcome } from '@atom/contract/agents.ts'
import type { Choice } from '@atom/contract/rooms.ts'
import { Value } from 'typebox/value'
import { derivedId } from '#foundation/ids.ts'
import type { ToolArgs, ToolDescription } from '../tools/tool.ts'
import type { Command, Understanding } from '../understanding/command.ts'
import type { Model, ModelInput, ModelPart, OpenQuestion, TranscriptEntry } from './model.ts'

/**
 * The agent that needs no key and no network: it understands one command at a time, and says so when it did not. It never
 * makes up an answer: everything that it tells of an account is the outcome of a tool.
 */
export class EmbeddedModel implements Model {
  readonly name = 'rules'
  readonly #understanding: Understanding
  readonly #providerName: (provider: string) => string

  constructor(dependencies: {
    readonly understanding: Understanding
    readonly providerName: (provider: string) => string
  }) {
    this.#understanding = dependencies.understanding
    this.#providerName = dependencies.providerName
  }

  async *step({ transcript, tools, signal }: ModelInput): AsyncIterable<ModelPart> {
    const results = resultsAtEnd(transcript)
    if (results.length > 0) {
      yield* pieces(results.map(answerTo).join('\n\n'))
      return
    }
    const asked = transcript.at(-1)
    if (asked?.role !== 'person') throw new Error('nobody asked anything')
    const openQuestion = questionIn(transcript)
    const command = await this.#understanding.understand(asked.text, {
      tools,
      now: asked.at,
      ...(openQuestion && { openQuestion }),
    })
    signal.throwIfAborted()
    yield* this.#say(command, tools, asked, openQuestion)
  }

  *#say(
    command: Command,
    tools: readonly ToolDescription[],
    asked: Extract<TranscriptEntry, { role: 'person' }>,
    openQuestion: OpenQuestion | undefined,
  ): Iterable<ModelPart> {
    switch (command.kind) {
      case 'call': {
        const tool = tools.find((each) => each.name === command.tool)
        if (tool === undefined) throw new Error(`understood a tool that was not offered: ${command.tool}`)
        const args = argsFrom(tool, command.slots)
        yield {
          type: 'toolCall',
          callId: derivedId('understood', asked.at.toISOString(), tool.name),
          tool: tool.name,
          args,
        }
        return
      }
      case 'ask':
        yield* pieces(command.question)
        yield {
          type: 'question',
          question: { tool: command.tool, slot: command.slot, slots: command.slots },
        }
        return
      case 'clarify':
        yield* pieces('Which of these do you mean?')
        yield { type: 'choices', choices: command.options.map((option) => choiceOf(option, tools)) }
        return
      case 'connect':
        yield* this.#connect(command.provider, tools)
        return
      case 'answer':
        yield* this.#answer(command.topic, tools)
        return
      case 'cancel':
        yield* pieces(openQuestion ? 'All right, I leave it.' : 'There is nothing for me to stop right now.')
        return
      case 'cannotHandle':
        yield* this.#admit(command, tools)
    }
  }

  *#connect(provider: string | undefined, tools: readonly ToolDescription[]): Iterable<ModelPart> {
    const known = [...new Set(tools.map((tool) => tool.provider))]
    const chosen = provider !== undefined && known.includes(provider) ? [provider] : known
    const names = chosen.map(this.#providerName)
    const [only] = names
    const unknown = provider !== undefined && !known.includes(provider)
    if (unknown) yield* pieces('I do not know that service yet. These I can work with:')
    else if (names.length === 1)
      yield* pieces(`Connect your ${only} account here; you decide there what I may do.`)
    else yield* pieces('Which account do you want to connect?')
    yield {
      type: 'choices',
      choices: chosen.map((id) => ({ label: `Connect ${this.#providerName(id)}`, connect: id })),
    }
  }

  *#answer(
    topic: Extract<Command, { kind: 'answer' }>['topic'],
    tools: readonly ToolDescription[],
  ): Iterable<ModelPart> {
    if (topic === 'thanks') {
      yield* pieces('You are welcome.')
      return
    }
    const greeting = topic === 'greeting' ? 'Hello! ' : ''
    yield* pieces(`${greeting}I work with the accounts you connect. For example:\n\n${capabilities(tools)}`)
    yield { type: 'choices', choices: suggestions(tools) }
  }

  *#admit(
    { nearest, reason }: Extract<Command, { kind: 'cannotHandle' }>,
    tools: readonly ToolDescription[],
  ): Iterable<ModelPart> {
    const close = nearest.flatMap((name) => tools.find((tool) => tool.name === name) ?? []).slice(0, 3)
    const shown = close.length > 0 ? close : tools.slice(0, 3)
    const why = {
      unclear: 'I did not understand that.',
      compound: 'That is more than one thing at once, and I can only do one at a time.',
      repeating: 'I can put it into the calendar once, but not again and again.',
      language: 'I only understand English so far.',
    }[reason]
    yield* pieces(
      `${why} These are the nearest things I can do:\n\n${capabilities(shown)}\n\nFor free conversation, the operator of this server can add a language model.`,
    )
    yield {
      type: 'choices',
      choices: shown.map((tool) => choiceOf({ tool: tool.name, label: tool.title }, tools)),
    }
  }
}

function resultsAtEnd(transcript: readonly TranscriptEntry[]) {
  const results: Extract<TranscriptEntry, { role: 'toolResult' }>[] = []
  for (const entry of transcript.toReversed()) {
    if (entry.role !== 'toolResult') break
    results.unshift(entry)
  }
  return results
}

function questionIn(transcript: readonly TranscriptEntry[]): OpenQuestion | undefined {
  for (const entry of transcript.toReversed()) {
    if (entry.role === 'agent' && entry.question !== undefined) return entry.question
  }
  return undefined
}

/** Slots are text; the tool says which of them are numbers. Empty ones are none. */
function argsFrom(tool: ToolDescription, slots: Readonly<Record<string, string>>): ToolArgs {
  const known = new Set(tool.slots.map((slot) => slot.name))
  const filled = Object.entries(slots).filter(([name, value]) => known.has(name) && value.trim() !== '')
  return Value.Convert(tool.input, Object.fromEntries(filled)) as ToolArgs
}

function choiceOf(
  option: { readonly tool: string; readonly label: string },
  tools: readonly ToolDescription[],
): Choice {
  const example = tools.find((tool) => tool.name === option.tool)?.examples[0]
  return { label: option.label, send: example ?? option.label }
}

function suggestions(tools: readonly ToolDescription[]): Choice[] {
  return tools
    .filter((tool) => tool.effect === 'read')
    .map((tool) => choiceOf({ tool: tool.name, label: tool.title }, tools))
}

function capabilities(tools: readonly ToolDescription[]): string {
  return tools.map((tool) => `- ${tool.title}: “${tool.examples[0] ?? tool.title}”`).join('\n')
}

/** Foreign words inside Markdown: they stay words. */
function plain(text: string): string {
  return text.replace(/[\\`*[\]<>~|]|(?<!\w)_|_(?!\w)/g, '\\$&')
}

/** The card of the tool holds the rows and the link; saying them again would only make the reader compare. */
function answerTo({ outcome }: { readonly outcome: ToolOutcome }): string {
  const head = plain(outcome.summary)
  return /[.!?)]$/.test(head) ? head : `${head}.`
}

/** Line by line, so that a long list appears as it is told. */
function* pieces(text: string): Iterable<ModelPart> {
  for (const piece of text.split(/(?<=\n)/)) yield { type: 'text', text: piece }
}
