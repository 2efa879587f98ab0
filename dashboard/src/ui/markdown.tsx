import { memo } from 'react'
import { latePart } from './late-part.tsx'

interface MarkdownProps {
  text: string
  growing: boolean
}

/** Apart from the first load: the parser is a fifth of the page and is needed only once there is an answer to show. */
const MarkdownText = latePart<MarkdownProps>(
  async () => (await import('./markdown-text.tsx')).MarkdownText,
  ({ text }) => <p className="whitespace-pre-wrap">{text}</p>,
)

/** The words of Markdown without its marks, for a place that has one line. */
export const MarkdownLine = latePart<{ text: string }>(
  async () => (await import('./markdown-text.tsx')).MarkdownLineText,
  ({ text }) => text,
)

/**
 * Untrusted Markdown. While the parser is on its way, the text as it is.
 * @param growing its end is still to come: half a mark there is shown as what it will be, so that nothing jumps when the rest comes
 */
export const Markdown = memo(function Markdown({
  text,
  growing = false,
}: {
  text: string
  growing?: boolean
}) {
  return <MarkdownText text={text} growing={growing} />
})
