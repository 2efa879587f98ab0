import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { AtomError, type FieldProblem } from '#foundation/errors.ts'
import { isStorable } from './strict-json.ts'

/** Which part of a request a schema judges; the prefix of its pointers. */
export type RequestPart = 'params' | 'query' | 'body'

/** Problems named in one answer; the first ones are what a person can use. */
const mostProblems = 20

/**
 * A check of one part of a request, compiled once when the route is registered. Nothing is coerced in a body. In `params`
 * and `query`, where all values arrive as text, a canonical number becomes a number where the schema asks for one; a name
 * given twice is a problem, never a list. Unknown properties are problems where the schema is closed, never dropped.
 */
export function compileCheck<T>(schema: TSchema, part: RequestPart): (value: unknown) => T {
  const validator = Compile(schema)
  const prefix = part === 'body' ? '' : part
  const numbers = part === 'body' ? noNames : namesOfNumbers(schema)
  return (value) => {
    const candidate = part === 'body' ? value : fromText(value ?? {}, numbers, part)
    if (validator.Check(candidate)) return candidate as T
    throw new AtomError('validation_failed', undefined, {
      problems: problemsOf(validator.Errors(candidate), prefix),
    })
  }
}

interface SchemaError {
  readonly keyword: string
  readonly instancePath: string
  readonly message: string
  readonly params: object
}

function problemsOf(errors: readonly SchemaError[], prefix: string): FieldProblem[] {
  const problems = new Map<string, FieldProblem>()
  for (const error of errors) {
    for (const { pointer, detail } of spread(error)) {
      const whole = `${prefix}${pointer}`
      if (!problems.has(whole)) problems.set(whole, { pointer: whole, detail })
    }
    if (problems.size >= mostProblems) break
  }
  return [...problems.values()]
}

/** A missing or unknown property is told at the property, not at the object around it. */
function spread(error: SchemaError): FieldProblem[] {
  const { params } = error
  const at = (name: string) => `${error.instancePath}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
  if ('requiredProperties' in params && Array.isArray(params.requiredProperties))
    return params.requiredProperties.map((name) => ({ pointer: at(String(name)), detail: 'Is missing.' }))
  if ('additionalProperties' in params && Array.isArray(params.additionalProperties))
    return params.additionalProperties.map((name) => ({
      pointer: at(String(name)),
      detail: 'Is not known here.',
    }))
  return [{ pointer: error.instancePath, detail: sentence(error) }]
}

function sentence(error: SchemaError): string {
  if (error.keyword === 'pattern') return 'Does not have the form that is asked for.'
  return `${error.message.charAt(0).toUpperCase()}${error.message.slice(1)}.`
}

const noNames: ReadonlySet<string> = new Set()

function namesOfNumbers(schema: TSchema): ReadonlySet<string> {
  const properties: Readonly<Record<string, { type?: string }>> =
    'properties' in schema ? (schema.properties as Record<string, { type?: string }>) : {}
  const isNumber = ({ type }: { type?: string }) => type === 'integer' || type === 'number'
  return new Set(Object.entries(properties).flatMap(([name, property]) => (isNumber(property) ? [name] : [])))
}

/** What the router read, as it is where nothing of it is a number. */
function fromText(value: object, numbers: ReadonlySet<string>, part: RequestPart): object {
  const read = value as Record<string, unknown>
  for (const name in read) {
    const text = read[name]
    if (typeof text !== 'string') throw atName(part, name, 'Was given more than once.')
    if (!isStorable(text) || !isStorable(name))
      throw atName(part, name, 'Must be well-formed Unicode without NUL characters.')
    if (numbers.has(name)) read[name] = canonicalNumber(text) ?? text
  }
  return read
}

function canonicalNumber(text: string): number | undefined {
  const number = Number(text)
  return String(number) === text && Number.isFinite(number) ? number : undefined
}

function atName(part: RequestPart, name: string, detail: string): AtomError {
  return new AtomError('validation_failed', undefined, {
    problems: [{ pointer: `${part}/${name.toWellFormed().replaceAll('\0', '')}`, detail }],
  })
}
