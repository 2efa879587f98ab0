import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Settings } from 'typebox/system'
import { AtomError, type FieldProblem } from '#foundation/errors.ts'
import { isStorable } from './strict-json.ts'

/** Which part of a request a schema judges; the prefix of its pointers. */
export type RequestPart = 'params' | 'query' | 'body'

/** Problems named in one answer; the first ones are what a person can use. */
const mostProblems = 20
/** Found by TypeBox for one value, over all alternatives of its schema. Its own bound would leave out whole alternatives. */
const mostErrors = 100
Settings.Set({ maxErrors: mostErrors })

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
  readonly schemaPath: string
  readonly instancePath: string
  readonly message: string
  readonly params: object
}

function problemsOf(errors: readonly SchemaError[], prefix: string): FieldProblem[] {
  const problems = new Map<string, FieldProblem>()
  const told = nearest(errors)
  for (const error of told) {
    for (const { pointer, detail } of spread(error, told)) {
      const whole = `${prefix}${pointer}`
      if (!problems.has(whole)) problems.set(whole, { pointer: whole, detail })
    }
    if (problems.size >= mostProblems) break
  }
  return [...problems.values()]
}

const alternative = /^(.*?)\/anyOf\/(\d+)/

/**
 * Of alternatives only what is wrong with the one that comes nearest is told: what the others miss would contradict it. Where several
 * are as near, all of theirs, and that one of them is enough.
 */
function nearest(errors: readonly SchemaError[]): SchemaError[] {
  const counts = new Map<string, number[]>()
  for (const error of errors) {
    const [, choice, one] = alternative.exec(error.schemaPath) ?? []
    if (choice === undefined) continue
    const of = counts.get(choice) ?? []
    // The word that tells alternatives apart weighs more than whatever is wrong within one.
    of[Number(one)] =
      (of[Number(one)] ?? 0) + (error.keyword === 'const' ? mostErrors : spread(error, []).length)
    counts.set(choice, of)
  }
  return errors.filter(({ keyword, schemaPath }) => {
    const [, choice = schemaPath, one] = alternative.exec(schemaPath) ?? []
    const of = counts.get(choice)
    if (of === undefined) return true
    const least = Math.min(...of.filter((count) => count !== undefined))
    if (one !== undefined) return of[Number(one)] === least
    return keyword !== 'anyOf' || of.filter((count) => count === least).length > 1
  })
}

/** A missing or unknown property is told at the property, not at the object around it. */
function spread(error: SchemaError, among: readonly SchemaError[]): FieldProblem[] {
  const { params } = error
  const at = (name: string) => `${error.instancePath}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
  if ('requiredProperties' in params && Array.isArray(params.requiredProperties))
    return params.requiredProperties.map((name) => ({ pointer: at(String(name)), detail: 'Is missing.' }))
  if ('additionalProperties' in params && Array.isArray(params.additionalProperties))
    return params.additionalProperties.map((name) => ({
      pointer: at(String(name)),
      detail: 'Is not known here.',
    }))
  return [{ pointer: error.instancePath, detail: sentence(error, among) }]
}

function sentence(error: SchemaError, among: readonly SchemaError[]): string {
  if (error.keyword === 'pattern') return 'Does not have the form that is asked for.'
  // No schema of ours is `false` but that of properties that it does not name.
  if (error.keyword === 'boolean') return 'Is not known here.'
  if (error.keyword === 'anyOf') return 'One of these forms is enough.'
  const words = wordsAt(error, among)
  if (words.size > 0) return `Must be ${[...words].join(' or ')}.`
  return `${error.message.charAt(0).toUpperCase()}${error.message.slice(1)}.`
}

/** Those that may stand there: each of several alternatives names its own. */
function wordsAt({ keyword, instancePath }: SchemaError, among: readonly SchemaError[]): Set<string> {
  if (keyword !== 'const' && keyword !== 'enum') return new Set()
  const words = among
    .filter((one) => one.keyword === keyword && one.instancePath === instancePath)
    .flatMap(({ params }) => {
      if ('allowedValues' in params && Array.isArray(params.allowedValues)) return params.allowedValues
      return 'allowedValue' in params ? [params.allowedValue] : []
    })
  return new Set(words.map((word) => JSON.stringify(word)))
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
