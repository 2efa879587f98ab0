import { type ComponentProps, isValidElement, type ReactNode } from 'react'
import ReactMarkdown, { type Components } from 'react-markdown'
import remarkGfm from 'remark-gfm'
import remend from 'remend'
import { CopyButton } from './copy-button.tsx'
import { OutsideLink } from './outside-link.tsx'

const plugins = [remarkGfm]

/**
 * Text of a model or of a stranger, so: raw HTML is shown as text, nothing is loaded from elsewhere (an image becomes a link
 * to it: a picture's address can carry data out), and every link shows where it leads.
 */
const components: Components = {
  a: ({ href, children }) => <OutsideLink href={href}>{children}</OutsideLink>,
  img: ({ src, alt }) => (
    <OutsideLink href={typeof src === 'string' ? src : undefined}>
      {alt === undefined || alt === '' ? 'Picture' : `Picture: ${alt}`}
    </OutsideLink>
  ),
  pre: CodeBlock,
  table: ({ children }) => (
    // A wide table scrolls by itself, so it must be reachable by keyboard.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
    <figure tabIndex={0} aria-label="Table" className="overflow-x-auto">
      <table>{children}</table>
    </figure>
  ),
  input: ({ checked }) => (
    <input
      type="checkbox"
      checked={checked === true}
      readOnly
      disabled
      aria-label={checked === true ? 'Done' : 'Open'}
      className="mr-1.5"
    />
  ),
}

/** Only what is open at the end is closed: nothing that stays may look otherwise when the text is complete. */
const closing = {
  linkMode: 'text-only',
  katex: false,
  htmlTags: false,
  singleTilde: false,
  comparisonOperators: false,
} as const

/** The words alone, as one run of text; what is cut off in the midst of a mark is closed. */
export function MarkdownLineText({ text }: { text: string }) {
  return (
    <ReactMarkdown remarkPlugins={plugins} allowedElements={[]} unwrapDisallowed>
      {remend(text, closing)}
    </ReactMarkdown>
  )
}

export function MarkdownText({ text, growing }: { text: string; growing: boolean }) {
  return (
    <div className="prose min-w-0">
      <ReactMarkdown remarkPlugins={plugins} components={components}>
        {growing ? remend(text, closing) : text}
      </ReactMarkdown>
    </div>
  )
}

function CodeBlock({ children }: ComponentProps<'pre'>) {
  const code = textOf(children).replace(/\n$/, '')
  const language = languageOf(children)
  return (
    <div className="overflow-hidden rounded-card border border-line bg-panel">
      <div className="flex h-8 items-center justify-between border-b border-line pr-1 pl-3 text-xs text-quiet pointer-coarse:h-11">
        <span className="font-mono">{language ?? 'text'}</span>
        <CopyButton text={code} what="code" />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long line scrolls by itself, so it must be reachable by keyboard. */}
      <pre tabIndex={0} className="overflow-x-auto p-3 font-mono text-sm">
        {code}
      </pre>
    </div>
  )
}

function textOf(node: ReactNode): string {
  if (typeof node === 'string') return node
  if (Array.isArray(node)) return node.map(textOf).join('')
  if (isValidElement<{ children?: ReactNode }>(node)) return textOf(node.props.children)
  return ''
}

function languageOf(node: ReactNode): string | undefined {
  if (!isValidElement<{ className?: string }>(node)) return undefined
  return /language-(\S+)/.exec(node.props.className ?? '')?.[1]
}
