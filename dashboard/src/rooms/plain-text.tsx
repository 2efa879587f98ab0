import { OutsideLink } from '../ui/outside-link.tsx'
import { splitLinks } from './split-links.ts'

/** What a person wrote, as it was written; addresses become links. */
export function PlainText({ text }: { text: string }) {
  return (
    <p className="whitespace-pre-wrap [overflow-wrap:anywhere]">
      {splitLinks(text).map((part, at) =>
        part.link ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never move.
          <OutsideLink key={at} href={part.text} className="text-accent-text underline underline-offset-2">
            {part.text}
          </OutsideLink>
        ) : (
          part.text
        ),
      )}
    </p>
  )
}
