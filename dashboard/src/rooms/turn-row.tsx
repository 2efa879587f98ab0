import { CircleAlert, CircleSlash, RotateCcw, TriangleAlert } from 'lucide-react'
import { AtomMark } from '../shell/atom-mark.tsx'
import { classNames } from '../ui/class-names.ts'
import { durationText } from '../ui/clock-text.ts'
import { Markdown } from '../ui/markdown.tsx'
import { TimeOfDay } from '../ui/time.tsx'
import { ApprovalCard } from './approval-card.tsx'
import { CallCard } from './call-card.tsx'
import { Choices } from './choices.tsx'
import { MessageTools } from './message-tools.tsx'
import { Reactions } from './reactions.tsx'
import { useRoomView } from './room-context.ts'
import type { Answer, Ending, Row, TurnFacts, TurnPart } from './timeline.ts'
import { asItHappened, callState } from './timeline.ts'

/** What an agent said and did, as one message. */
export function TurnRow({ row }: { row: Extract<Row, { kind: 'turn' }> }) {
  const { turn } = row
  const said = row.parts.findLast((part) => part.kind === 'answer')?.text ?? ''
  return (
    <article aria-label={`${turn.agent.name} answered`} className="flex gap-3 pt-4">
      <span
        aria-hidden
        className="grid size-8 shrink-0 place-items-center rounded-full bg-accent-wash text-accent-text"
      >
        <AtomMark size={18} />
      </span>
      <div className="grid min-w-0 flex-1 grid-cols-[minmax(0,1fr)] gap-2.5">
        <div className="-mb-2 flex items-baseline gap-2">
          <span className="truncate font-semibold">{turn.agent.name}</span>
          {turn.model !== undefined && (
            <span title={turnTitle(turn)} className="truncate text-xs text-quiet">
              {turn.model}
            </span>
          )}
          <span className="shrink-0 text-xs text-quiet">
            <TimeOfDay at={row.at} />
          </span>
        </div>
        {asItHappened(row.parts).map((part, at) => (
          <Part key={keyOf(part, at)} part={part} turn={turn} said={said} />
        ))}
        {row.thinking && <Thinking />}
      </div>
    </article>
  )
}

/** A card stays the same card, with what was corrected on it, when words appear above it. */
function keyOf(part: TurnPart, at: number): string {
  return part.kind === 'call' ? part.callId : part.kind === 'answer' ? part.messageId : `${part.kind}:${at}`
}

/** @param said all that the agent said */
function Part({ part, turn, said }: { part: TurnPart; turn: TurnFacts; said: string }) {
  switch (part.kind) {
    case 'call': {
      const state = callState(part, turn)
      return state === 'asking' && part.approval !== undefined ? (
        <ApprovalCard approval={part.approval} />
      ) : (
        <CallCard call={part} state={state} />
      )
    }
    case 'said':
      return <Markdown text={part.text} />
    case 'answer':
      return <AnswerPart answer={part} turn={turn} said={said} />
    case 'ending':
      return <TurnEnding ending={part} said={said} />
  }
}

function AnswerPart({ answer, turn, said }: { answer: Answer; turn: TurnFacts; said: string }) {
  const { marked } = useRoomView()
  if (answer.deleted === true) return <p className="text-quiet italic">This message was deleted.</p>
  const { seq } = answer
  return (
    <div
      className={classNames(
        'group relative -mx-2 flex gap-3 rounded-card px-2 transition-colors',
        seq !== undefined && marked === seq && 'bg-accent-wash',
      )}
    >
      <div className="min-w-0 flex-1">
        <Markdown text={answer.text} growing={seq === undefined} />
        <Choices choices={answer.choices} turn={turn} />
        {seq !== undefined && <Reactions seq={seq} reactions={answer.reactions ?? []} />}
      </div>
      {seq !== undefined && (
        <MessageTools seq={seq} text={said} authorId={turn.agent.id} authorName={turn.agent.name} ofAgent />
      )}
    </div>
  )
}

function Thinking() {
  return (
    <p className="flex items-center gap-2 py-0.5 text-quiet">
      <span aria-hidden className="flex gap-1">
        <span className="size-1.5 animate-pulse rounded-full bg-faint" />
        <span className="size-1.5 animate-pulse rounded-full bg-faint [animation-delay:0.2s]" />
        <span className="size-1.5 animate-pulse rounded-full bg-faint [animation-delay:0.4s]" />
      </span>
      Thinking…
    </p>
  )
}

const endings = {
  failed: { icon: CircleAlert, colour: 'text-bad', words: 'This answer failed' },
  cancelled: { icon: CircleSlash, colour: 'text-quiet', words: 'Stopped' },
  interrupted: { icon: RotateCcw, colour: 'text-warn', words: 'Interrupted' },
  needs_attention: { icon: TriangleAlert, colour: 'text-warn', words: 'Needs you' },
} as const

/** @param said what the agent said, which may have told the reason already */
function TurnEnding({ ending, said }: { ending: Ending; said: string }) {
  const { icon: Icon, colour, words } = endings[ending.status]
  const { reason } = ending
  const isTold = reason === undefined || reason === `${words}.` || said.endsWith(reason)
  // Who was stopped before the first word says nothing else.
  if (said === `${words}.`) return null
  return (
    <p className="flex items-start gap-2 text-sm">
      <Icon size={16} aria-hidden className={classNames('mt-0.5 shrink-0', colour)} />
      <span>
        <span className="font-medium">{words}</span>
        {!isTold && <span className="text-quiet">: {reason}</span>}
      </span>
    </p>
  )
}

function turnTitle(turn: TurnFacts): string {
  if (turn.startedAt === undefined || turn.endedAt === undefined) return `Answered by ${turn.model}`
  return `Answered by ${turn.model} in ${durationText(Date.parse(turn.endedAt) - Date.parse(turn.startedAt))}`
}
