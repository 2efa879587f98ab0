import { type NewBlock, type PropertyValue, roadmapSchema } from './notion-data.ts'
import { personByNotionId } from './notion-ids.ts'
import { at } from './notion-query.ts'

/** What a body sets on a page; `problem` says what is wrong with it. */
export interface PageFields {
  readonly title: string | undefined
  readonly values: Readonly<Record<string, PropertyValue>>
}

export type Parsed<T> = { readonly value: T } | { readonly problem: string }

const longest = 2000

export function pageFieldsFrom(properties: unknown, row: boolean): Parsed<PageFields> {
  if (properties === undefined) return { value: { title: undefined, values: {} } }
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) {
    return { problem: 'body failed validation: body.properties should be an object.' }
  }
  let title: string | undefined
  const values: Record<string, PropertyValue> = {}
  for (const [given, value] of Object.entries(properties)) {
    const isTitle = given === 'title' || (row && given === 'Name')
    if (isTitle) {
      const text = textFrom(Array.isArray(value) ? value : at(value, 'title'))
      if ('problem' in text) return text
      title = text.value
      continue
    }
    const found = row
      ? Object.entries(roadmapSchema).find(([name, { id }]) => name === given || id === given)
      : undefined
    if (found === undefined) return { problem: `${given} is not a property that exists.` }
    const [name, schema] = found
    const sent = at(value, schema.type)
    if (sent === undefined) return { problem: `${name} is expected to be ${schema.type}.` }
    switch (schema.type) {
      case 'title':
      case 'rich_text': {
        const text = textFrom(sent)
        if ('problem' in text) return text
        values[name] = text.value
        break
      }
      case 'status': {
        const option = at(sent, 'name')
        if (!schema.options?.some((each) => each.name === option)) {
          return { problem: `Invalid status option. Status option "${String(option)}" does not exist".` }
        }
        values[name] = String(option)
        break
      }
      case 'select':
        // An option nobody has used yet comes into being.
        values[name] = sent === null ? undefined : String(at(sent, 'name'))
        break
      case 'people': {
        const ids = (Array.isArray(sent) ? sent : []).map((each: unknown) => String(at(each, 'id')))
        if (ids.some((id) => personByNotionId(id) === undefined)) {
          return { problem: `${name} names a user who is not in the workspace.` }
        }
        values[name] = ids
        break
      }
      case 'date': {
        const start = at(sent, 'start')
        if (sent !== null && (typeof start !== 'string' || Number.isNaN(Date.parse(start)))) {
          return {
            problem: `body failed validation: body.properties.${name}.date.start should be a valid ISO 8601 date string.`,
          }
        }
        values[name] = typeof start === 'string' ? start : undefined
        break
      }
      case 'number':
        if (sent !== null && typeof sent !== 'number') return { problem: `${name} is expected to be number.` }
        values[name] = sent ?? undefined
        break
      case 'checkbox':
        values[name] = sent === true
        break
    }
  }
  return { value: { title, values } }
}

const written = [
  ...['paragraph', 'heading_1', 'heading_2', 'heading_3', 'bulleted_list_item'],
  ...['numbered_list_item', 'to_do', 'quote', 'divider'],
]

export function blocksFrom(children: unknown): Parsed<readonly NewBlock[]> {
  if (!Array.isArray(children))
    return { problem: 'body failed validation: body.children should be an array.' }
  if (children.length > 100) {
    return {
      problem: `body failed validation: body.children.length should be ≤ \`100\`, instead was \`${children.length}\`.`,
    }
  }
  const blocks: NewBlock[] = []
  for (const [index, child] of children.entries()) {
    const type = written.find((each) => at(child, each) !== undefined)
    if (type === undefined) {
      return {
        problem: `body failed validation: body.children[${index}] should be one of ${written.join(', ')}.`,
      }
    }
    const body = at(child, type)
    const text = type === 'divider' ? { value: '' } : textFrom(at(body, 'rich_text'))
    if ('problem' in text) return text
    blocks.push({ type, text: text.value, checked: at(body, 'checked') === true })
  }
  return { value: blocks }
}

/** The plain text of a list of rich text objects. */
export function textFrom(value: unknown): Parsed<string> {
  if (!Array.isArray(value)) return { problem: 'body failed validation: rich text should be an array.' }
  const parts = value.map((part: unknown) => at(at(part, 'text'), 'content'))
  for (const part of parts) {
    if (typeof part !== 'string')
      return { problem: 'body failed validation: text.content should be a string.' }
    if (part.length > longest) {
      return {
        problem: `body failed validation: text.content.length should be ≤ \`${longest}\`, instead was \`${part.length}\`.`,
      }
    }
  }
  return { value: parts.join('') }
}
