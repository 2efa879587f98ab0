import { randomUUID } from 'node:crypto'
import type { Effects } from '../effects.ts'
import type { Person } from '../people.ts'
import { personByKey } from '../people.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { Collection, SandboxStore } from '../sandbox-store.ts'
import { idOf, notionUserId } from './notion-ids.ts'
import { type SeedPage, seedPlans, seedRoots } from './notion-seed.ts'

/** What a property holds: text of a title, a number, a tick, a day, the name of an option, user ids of people. */
export type PropertyValue = string | number | boolean | readonly string[] | undefined

export type PropertyType =
  | 'title'
  | 'rich_text'
  | 'status'
  | 'select'
  | 'people'
  | 'date'
  | 'number'
  | 'checkbox'

export interface PropertySchema {
  readonly id: string
  readonly type: PropertyType
  /** Status and select only. */
  readonly options?: readonly { readonly name: string; readonly color: string }[]
}

/** The one database of the workspace; since version 2025-09-03 its rows belong to its data source. */
export const roadmap = {
  id: idOf('database roadmap'),
  dataSourceId: idOf('data source roadmap'),
  title: 'Plans',
  parent: idOf('page roadmap'),
  root: 'roadmap',
  schema: {
    Name: { id: 'title', type: 'title' },
    Status: {
      id: 'stat',
      type: 'status',
      options: [
        { name: 'Planned', color: 'gray' },
        { name: 'In progress', color: 'blue' },
        { name: 'Shipped', color: 'green' },
      ],
    },
    Priority: {
      id: 'prio',
      type: 'select',
      options: [
        { name: 'High', color: 'red' },
        { name: 'Medium', color: 'yellow' },
        { name: 'Low', color: 'gray' },
      ],
    },
    Owner: { id: 'ownr', type: 'people' },
    Due: { id: 'due_', type: 'date' },
    Effort: { id: 'efrt', type: 'number' },
    Notes: { id: 'note', type: 'rich_text' },
    Announced: { id: 'anno', type: 'checkbox' },
  } satisfies Readonly<Record<string, PropertySchema>>,
} as const

export const roadmapSchema: Readonly<Record<string, PropertySchema>> = roadmap.schema

export interface NotionPage {
  readonly id: string
  /** A page's id; undefined at the top of the workspace; the row of the roadmap where `row` is true. */
  readonly parent: string | undefined
  readonly row: boolean
  /** Key of the page at the top that it lies below. */
  readonly root: string
  readonly title: string
  readonly icon: string | undefined
  /** Of a row, besides its title. */
  readonly values: Readonly<Record<string, PropertyValue>>
  readonly createdAt: string
  readonly createdBy: string
  readonly editedAt: string
  readonly editedBy: string
  readonly inTrash: boolean
}

export interface NotionBlock {
  readonly id: string
  /** The page or block it lies in. */
  readonly parent: string
  /** The page it lies on. */
  readonly page: string
  readonly type: string
  readonly text: string
  readonly checked: boolean
  readonly createdAt: string
  readonly editedAt: string
  readonly author: string
  readonly inTrash: boolean
}

export interface NewBlock {
  readonly type: string
  readonly text: string
  readonly checked: boolean
}

export interface NewPage {
  readonly parent: string
  readonly row: boolean
  readonly title: string
  readonly icon: string | undefined
  readonly values: Readonly<Record<string, PropertyValue>>
}

const day = 86_400_000

/** Pages, the rows of the one database, and what stands on them. */
export class NotionData {
  readonly #store: SandboxStore
  readonly #clock: SandboxClock
  readonly #effects: Effects
  readonly #pages: Collection<NotionPage>
  readonly #blocks: Collection<NotionBlock>

  constructor(dependencies: { store: SandboxStore; clock: SandboxClock; effects: Effects }) {
    this.#store = dependencies.store
    this.#clock = dependencies.clock
    this.#effects = dependencies.effects
    this.#pages = this.#store.collection('notion', 'page')
    this.#blocks = this.#store.collection('notion', 'block')
    if (this.#pages.list().length === 0) this.seed()
  }

  pages(): NotionPage[] {
    return this.#pages.list()
  }

  page(id: string): NotionPage | undefined {
    return this.#pages.get(id)
  }

  block(id: string): NotionBlock | undefined {
    return this.#blocks.get(id)
  }

  /** In the order they stand. */
  blocksOf(parent: string): NotionBlock[] {
    return this.#blocks.list().filter((block) => block.parent === parent && !block.inTrash)
  }

  childPages(parent: string): NotionPage[] {
    return this.#pages.list().filter((page) => page.parent === parent && !page.row && !page.inTrash)
  }

  createPage(person: Person, root: string, fields: NewPage, children: readonly NewBlock[]): NotionPage {
    const now = this.#clock.now().toISOString()
    const by = notionUserId(person)
    const page: NotionPage = {
      ...fields,
      id: randomUUID(),
      root,
      createdAt: now,
      createdBy: by,
      editedAt: now,
      editedBy: by,
      inTrash: false,
    }
    this.#store.transaction(() => {
      this.#pages.put(page.id, page)
      for (const child of children) this.#addBlock(person, page.id, page.id, child, now)
      this.#effect('page.created', person, page.id, page.title)
    })
    return page
  }

  changePage(
    person: Person,
    page: NotionPage,
    fields: Partial<Pick<NotionPage, 'title' | 'icon' | 'values' | 'inTrash'>>,
  ): NotionPage {
    const changed: NotionPage = {
      ...page,
      ...fields,
      values: { ...page.values, ...fields.values },
      editedAt: this.#clock.now().toISOString(),
      editedBy: notionUserId(person),
    }
    this.#store.transaction(() => {
      this.#pages.put(page.id, changed)
      const kind = fields.inTrash === true ? 'page.trashed' : 'page.changed'
      this.#effect(kind, person, page.id, changed.title)
    })
    return changed
  }

  appendBlocks(
    person: Person,
    page: NotionPage,
    parent: string,
    children: readonly NewBlock[],
  ): NotionBlock[] {
    const now = this.#clock.now().toISOString()
    return this.#store.transaction(() => {
      const added = children.map((child) => this.#addBlock(person, page.id, parent, child, now))
      this.#pages.put(page.id, { ...page, editedAt: now, editedBy: notionUserId(person) })
      this.#effect('blocks.appended', person, page.id, children.map(({ text }) => text).join('\n'))
      return added
    })
  }

  changeBlock(
    person: Person,
    block: NotionBlock,
    fields: Partial<Pick<NotionBlock, 'text' | 'checked' | 'inTrash'>>,
  ): NotionBlock {
    const changed = { ...block, ...fields, editedAt: this.#clock.now().toISOString() }
    this.#store.transaction(() => {
      this.#blocks.put(block.id, changed)
      this.#effect(
        fields.inTrash === true ? 'block.trashed' : 'block.changed',
        person,
        block.id,
        changed.text,
      )
    })
    return changed
  }

  /** The first day again. */
  seed(): void {
    const now = this.#clock.now().getTime()
    this.#store.transaction(() => {
      this.#pages.clear()
      this.#blocks.clear()
      for (const [index, root] of seedRoots.entries()) {
        this.#seedPage(root, root.key, undefined, now - (30 - index) * day)
      }
      for (const [index, plan] of seedPlans.entries()) {
        const owner = personByKey(plan.owner)
        this.#pages.put(
          idOf(`plan ${plan.name}`),
          seeded(idOf(`plan ${plan.name}`), 'roadmap', roadmap.parent, now - (20 - index) * day, plan.owner, {
            row: true,
            title: plan.name,
            icon: undefined,
            values: {
              Status: plan.status,
              Priority: plan.priority,
              Owner: owner === undefined ? [] : [notionUserId(owner)],
              Due: new Date(now + plan.due * day).toISOString().slice(0, 10),
              Effort: plan.effort,
              Notes: plan.notes,
              Announced: plan.status === 'Shipped',
            },
          }),
        )
      }
    })
  }

  #seedPage(seed: SeedPage, root: string, parent: string | undefined, at: number): void {
    const id = idOf(`page ${seed.key}`)
    this.#pages.put(
      id,
      seeded(id, root, parent, at, seed.author, {
        row: false,
        title: seed.title,
        icon: seed.icon,
        values: {},
      }),
    )
    for (const [index, [type, text, checked = false]] of seed.blocks.entries()) {
      const blockId = idOf(`block ${seed.key} ${index}`)
      const time = new Date(at).toISOString()
      this.#blocks.put(blockId, {
        id: blockId,
        parent: id,
        page: id,
        type,
        text,
        checked,
        createdAt: time,
        editedAt: time,
        author: userIdOf(seed.author),
        inTrash: false,
      })
    }
    for (const [index, child] of (seed.children ?? []).entries()) {
      this.#seedPage(child, root, id, at + (index + 1) * day)
    }
  }

  #addBlock(person: Person, page: string, parent: string, block: NewBlock, now: string): NotionBlock {
    const added: NotionBlock = {
      ...block,
      id: randomUUID(),
      parent,
      page,
      createdAt: now,
      editedAt: now,
      author: notionUserId(person),
      inTrash: false,
    }
    this.#blocks.put(added.id, added)
    return added
  }

  #effect(kind: string, person: Person, target: string, title: string): void {
    this.#effects.add({ provider: 'notion', kind, person: person.email, target, title })
  }
}

function userIdOf(key: string): string {
  const person = personByKey(key)
  return person === undefined ? '' : notionUserId(person)
}

function seeded(
  id: string,
  root: string,
  parent: string | undefined,
  at: number,
  author: string,
  fields: Pick<NotionPage, 'row' | 'title' | 'icon' | 'values'>,
): NotionPage {
  const time = new Date(at).toISOString()
  const by = userIdOf(author)
  return {
    ...fields,
    id,
    root,
    parent,
    createdAt: time,
    createdBy: by,
    editedAt: time,
    editedBy: by,
    inTrash: false,
  }
}
