import type { Effects } from '../effects.ts'
import { people } from '../people.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { Collection, SandboxStore } from '../sandbox-store.ts'
import { type Repository, seedIssues, seedRepositories } from './github-seed.ts'

export interface Issue {
  readonly id: number
  /** `owner/name` */
  readonly repository: string
  readonly number: number
  readonly title: string
  readonly body: string | null
  readonly state: 'open' | 'closed'
  readonly stateReason: 'completed' | 'not_planned' | 'reopened' | null
  readonly author: string
  readonly assignees: readonly string[]
  readonly labels: readonly string[]
  readonly createdAt: string
  readonly updatedAt: string
  readonly closedAt: string | null
  readonly closedBy: string | null
  readonly isPullRequest: boolean
}

export interface Comment {
  readonly id: number
  readonly repository: string
  readonly number: number
  readonly author: string
  readonly body: string
  readonly createdAt: string
  readonly updatedAt: string
}

export interface Label {
  readonly id: number
  readonly repository: string
  readonly name: string
  readonly color: string
  readonly description: string | null
}

export const organisation = { login: 'atom-labs', id: 90210042, name: 'Atom Labs' } as const

/** What GitHub holds: repositories, issues (pull requests are issues there, too), comments, labels. */
export class GithubData {
  readonly #store: SandboxStore
  readonly #clock: SandboxClock
  readonly #effects: Effects
  readonly repositories: Collection<Repository>
  readonly issues: Collection<Issue>
  readonly comments: Collection<Comment>
  readonly labels: Collection<Label>

  constructor(dependencies: { store: SandboxStore; clock: SandboxClock; effects: Effects }) {
    const { store } = dependencies
    this.#store = store
    this.#clock = dependencies.clock
    this.#effects = dependencies.effects
    this.repositories = store.collection('github', 'repository')
    this.issues = store.collection('github', 'issue')
    this.comments = store.collection('github', 'comment')
    this.labels = store.collection('github', 'label')
    if (this.repositories.list().length === 0) this.seed()
  }

  repository(owner: string, name: string): Repository | undefined {
    return this.repositories.get(`${owner}/${name}`.toLowerCase())
  }

  issue(repository: string, number: number): Issue | undefined {
    return this.issues.get(`${repository}#${number}`.toLowerCase())
  }

  issuesOf(repository: string): Issue[] {
    return this.issues.list().filter((issue) => issue.repository === repository)
  }

  commentsOf(issue: Issue): Comment[] {
    return this.comments
      .list()
      .filter(({ repository, number }) => repository === issue.repository && number === issue.number)
  }

  labelsOf(repository: string): Label[] {
    return this.labels.list().filter((label) => label.repository === repository)
  }

  isMember(login: string, repository: Repository): boolean {
    return repository.owner === login || repository.owner === organisation.login
  }

  createIssue(
    draft: Pick<Issue, 'repository' | 'title' | 'body' | 'author' | 'assignees' | 'labels'>,
  ): Issue {
    const now = this.now()
    const issue: Issue = {
      ...draft,
      id: nextId(this.issues, 2_600_000_000),
      number: 1 + Math.max(0, ...this.issuesOf(draft.repository).map(({ number }) => number)),
      state: 'open',
      stateReason: null,
      createdAt: now,
      updatedAt: now,
      closedAt: null,
      closedBy: null,
      isPullRequest: false,
    }
    this.#store.transaction(() => {
      for (const name of issue.labels) this.#ensureLabel(issue.repository, name)
      this.#keep(issue)
      this.#record('issue.created', issue, issue.author, issue.title)
    })
    return issue
  }

  changeIssue(issue: Issue, login: string, changes: Partial<Issue>): Issue {
    const changed: Issue = { ...issue, ...changes, updatedAt: this.now() }
    const turned = changed.state === 'closed' ? 'issue.closed' : 'issue.reopened'
    this.#store.transaction(() => {
      for (const name of changed.labels) this.#ensureLabel(changed.repository, name)
      this.#keep(changed)
      this.#record(changed.state === issue.state ? 'issue.changed' : turned, issue, login, changed.title)
    })
    return changed
  }

  addComment(issue: Issue, author: string, body: string): Comment {
    const now = this.now()
    const comment: Comment = {
      id: nextId(this.comments, 3_400_000_000),
      repository: issue.repository,
      number: issue.number,
      author,
      body,
      createdAt: now,
      updatedAt: now,
    }
    this.#store.transaction(() => {
      this.comments.put(String(comment.id), comment)
      this.#keep({ ...issue, updatedAt: now })
      this.#record('comment.created', issue, author, body)
    })
    return comment
  }

  /** The first day again. */
  seed(): void {
    const now = this.#clock.now().getTime()
    const daysAgo = (days: number) => new Date(now - days * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z')
    this.#store.transaction(() => {
      for (const collection of [this.repositories, this.issues, this.comments, this.labels])
        collection.clear()
      seedRepositories.forEach((seed, index) => {
        const { ageDays, pushedDays, ...repository } = seed
        this.repositories.put(`${seed.owner}/${seed.name}`, {
          ...repository,
          id: 810_000_100 + index,
          createdAt: daysAgo(ageDays),
          pushedAt: daysAgo(pushedDays),
        })
      })
      for (const seed of seedIssues) {
        const createdAt = daysAgo(seed.ageDays)
        const closedAt = seed.closedDays === undefined ? null : daysAgo(seed.closedDays)
        for (const name of seed.labels) this.#ensureLabel(seed.repository, name)
        const issue: Issue = {
          id: nextId(this.issues, 2_600_000_000),
          repository: seed.repository,
          number: seed.number,
          title: seed.title,
          body: seed.body ?? null,
          state: closedAt === null ? 'open' : 'closed',
          stateReason: closedAt === null ? null : 'completed',
          author: seed.author,
          assignees: seed.assignees,
          labels: seed.labels,
          createdAt,
          updatedAt: closedAt ?? daysAgo(seed.ageDays / 2),
          closedAt,
          closedBy: closedAt === null ? null : (seed.assignees[0] ?? seed.author),
          isPullRequest: seed.pullRequest === true,
        }
        this.#keep(issue)
        for (const [index, [author, body]] of (seed.comments ?? []).entries()) {
          const at = daysAgo(Math.max(0.1, seed.ageDays - 1 - index))
          const id = nextId(this.comments, 3_400_000_000)
          const { repository, number } = issue
          this.comments.put(String(id), {
            id,
            repository,
            number,
            author,
            body,
            createdAt: at,
            updatedAt: at,
          })
        }
      }
    })
  }

  #keep(issue: Issue): void {
    this.issues.put(`${issue.repository}#${issue.number}`.toLowerCase(), issue)
  }

  /** GitHub makes a label that is used for the first time. */
  #ensureLabel(repository: string, name: string): void {
    const key = `${repository}:${name}`.toLowerCase()
    if (this.labels.get(key) !== undefined) return
    const [color, description] = labelLooks[name] ?? ['ededed', null]
    this.labels.put(key, { id: nextId(this.labels, 7_100_000_000), repository, name, color, description })
  }

  #record(kind: string, issue: Issue, person: string, title: string): void {
    this.#effects.add({
      provider: 'github',
      kind,
      person,
      target: `${issue.repository}#${issue.number}`,
      title,
    })
  }

  /** As GitHub writes times: UTC, whole seconds. */
  now(): string {
    return this.#clock
      .now()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z')
  }
}

const labelLooks: Readonly<Record<string, readonly [color: string, description: string]>> = {
  bug: ['d73a4a', 'Something is not working'],
  enhancement: ['a2eeef', 'New feature or request'],
  documentation: ['0075ca', 'Improvements or additions to documentation'],
  'good first issue': ['7057ff', 'Good for newcomers'],
  question: ['d876e3', 'Further information is requested'],
  security: ['b60205', 'Touches authentication, secrets or permissions'],
  performance: ['fbca04', 'Slower than it should be'],
  accessibility: ['1d76db', 'Somebody cannot use it'],
}

function nextId(collection: Collection<{ readonly id: number }>, first: number): number {
  return Math.max(first, ...collection.list().map(({ id }) => id)) + 1
}

export function loginExists(login: string): boolean {
  return people.some(({ key }) => key === login.toLowerCase())
}
