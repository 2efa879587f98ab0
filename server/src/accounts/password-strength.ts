import { limits } from '@atom/contract/accounts.ts'
import type { ZxcvbnFactory } from '@zxcvbn-ts/core'
import { AtomError } from '#foundation/errors.ts'

/** Of 0 to 4: "safely unguessable: moderate protection from offline slow-hash scenario" (zxcvbn's scale). */
const enough = 3

let estimator: Promise<ZxcvbnFactory> | undefined

/** The lists are a megabyte in memory and needed when somebody chooses a password, which is seldom. */
async function loadEstimator(): Promise<ZxcvbnFactory> {
  const [{ ZxcvbnFactory }, { adjacencyGraphs, dictionary }] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
  ])
  return new ZxcvbnFactory({ dictionary, graphs: adjacencyGraphs, maxLength: limits.passwordMax })
}

/**
 * Length, and an estimate of how many guesses it withstands: common passwords, keyboard rows, repeats, dates, and what an
 * attacker knows of the person (`known`: name, e-mail, workspace) count for little. No rules about kinds of characters
 * (ASVS 5.0 6.2.1, 6.2.4, 6.2.5).
 *
 * @throws AtomError `weak_password` that says why
 */
export async function requireStrongPassword(password: string, known: readonly string[]): Promise<void> {
  if ([...password].length < limits.passwordMin)
    throw new AtomError(
      'weak_password',
      `Use at least ${limits.passwordMin} characters; a few unrelated words are easy to remember.`,
    )
  estimator ??= loadEstimator()
  const { score } = (await estimator).check(password, ['atom', ...known, ...known.flatMap(words)])
  if (score < enough)
    throw new AtomError(
      'weak_password',
      'This password is easy to guess. Use a few unrelated words, without your name or address.',
    )
}

function words(text: string): string[] {
  return text.split(/[^\p{L}\p{N}]+/u).filter((word) => word.length > 2)
}
