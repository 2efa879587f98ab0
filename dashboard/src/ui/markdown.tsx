import { lazy, memo, Suspense } from 'react'

/** Apart from the first load: the parser is a fifth of the page and is needed only once there is an answer to show. */
const MarkdownText = lazy(async () => ({ default: (await import('./markdown-text.tsx')).MarkdownText }))

/** Untrusted Markdown. While the parser is on its way, the text as it is. */
export const Markdown = memo(function Markdown({ text }: { text: string }) {
  return (
    <Suspense fallback={<p className="whitespace-pre-wrap">{text}</p>}>
      <MarkdownText text={text} />
    </Suspense>
  )
})
