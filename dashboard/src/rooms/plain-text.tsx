import type { ReactNode } from 'react'
import { classNames } from '../ui/class-names.ts'
import { OutsideLink } from '../ui/outside-link.tsx'
import { splitMentions } from './mentions.ts'
import { splitLinks } from './split-links.ts'

interface Named {
  readonly id: string
  readonly name: string
}

/** What a person wrote, as it was written, each line in the direction of its script; addresses become links, and members who are named stand out, I most. */
export function PlainText({
  text,
  named = [],
  me,
  end,
}: {
  text: string
  named?: readonly Named[]
  me?: string
  /** Stands after the last word. */
  end?: ReactNode
}) {
  return (
    <p className="whitespace-pre-wrap [overflow-wrap:anywhere] [unicode-bidi:plaintext]">
      {splitLinks(text).map((part, at) =>
        part.link ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never move.
          <OutsideLink key={at} href={part.text} className="text-accent-text underline underline-offset-2">
            {part.text}
          </OutsideLink>
        ) : named.length === 0 ? (
          part.text
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never move.
          <Mentions key={at} text={part.text} named={named} me={me} />
        ),
      )}
      {end}
    </p>
  )
}

function Mentions({ text, named, me }: { text: string; named: readonly Named[]; me: string | undefined }) {
  return splitMentions(text, named).map((part, at) =>
    part.id === undefined ? (
      part.text
    ) : (
      <span
        // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never move.
        key={at}
        className={classNames(
          'rounded px-0.5 font-medium',
          part.id === me ? 'bg-warn-wash text-warn ring-1 ring-warn-line' : 'bg-accent-wash text-accent-text',
        )}
      >
        {part.text}
      </span>
    ),
  )
}
