import type { Effects } from '../effects.ts'
import { type Person, personByKey } from '../people.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { Collection, SandboxStore } from '../sandbox-store.ts'
import { seedProjects } from './asana-seed.ts'

export interface Project {
  readonly gid: string
  readonly name: string
  readonly notes: string
  /** A person's key. */
  readonly owner: string
  readonly color: string
  readonly createdAt: string
}

export interface Section {
  readonly gid: string
  readonly name: string
  readonly project: string
}

export interface Task {
  readonly gid: string
  readonly name: string
  readonly notes: string
  /** A person's key. */
  readonly assignee: string | null
  readonly completed: boolean
  readonly completedAt: string | null
  /** A day, `2026-11-23`. */
  readonly dueOn: string | null
  readonly projects: readonly string[]
  readonly sections: readonly string[]
  readonly parent: string | null
  readonly createdBy: string
  readonly createdAt: string
  readonly modifiedAt: string
  readonly deleted: boolean
}

export interface Story {
  readonly gid: string
  readonly task: string
  readonly author: string
  readonly text: string
  readonly createdAt: string
}

export type TaskFields = Pick<
  Task,
  'name' | 'notes' | 'assignee' | 'completed' | 'dueOn' | 'projects' | 'sections' | 'parent'
>

const day = 86_400_000

/** The one workspace: projects with sections, tasks and what was said about them. */
export class AsanaData {
  readonly #store: SandboxStore
  readonly #clock: SandboxClock
  readonly #effects: Effects
  readonly #projects: Collection<Project>
  readonly #sections: Collection<Section>
  readonly #tasks: Collection<Task>
  readonly #stories: Collection<Story>

  constructor(dependencies: { store: SandboxStore; clock: SandboxClock; effects: Effects }) {
    this.#store = dependencies.store
    this.#clock = dependencies.clock
    this.#effects = dependencies.effects
    this.#projects = this.#store.collection('asana', 'project')
    this.#sections = this.#store.collection('asana', 'section')
    this.#tasks = this.#store.collection('asana', 'task')
    this.#stories = this.#store.collection('asana', 'story')
    if (this.#projects.list().length === 0) this.seed()
  }

  projects(): Project[] {
    return this.#projects.list()
  }

  project(gid: string): Project | undefined {
    return this.#projects.get(gid)
  }

  sectionsOf(project: string): Section[] {
    return this.#sections.list().filter((section) => section.project === project)
  }

  section(gid: string): Section | undefined {
    return this.#sections.get(gid)
  }

  tasks(): Task[] {
    return this.#tasks.list().filter(({ deleted }) => !deleted)
  }

  task(gid: string): Task | undefined {
    const task = this.#tasks.get(gid)
    return task?.deleted === false ? task : undefined
  }

  storiesOf(task: string): Story[] {
    return this.#stories.list().filter((story) => story.task === task)
  }

  createTask(person: Person, fields: TaskFields): Task {
    const now = this.#clock.now().toISOString()
    const task: Task = {
      ...fields,
      gid: this.#gid(),
      completedAt: fields.completed ? now : null,
      createdBy: person.key,
      createdAt: now,
      modifiedAt: now,
      deleted: false,
    }
    this.#keep('task.created', person, task)
    return task
  }

  changeTask(person: Person, task: Task, fields: Partial<TaskFields>): Task {
    const now = this.#clock.now().toISOString()
    const completed = fields.completed ?? task.completed
    const changed: Task = {
      ...task,
      ...fields,
      completedAt: completed ? (task.completedAt ?? now) : null,
      modifiedAt: now,
    }
    this.#keep('task.changed', person, changed)
    return changed
  }

  deleteTask(person: Person, task: Task): void {
    this.#keep('task.deleted', person, { ...task, deleted: true })
  }

  comment(person: Person, task: Task, text: string): Story {
    const story: Story = {
      gid: this.#gid(),
      task: task.gid,
      author: person.key,
      text,
      createdAt: this.#clock.now().toISOString(),
    }
    this.#store.transaction(() => {
      this.#stories.put(story.gid, story)
      this.#effects.add({
        provider: 'asana',
        kind: 'comment.created',
        person: person.email,
        target: task.gid,
        title: text,
      })
    })
    return story
  }

  /** The first day again. */
  seed(): void {
    const now = this.#clock.now().getTime()
    this.#store.transaction(() => {
      for (const each of [this.#projects, this.#sections, this.#tasks, this.#stories]) each.clear()
      this.#store.keepSetting('asana.lastGid', '1204700000000000')
      for (const seed of seedProjects) {
        const project = this.#gid()
        const { name, notes, owner, color } = seed
        const createdAt = new Date(now - 60 * day).toISOString()
        this.#projects.put(project, { gid: project, name, notes, owner, color, createdAt })
        const sections = new Map(seed.sections.map((section) => [section, this.#gid()]))
        for (const [section, gid] of sections) this.#sections.put(gid, { gid, name: section, project })
        for (const task of seed.tasks) {
          const gid = this.#gid()
          const at = new Date(now - task.ageDays * day).toISOString()
          const section = sections.get(task.section)
          this.#tasks.put(gid, {
            gid,
            name: task.name,
            notes: task.notes ?? '',
            assignee: task.assignee ?? null,
            completed: task.completed === true,
            completedAt: task.completed === true ? at : null,
            dueOn:
              task.dueDays === undefined
                ? null
                : new Date(now + task.dueDays * day).toISOString().slice(0, 10),
            projects: [project],
            sections: section === undefined ? [] : [section],
            parent: null,
            createdBy: owner,
            createdAt: at,
            modifiedAt: at,
            deleted: false,
          })
          for (const [author, text] of task.comments ?? []) {
            const story = this.#gid()
            this.#stories.put(story, {
              gid: story,
              task: gid,
              author: personByKey(author)?.key ?? owner,
              text,
              createdAt: new Date(now - (task.ageDays * day) / 2).toISOString(),
            })
          }
        }
      }
    })
  }

  #keep(kind: string, person: Person, task: Task): void {
    this.#store.transaction(() => {
      this.#tasks.put(task.gid, task)
      this.#effects.add({ provider: 'asana', kind, person: person.email, target: task.gid, title: task.name })
    })
  }

  // Numbers of sixteen digits, rising, as Asana's are: text, because JavaScript's numbers end before they do.
  #gid(): string {
    const next = String(BigInt(this.#store.setting('asana.lastGid') ?? '1204700000000000') + 7n)
    this.#store.keepSetting('asana.lastGid', next)
    return next
  }
}
