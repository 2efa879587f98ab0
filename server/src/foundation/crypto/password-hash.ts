import { availableParallelism } from 'node:os'
import { type Algorithm, hash, verify } from '@node-rs/argon2'
import { Places } from '#foundation/places.ts'
import { Secret } from '#foundation/secret.ts'

/** Argon2id as OWASP's Password Storage Cheat Sheet recommends it: 19 MiB, two passes, one lane. */
const cost = { algorithm: 2 as Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** NIST SP 800-63B-4 3.1.1.2 asks for 15 characters for a password alone; 12 with a strength estimate is Atom's floor. */
export const shortestPassword = 12
/** What the estimate looks at: its time grows with the square of the length. */
const estimatedCharacters = 100
/** zxcvbn's "safely unguessable": more than 10^8 guesses. */
const leastScore = 3

/**
 * Hashing occupies a thread of the pool that files and DNS share, for some 10 ms and 19 MiB: only so many at once, and a
 * flood of sign-ins is refused as `busy` before it starves everything else.
 */
const slots = new Places({
  size: Math.max(1, Math.min(2, availableParallelism() - 1)),
  maxWaiting: 200,
  timeoutMs: 5_000,
})

/** The PHC string (`$argon2id$…`) to store. Throws `busy` when too many are being hashed. */
export async function hashPassword(password: Secret | string): Promise<string> {
  return await inSlot(() => hash(plain(password), cost))
}

/**
 * Whether the password is the hashed one. Without a hash (nobody has this e-mail) it takes as long and answers no, so that
 * the time does not tell who has an account.
 */
export async function verifyPassword(
  hashed: string | undefined,
  password: Secret | string,
): Promise<boolean> {
  const right = await inSlot(async () => verify(hashed ?? (await standIn()), plain(password)))
  return right && hashed !== undefined
}

/**
 * Whether a password is shorter than 12 characters, common, made of such parts, or made of what everybody knows about the
 * person. Judged by zxcvbn (Wheeler, USENIX Security 2016) with its list of leaked passwords.
 */
export async function isWeak(
  password: Secret | string,
  person: { readonly email?: string; readonly name?: string } = {},
): Promise<boolean> {
  const text = plain(password)
  if ([...text].length < shortestPassword) return true
  const mailbox = squeezed((person.email ?? '').split('@')[0] ?? '')
  if (mailbox.length >= 4 && squeezed(text).includes(mailbox)) return true
  const estimate = await estimator()
  return estimate.check(text.slice(0, estimatedCharacters), knownWords(person)).score < leastScore
}

/** Without what people put between words: "Marie.Curie" and "mariecurie" are one. */
function squeezed(text: string): string {
  return text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
}

function knownWords(person: { readonly email?: string; readonly name?: string }): string[] {
  const [local = '', domain = ''] = (person.email ?? '').toLowerCase().split('@')
  const words = [local, domain, ...local.split(/[^\p{L}\p{N}]+/u), ...domain.split('.').slice(0, -1)]
  const names = (person.name ?? '').toLowerCase().split(/\s+/)
  return [...new Set([...words, ...names, 'atom'])].filter((word) => word !== '')
}

/** The dictionary takes 25 MB and is needed when a password is chosen, which is rare: loaded then. */
let estimating: ReturnType<typeof loadEstimator> | undefined
function estimator(): ReturnType<typeof loadEstimator> {
  estimating ??= loadEstimator()
  return estimating
}

async function loadEstimator() {
  const [{ ZxcvbnFactory }, { adjacencyGraphs, dictionary }] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
  ])
  return new ZxcvbnFactory({ graphs: adjacencyGraphs, dictionary })
}

let standInHash: Promise<string> | undefined
function standIn(): Promise<string> {
  standInHash ??= hash('nobody has this password', cost)
  return standInHash
}

/** One password, typed on two keyboards, is one text: NFKC, as NIST SP 800-63B-4 3.1.1.2 asks. */
function plain(password: Secret | string): string {
  return (password instanceof Secret ? password.reveal() : password).normalize('NFKC')
}

async function inSlot<T>(work: () => Promise<T>): Promise<T> {
  await slots.take()
  try {
    return await work()
  } finally {
    slots.give()
  }
}
