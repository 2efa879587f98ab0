import { classNames } from '../ui/class-names.ts'
import { MessageTools } from './message-tools.tsx'
import { PlainText } from './plain-text.tsx'
import { Reactions } from './reactions.tsx'
import { ReadBy, ReadMark } from './read-by.tsx'
import { ReplyQuote } from './reply-quote.tsx'
import { useRoomView } from './room-context.ts'
import { Spoken } from './spoken.tsx'
import type { Row } from './timeline.ts'

/** What a person said, what became of it, and what can be done with it. */
export function MessageRow({ row }: { row: Extract<Row, { kind: 'message' }> }) {
  const { me, nameOf, marked, toldUnder } = useRoomView()
  const { seq, author } = row
  const told = toldUnder.includes(seq)
  if (row.deleted) {
    return (
      <Spoken name={author.name} at={row.at} lead={row.lead}>
        <p className="text-quiet italic">This message was deleted.</p>
      </Spoken>
    )
  }
  const named = row.mentions.flatMap((id) => {
    const name = nameOf(id)
    return name === undefined ? [] : [{ id, name }]
  })
  return (
    <div
      className={classNames(
        '-mx-2 rounded-card px-2 transition-colors',
        marked === seq && 'bg-accent-wash',
        marked !== seq && row.mentions.includes(me) && 'mt-1 bg-warn-wash pb-1',
      )}
    >
      <Spoken
        name={author.name}
        at={row.at}
        lead={row.lead}
        tools={<MessageTools seq={seq} text={row.text} authorId={author.id} authorName={author.name} />}
      >
        {row.replyTo !== undefined && <ReplyQuote seq={row.replyTo} />}
        <PlainText
          text={row.text}
          named={named}
          me={me}
          end={
            <>
              {row.edited && <span className="text-xs text-quiet"> (edited)</span>}
              {author.id === me && !told && <ReadMark seq={seq} at={row.at} />}
            </>
          }
        />
        <Reactions seq={seq} reactions={row.reactions} />
        {told && <ReadBy seq={seq} at={row.at} />}
      </Spoken>
    </div>
  )
}
