/** The trace in which something is done now, as W3C Trace Context writes it; undefined for none. */
export type TraceContext = () => string | undefined

const form = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/
const none: TraceContext = () => undefined

/**
 * What the application says of its trace. Nothing fails over it: what is no `traceparent` is left out, and what the
 * application throws stands in the console.
 */
export function traceContext(given: TraceContext | undefined): TraceContext {
  if (given === undefined) return none
  return () => {
    try {
      const traceparent = given()
      return traceparent !== undefined && form.test(traceparent) ? traceparent : undefined
    } catch (thrown) {
      console.error('Atom: the application could not say in which trace it is', thrown)
      return undefined
    }
  }
}
