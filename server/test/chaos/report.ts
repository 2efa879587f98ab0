import type { Violation } from './checker.ts'
import type { Outcome } from './run.ts'

const mostShown = 12
const mostEvidence = 8

/** What a person is told in the end. */
export function reportOf(outcome: Outcome, command: string): string {
  const { figures, violations } = outcome
  const lines = [
    `${figures.publishes} published · ${figures.acks} acknowledged · ${figures.deliveries} deliveries · ${figures.changes} changes · ${figures.readings} readings · ${figures.faults} faults · ${figures.reconnects} reconnects · ${figures.trespasses} trespasses`,
    `${figures.answersFollowed} answers followed as they were written, ${figures.answersWhole} of them to the last byte · longest gap ${(figures.longestGapMs / 1_000).toFixed(1)} s · ${figures.seconds} s`,
    `The nemesis struck: ${[...figures.nemesis].map(([fault, { due, struck }]) => `${fault.replace('_', ' ')} ${struck} of ${due}`).join(' · ')}`,
    violations.length === 0
      ? 'Nothing acknowledged was lost, doubled or reordered; everybody has everything, and nobody has what is not theirs.'
      : `${violations.length} promises were not kept:`,
    ...byRule(violations),
    ...(outcome.file === undefined ? [] : [`The whole history: ${outcome.file}`]),
    `Again: ${command}`,
  ]
  return lines.join('\n')
}

function byRule(violations: readonly Violation[]): string[] {
  const rules = new Map<string, Violation[]>()
  for (const violation of violations) {
    const others = rules.get(violation.rule)
    if (others === undefined) rules.set(violation.rule, [violation])
    else others.push(violation)
  }
  return [...rules].flatMap(([rule, found]) => [
    `- ${rule}: ${found.length}`,
    ...found
      .slice(0, Math.ceil(mostShown / rules.size))
      .flatMap(({ sentence, evidence }) => [
        `    ${sentence}`,
        ...evidence.slice(0, mostEvidence).map((line) => `      ${shortened(JSON.stringify(line))}`),
      ]),
  ])
}

function shortened(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}
