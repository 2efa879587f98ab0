/** The quiet line over the message field: who is at work, who writes. Empty where there is nothing to say. */
export function presenceWords(presence: {
  typing: readonly string[]
  /** The agent that is answering. */
  working: string | undefined
  /** It waits for somebody's decision. */
  asking: boolean
}): string {
  const { typing, working, asking } = presence
  const said: string[] = []
  if (working !== undefined) said.push(asking ? `${working} waits for a decision` : `${working} is at work`)
  const [first, second] = typing
  if (typing.length > 2) said.push('several people are typing')
  else if (second !== undefined) said.push(`${first} and ${second} are typing`)
  else if (first !== undefined) said.push(`${first} is typing`)
  return said.join(' · ')
}
