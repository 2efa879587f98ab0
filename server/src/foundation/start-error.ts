/**
 * Why Atom cannot start: one sentence for the person at the terminal, which names what to do next. `main.ts` prints the
 * message alone, without a stack; what lies beneath is in `cause`.
 */
export class StartError extends Error {
  override readonly name = 'StartError'

  constructor(sentence: string, circumstances: { readonly cause?: unknown } = {}) {
    super(sentence, circumstances.cause === undefined ? undefined : { cause: circumstances.cause })
  }
}
