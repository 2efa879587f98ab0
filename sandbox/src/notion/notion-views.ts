import {
  type NotionBlock,
  type NotionPage,
  type PropertySchema,
  type PropertyValue,
  roadmap,
  roadmapSchema,
} from './notion-data.ts'
import { personByNotionId } from './notion-ids.ts'
import { personView } from './notion-oauth.ts'

/** The versions of the API that a client may name: https://developers.notion.com/reference/versioning */
export const versions = ['2022-02-22', '2022-06-28', '2025-09-03', '2026-03-11'] as const
/** From here on a database is a shell around data sources. */
export const withDataSources = '2025-09-03'
/** From here on `archived` is called `in_trash` only. */
const withoutArchived = '2026-03-11'

export function richText(content: string): object[] {
  if (content === '') return []
  return [
    {
      type: 'text',
      text: { content, link: null },
      annotations: {
        bold: false,
        italic: false,
        strikethrough: false,
        underline: false,
        code: false,
        color: 'default',
      },
      plain_text: content,
      href: null,
    },
  ]
}

/** How one version of the API shows things; `url`: the sandbox's own, where pages can be looked at. */
export class NotionViews {
  readonly #version: string
  readonly #url: string

  constructor(version: string, url: string) {
    this.#version = version
    this.#url = url
  }

  get dataSources(): boolean {
    return this.#version >= withDataSources
  }

  page(page: NotionPage): object {
    return {
      object: 'page',
      id: page.id,
      created_time: page.createdAt,
      last_edited_time: page.editedAt,
      created_by: { object: 'user', id: page.createdBy },
      last_edited_by: { object: 'user', id: page.editedBy },
      cover: null,
      icon: page.icon === undefined ? null : { type: 'emoji', emoji: page.icon },
      parent: this.#parentOf(page),
      ...this.#trash(page.inTrash),
      properties: page.row
        ? Object.fromEntries(
            Object.entries(roadmapSchema).map(([name, schema]) => [
              name,
              this.property(schema, schema.type === 'title' ? page.title : page.values[name]),
            ]),
          )
        : { title: { id: 'title', type: 'title', title: richText(page.title) } },
      url: `${this.#url}/notion/${page.id.replaceAll('-', '')}`,
      public_url: null,
    }
  }

  property(schema: PropertySchema, value: PropertyValue): object {
    const { id, type } = schema
    const shown = (): unknown => {
      switch (type) {
        case 'title':
        case 'rich_text':
          return richText(String(value ?? ''))
        case 'status':
        case 'select':
          return typeof value === 'string' && value !== '' ? optionView(schema, value) : null
        case 'people':
          return (Array.isArray(value) ? value : []).map((each: unknown) => {
            const person = personByNotionId(String(each))
            return person === undefined ? { object: 'user', id: each } : personView(person, this.#url)
          })
        case 'date':
          return typeof value === 'string' ? { start: value, end: null, time_zone: null } : null
        case 'number':
          return typeof value === 'number' ? value : null
        case 'checkbox':
          return value === true
      }
    }
    return { id, type, [type]: shown() }
  }

  database(): object {
    return {
      object: 'database',
      id: roadmap.id,
      title: richText(roadmap.title),
      description: [],
      parent: { type: 'page_id', page_id: roadmap.parent },
      is_inline: true,
      ...this.#trash(false),
      icon: null,
      cover: null,
      url: `${this.#url}/notion/${roadmap.parent.replaceAll('-', '')}`,
      public_url: null,
      ...(this.dataSources
        ? { data_sources: [{ id: roadmap.dataSourceId, name: roadmap.title }] }
        : { properties: schemaView() }),
    }
  }

  dataSource(): object {
    return {
      object: 'data_source',
      id: roadmap.dataSourceId,
      title: richText(roadmap.title),
      description: [],
      parent: { type: 'database_id', database_id: roadmap.id },
      database_parent: { type: 'page_id', page_id: roadmap.parent },
      is_inline: true,
      ...this.#trash(false),
      icon: null,
      cover: null,
      properties: schemaView(),
      url: `${this.#url}/notion/${roadmap.parent.replaceAll('-', '')}`,
      public_url: null,
    }
  }

  block(block: NotionBlock, hasChildren: boolean): object {
    const body =
      block.type === 'divider'
        ? {}
        : {
            rich_text: richText(block.text),
            color: 'default',
            ...(block.type === 'to_do' ? { checked: block.checked } : undefined),
            ...(block.type.startsWith('heading_') ? { is_toggleable: false } : undefined),
          }
    return {
      ...this.#blockShell(block.id, block.createdAt, block.editedAt, block.author, hasChildren),
      parent:
        block.parent === block.page
          ? { type: 'page_id', page_id: block.page }
          : { type: 'block_id', block_id: block.parent },
      ...this.#trash(block.inTrash),
      type: block.type,
      [block.type]: body,
    }
  }

  /** A page as it stands among the blocks of another. */
  childPage(page: NotionPage, hasChildren: boolean): object {
    return {
      ...this.#blockShell(page.id, page.createdAt, page.editedAt, page.createdBy, hasChildren),
      parent:
        page.parent === undefined
          ? { type: 'workspace', workspace: true }
          : { type: 'page_id', page_id: page.parent },
      ...this.#trash(page.inTrash),
      type: 'child_page',
      child_page: { title: page.title },
    }
  }

  childDatabase(on: NotionPage): object {
    return {
      ...this.#blockShell(roadmap.id, on.createdAt, on.editedAt, on.createdBy, false),
      parent: { type: 'page_id', page_id: on.id },
      ...this.#trash(false),
      type: 'child_database',
      child_database: { title: roadmap.title },
    }
  }

  #blockShell(id: string, createdAt: string, editedAt: string, author: string, hasChildren: boolean) {
    return {
      object: 'block',
      id,
      created_time: createdAt,
      last_edited_time: editedAt,
      created_by: { object: 'user', id: author },
      last_edited_by: { object: 'user', id: author },
      has_children: hasChildren,
    }
  }

  #trash(inTrash: boolean): object {
    return this.#version >= withoutArchived ? { in_trash: inTrash } : { archived: inTrash, in_trash: inTrash }
  }

  #parentOf(page: NotionPage): object {
    if (page.row) {
      return this.dataSources
        ? { type: 'data_source_id', data_source_id: roadmap.dataSourceId, database_id: roadmap.id }
        : { type: 'database_id', database_id: roadmap.id }
    }
    return page.parent === undefined
      ? { type: 'workspace', workspace: true }
      : { type: 'page_id', page_id: page.parent }
  }
}

function optionView({ id, options = [] }: PropertySchema, name: string): object {
  const known = options.find((option) => option.name === name)
  return { id: `${id}-${name.toLowerCase().replaceAll(' ', '-')}`, name, color: known?.color ?? 'default' }
}

function schemaView(): object {
  return Object.fromEntries(
    Object.entries(roadmapSchema).map(([name, schema]) => {
      const { id, type, options } = schema
      const body =
        options === undefined ? {} : { options: options.map((each) => optionView(schema, each.name)) }
      return [name, { id, name, type, [type]: type === 'number' ? { format: 'number' } : body }]
    }),
  )
}
