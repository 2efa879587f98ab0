import type { ToolDescription, ToolSlot } from '#agents/tools/tool.ts'
import type { Guess } from './classifier.ts'
import type { Command, UnderstandingContext } from './command.ts'
import { commandPart, type Filled, fillSlot, fillSlots, namesNumber, withoutValues } from './slots.ts'
import { repeats } from './spoken-time.ts'

/** Measured on public sets (benchmarks/results/understanding.md): sure enough to look, to write, to offer it; far enough from the next. */
export const thresholds = { call: 0.5, write: 0.6, offer: 0.2, margin: 0.15, interrupts: 0.8 }

const several =
  /\b(and then|and also|after that|afterwards)\b|[,;] then\b|\bif\b.*(,|\bthen\b)|\bunless\b|\b(all|both|each|every one) of (them|these|those)\b|(?:#|\b(?:issues?|tickets?|bugs?)\s+#?)\d+\s*(?:,|and|&|\+)\s*#?\d+/i

/**
 * What is to be done about a text, from what the classifier makes of it. Never guesses a write: in doubt it offers the two
 * likeliest readings, and beyond that says that it did not understand.
 */
export function decide(text: string, guesses: readonly Guess[], context: UnderstandingContext): Command {
  const command = commandPart(text)
  const slash = slashCommand(command)
  if (slash !== undefined) return slash
  const answer = context.openQuestion && answered(text, guesses, context, context.openQuestion)
  if (answer !== undefined) return answer
  const [first, second] = guesses
  const nearest = guesses
    .filter(({ label }) => context.tools.some(({ name }) => name === label))
    .map(({ label }) => label)
    .slice(0, 3)
  const unclear: Command = { kind: 'cannotHandle', nearest, reason: 'unclear' }
  if (first === undefined) return unclear
  if (!isEnglish(command)) return { kind: 'cannotHandle', nearest, reason: 'language' }
  if (first.probability < thresholds.offer) return unclear
  const isSure =
    first.probability >= thresholds.call &&
    first.probability - (second?.probability ?? 0) >= thresholds.margin
  const tool = context.tools.find(({ name }) => name === first.label)
  if (tool === undefined) return isSure ? talk(first.label, command, unclear) : unclear
  if (!isSure || !isMeant(tool, first.probability, command, guesses, context))
    return { kind: 'clarify', options: likely(guesses, context) }
  if (several.test(withoutValues(command))) {
    return { kind: 'cannotHandle', nearest: [tool.name], reason: 'compound' }
  }
  if (isEvent(tool) && repeats(withoutValues(command))) {
    return { kind: 'cannotHandle', nearest: [tool.name], reason: 'repeating' }
  }
  return complete(tool, fillSlots(text, tool.slots, context.now), first.probability)
}

/** A question, or a wish to see something: whatever the classifier thinks, nobody asks for a change in these words. */
const looking =
  /^(?:(?:please|hey|hi|ok|okay|so|now|and|can i|could i|can you|could you)[,\s]+)*(?:show|list|display|see|view|find|look|check|what|which|when|where|who|whose|why|how|is|are|am|was|were|did|does|do i|do we|have i|has|any|tell me)\b/i

/** A write takes more than the likeliest label: the words have to fit it. */
function isMeant(
  tool: ToolDescription,
  probability: number,
  command: string,
  guesses: readonly Guess[],
  { tools }: UnderstandingContext,
): boolean {
  if (tool.effect === 'read') return true
  if (probability < thresholds.write || looking.test(command.trim())) return false
  // "a note to issue 30": where a number is named, a tool that takes none is less likely than the next that does.
  const takesNumber = (name: string) =>
    tools.some((one) => one.name === name && one.slots.some(({ kind }) => kind === 'number'))
  const rival = guesses[1]
  return (
    takesNumber(tool.name) ||
    rival === undefined ||
    rival.probability < thresholds.offer / 2 ||
    !takesNumber(rival.label) ||
    !namesNumber(withoutValues(command))
  )
}

/** Something that is put at a time, once. */
const isEvent = (tool: ToolDescription) =>
  tool.effect !== 'read' && tool.slots.some(({ kind }) => kind === 'start')

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

const dropped =
  /^(?:(?:no|oh|please|actually|ok|okay)[,.!]?\s+)*(?:cancel|stop|never\s?mind|forget|leave|abort|drop|don'?t|no|nope|nothing|quit)(?:,?\s+(?:it|that|this|please|about|thanks?|you|bother))*[.!]*$/i

/** What a text says to the question that is open; undefined where it is about something else. */
function answered(
  text: string,
  guesses: readonly Guess[],
  { tools, now }: UnderstandingContext,
  { tool: toolName, slot: slotName, slots }: NonNullable<UnderstandingContext['openQuestion']>,
): Command | undefined {
  const tool = tools.find(({ name }) => name === toolName)
  const slot = tool?.slots.find(({ name }) => name === slotName)
  if (tool === undefined || slot === undefined) return undefined
  const [first] = guesses
  if (dropped.test(text.trim())) return { kind: 'cancel' }
  if (first !== undefined && interrupts(text, first, slot, tool, tools, now)) return undefined
  const { day, ...known } = slots
  const filled = fillSlot(text, slot, tool.slots, now, day)
  if (filled.values[slot.name] === undefined && filled.doubts[slot.name] === undefined) {
    const question = `I could not read that. ${slot.question} Say “cancel” to leave it.`
    return { kind: 'ask', tool: tool.name, slot: slot.name, question, slots: { ...slots } }
  }
  return complete(
    tool,
    { ...(day !== undefined && { day }), ...filled, values: { ...known, ...filled.values } },
    1,
  )
}

/**
 * Another wish in the place of an answer. Any words can be a title or a comment ("Close issue dialog is broken"), so there
 * only a whole command, or a question, counts as one.
 */
function interrupts(
  text: string,
  { label, probability }: Guess,
  slot: ToolSlot,
  asking: ToolDescription,
  tools: readonly ToolDescription[],
  now: Date,
): boolean {
  if (probability < thresholds.interrupts || label === asking.name || label === 'other') return false
  if (slot.kind !== 'text' && slot.kind !== 'prose') return text.trim().split(/\s+/).length > 2
  if (text.trim().endsWith('?')) return true
  const tool = tools.find(({ name }) => name === label)
  if (tool === undefined || tool.slots.every(({ required }) => !required)) return false
  const { values } = fillSlots(text, tool.slots, now)
  return tool.slots.every(({ name, required }) => !required || values[name] !== undefined)
}

/** The call, or the question for the first thing that it still needs. */
function complete(tool: ToolDescription, { values, doubts, day }: Filled, confidence: number): Command {
  const open = tool.slots.find(
    (slot) => values[slot.name] === undefined && (slot.required || doubts[slot.name] !== undefined),
  )
  if (open === undefined) return { kind: 'call', tool: tool.name, slots: { ...values }, confidence }
  const isHourMissing = open.kind === 'start' && day !== undefined
  const why = doubts[open.name] ?? (isHourMissing ? 'I need the hour, too.' : undefined)
  return {
    kind: 'ask',
    tool: tool.name,
    slot: open.name,
    question: why === undefined ? open.question : `${why} ${open.question}`,
    slots: { ...values, ...(day !== undefined && { day }) },
  }
}

/** The likeliest two tools; the person knows better than the classifier does. */
function likely(guesses: readonly Guess[], { tools }: UnderstandingContext) {
  return guesses
    .filter(({ probability }) => probability >= thresholds.offer / 2)
    .flatMap(({ label }) => tools.find(({ name }) => name === label) ?? [])
    .slice(0, 2)
    .map((tool) => ({ tool: tool.name, label: tool.title }))
}

function talk(label: string, text: string, unclear: Command): Command {
  if (label === 'greeting' || label === 'thanks' || label === 'help') return { kind: 'answer', topic: label }
  if (label === 'cancel') return { kind: 'cancel' }
  if (label === 'connect') return connectTo(text)
  return unclear
}

function connectTo(text: string): Command {
  const named = /\b(github|google|microsoft|outlook|slack|asana|notion|salesforce|hubspot)\b/i.exec(text)?.[1]
  return { kind: 'connect', ...(named !== undefined && { provider: named.toLowerCase() }) }
}

/** Words that carry a sentence in other languages and are no English ones. */
const foreign =
  /(?<!\p{L})(ich|und|nicht|bitte|zeige?|meine?|erstelle|welche|je|mes|montre|les|une|est|quels?|crée|hola|mis|muestra|los|las|abre|qué|por favor|mostra|il|miei|che|mijn|toon|het|een|mostre|meus|quais|pokaż|moje|ukaž|jaké)(?!\p{L})/giu

/** False where letters of other scripts, or words of other languages, make up a good part of the text. */
function isEnglish(text: string): boolean {
  const letters = text.match(/\p{L}/gu)?.length ?? 0
  const latin = text.match(/\p{Script=Latin}/gu)?.length ?? 0
  if (letters > 0 && latin / letters < 0.7) return false
  const words = withoutValues(text).match(/[\p{L}']+/gu) ?? []
  return (withoutValues(text).match(foreign)?.length ?? 0) * 3 < Math.max(words.length, 2)
}
