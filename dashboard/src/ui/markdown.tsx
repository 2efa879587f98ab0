import { lazy, memo, Suspense } from 'react'

/** Apart from the first load: the parser is a fifth of the page and is needed only once there is an answer to show. */
const MarkdownText = lazy(async () => ({ default: (await import('./markdown-text.tsx')).MarkdownText }))

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
  return (
    <Suspense fallback={<p className="whitespace-pre-wrap">{text}</p>}>
      <MarkdownText text={text} growing={growing} />
    </Suspense>
  )
})
