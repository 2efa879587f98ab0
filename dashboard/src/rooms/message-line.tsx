import type { Actor } from '@atom/contract/rooms.ts'
import { MarkdownLine } from '../ui/markdown.tsx'

/** More than any place for a line has room for. */
const longest = 300

/** What a message says, for a place where it is named and not read: agents write Markdown, and its marks say nothing there. */
export function MessageLine({ message: { actor, text } }: { message: { actor: Actor; text: string } }) {
  const line = text.slice(0, longest)
  return actor.kind === 'agent' ? <MarkdownLine text={line} /> : line
}
