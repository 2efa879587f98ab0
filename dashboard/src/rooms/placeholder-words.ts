interface Other {
  readonly kind: string
  readonly name: string
}

/** What stands in the empty field. In company an agent answers only who names it, so it says how. */
export function placeholderWords(name: string, others: readonly Other[]): string {
  const agent = others.find(({ kind }) => kind === 'agent')
  const inCompany = others.some(({ kind }) => kind === 'account')
  return inCompany && agent !== undefined
    ? `Message ${name}. @${agent.name} asks the agent`
    : `Message ${name}`
}
