import type { TSchema } from 'typebox'

interface Json {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Json[]
  readonly properties?: Readonly<Record<string, Json>>
  readonly patternProperties?: Readonly<Record<string, Json>>
  readonly required?: readonly string[]
  readonly items?: Json
  readonly format?: string
  readonly description?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly maxItems?: number
}

/** A schema as a person reads it: the shape as in TypeScript, limits and meanings as remarks. */
export function schemaText(schema: TSchema): string {
  return text(schema as Json, '')
}

function text(schema: Json, indent: string): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
  if (schema.anyOf !== undefined) return alternatives(schema.anyOf, indent)
  if (schema.type === 'array') return list(schema.items ?? {}, indent)
  if (schema.type === 'object') return object(schema, indent)
  return schema.type ?? 'any'
}

function alternatives(options: readonly Json[], indent: string): string {
  const texts = options.map((option) => text(option, indent))
  return texts.some((one) => one.includes('\n')) ? texts.join(`\n${indent}| `) : texts.join(' | ')
}

function list(items: Json, indent: string): string {
  const item = text(items, indent)
  return items.anyOf === undefined ? `${item}[]` : `(${item})[]`
}

function object(schema: Json, indent: string): string {
  const inner = `${indent}  `
  if (schema.patternProperties !== undefined) {
    const [value] = Object.values(schema.patternProperties)
    return `{ [key: string]: ${text(value ?? {}, indent)} }`
  }
  const required = new Set(schema.required ?? [])
  const lines = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const key = `${name}${required.has(name) ? '' : '?'}`
    const remark = remarkOf(property)
    return `${inner}${key}: ${text(property, inner)}${remark === '' ? '' : `  // ${remark}`}`
  })
  return lines.length === 0 ? '{}' : `{\n${lines.join('\n')}\n${indent}}`
}

function remarkOf(schema: Json): string {
  const { format, minimum, maximum, minLength, maxLength, maxItems, description } = schema
  const remarks = [
    format,
    minimum !== undefined && `at least ${minimum}`,
    maximum !== undefined && `at most ${maximum}`,
    minLength !== undefined && minLength > 1 && `at least ${minLength} characters`,
    maxLength !== undefined && `at most ${maxLength} characters`,
    maxItems !== undefined && `at most ${maxItems}`,
    description !== 'UUID' && description !== 'RFC 3339, UTC' && description,
  ]
  return remarks.filter((remark) => typeof remark === 'string').join(', ')
}
