import type { ToolDescription, ToolSlot } from '#agents/tools/tool.ts'
import type { Guess } from './classifier.ts'
import type { Command, UnderstandingContext } from './command.ts'
import { fillSlot, fillSlots, withoutValues } from './slots.ts'
import { smallTalk } from './small-talk.ts'

/** Measured on public sets (benchmarks/results/understanding.md): sure enough to do it; to offer it; far enough from the next. */
const thresholds = { call: 0.5, offer: 0.2, margin: 0.15, interrupts: 0.8 }

const several =
  /\b(and then|and also|after that|afterwards)\b|[,;] then\b|\bif\b.*(,|\bthen\b)|\bunless\b|\b(all|both|each|every one) of (them|these|those)\b/i

/**
 * What is to be done about a text, from what the classifier makes of it. Never guesses a write: in doubt it offers the two
 * likeliest readings, and beyond that says that it did not understand.
 */
export function decide(text: string, guesses: readonly Guess[], context: UnderstandingContext): Command {
  const command = slashCommand(text)
  if (command !== undefined) return command
  const [first, second] = guesses
  if (first === undefined) return { kind: 'cannotHandle', nearest: [], reason: 'unclear' }
  const { openQuestion } = context
  if (openQuestion !== undefined) {
    if (first.label === 'cancel' && first.probability >= thresholds.call) return { kind: 'cancel' }
    const isSomethingElse =
      first.probability >= thresholds.interrupts &&
      first.label !== openQuestion.tool &&
      first.label !== 'other' &&
      text.trim().split(/\s+/).length > 2
    const tool = context.tools.find(({ name }) => name === openQuestion.tool)
    if (!isSomethingElse && tool !== undefined) return answered(text, tool, openQuestion, context.now)
  }
  const nearest = guesses
    .filter(({ label }) => context.tools.some(({ name }) => name === label))
    .map(({ label }) => label)
  if (!isEnglish(text)) return { kind: 'cannotHandle', nearest: nearest.slice(0, 3), reason: 'language' }
  if (
    first.probability < thresholds.offer ||
    (first.label === 'other' && first.probability >= thresholds.call)
  ) {
    return { kind: 'cannotHandle', nearest: nearest.slice(0, 3), reason: 'unclear' }
  }
  const isSure =
    first.probability >= thresholds.call &&
    first.probability - (second?.probability ?? 0) >= thresholds.margin
  if (!isSure) return unsure(guesses, context, nearest)
  const tool = context.tools.find(({ name }) => name === first.label)
  if (tool === undefined) return talk(first.label, text, nearest)
  if (several.test(withoutValues(text)))
    return { kind: 'cannotHandle', nearest: [tool.name], reason: 'compound' }
  return complete(tool, fillSlots(text, tool.slots, context.now), first.probability)
}

function slashCommand(text: string): Command | undefined {
  const [, name, rest = ''] = /^\/([a-z]+)\s*(.*)$/is.exec(text.trim()) ?? []
  switch (name?.toLowerCase()) {
    case 'help':
      return { kind: 'answer', topic: 'help' }
    case 'connect':
      return connectTo(rest)
    case 'cancel':
    case 'stop':
      return { kind: 'cancel' }
    default:
      return undefined
  }
}

function answered(
  text: string,
  tool: ToolDescription,
  openQuestion: NonNullable<UnderstandingContext['openQuestion']>,
  now: Date,
): Command {
  const slot = tool.slots.find(({ name }) => name === openQuestion.slot)
  const value = slot && fillSlot(text, slot, now)
  if (slot === undefined || value === undefined) {
    const question = slot === undefined ? 'What do you mean?' : `I could not read that. ${slot.question}`
    return {
      kind: 'ask',
      tool: tool.name,
      slot: openQuestion.slot,
      question,
      slots: { ...openQuestion.slots },
    }
  }
  return complete(tool, { ...openQuestion.slots, ...value }, 1)
}

/** The call, or the question for the first thing that it still needs. */
function complete(tool: ToolDescription, slots: Record<string, string>, confidence: number): Command {
  const missing = tool.slots.find((slot: ToolSlot) => slot.required && slots[slot.name] === undefined)
  if (missing === undefined) return { kind: 'call', tool: tool.name, slots, confidence }
  return { kind: 'ask', tool: tool.name, slot: missing.name, question: missing.question, slots }
}

/** Two readings as buttons, where two tools are likely; they know better than the classifier does. */
function unsure(guesses: readonly Guess[], context: UnderstandingContext, nearest: string[]): Command {
  const options = guesses
    .filter(({ probability }) => probability >= thresholds.offer / 2)
    .flatMap(({ label }) => context.tools.find(({ name }) => name === label) ?? [])
    .slice(0, 2)
    .map((tool) => ({ tool: tool.name, label: tool.title }))
  const top = guesses[0]?.label
  const isToolFirst = context.tools.some(({ name }) => name === top)
  if (options.length === 0 || !isToolFirst) {
    return { kind: 'cannotHandle', nearest: nearest.slice(0, 3), reason: 'unclear' }
  }
  return { kind: 'clarify', options }
}

function talk(label: string, text: string, nearest: string[]): Command {
  if (label === 'greeting' || label === 'thanks' || label === 'help') return { kind: 'answer', topic: label }
  if (label === 'cancel') return { kind: 'cancel' }
  if (label === 'connect') return connectTo(text)
  return { kind: 'cannotHandle', nearest: nearest.slice(0, 3), reason: 'unclear' }
}

function connectTo(text: string): Command {
  const named = /\b(github|google|microsoft|outlook|slack|asana|notion|salesforce|hubspot)\b/i.exec(text)?.[1]
  return { kind: 'connect', ...(named !== undefined && { provider: named.toLowerCase() }) }
}

/** Words that carry a sentence in other languages and are no English ones. */
const foreign =
  /\b(ich|und|nicht|bitte|zeige?|meine?|erstelle|welche|je|mes|montre|les|une|est|quels?|crée|hola|mis|muestra|los|las|abre|qué|por favor|mostra|il|miei|che|mijn|toon|het|een|mostre|meus|quais|pokaż|moje|ukaž|jaké)\b/giu

/** False where letters of other scripts, or words of other languages, make up a good part of the text. */
function isEnglish(text: string): boolean {
  const letters = text.match(/\p{L}/gu)?.length ?? 0
  const latin = text.match(/\p{Script=Latin}/gu)?.length ?? 0
  if (letters > 0 && latin / letters < 0.7) return false
  const words = withoutValues(text).match(/[\p{L}']+/gu) ?? []
  return (withoutValues(text).match(foreign)?.length ?? 0) * 3 < Math.max(words.length, 2)
}

/** Labels that are no tool. */
export const talkLabels: readonly string[] = Object.keys(smallTalk)
