import { people } from '../people.ts'
import { type Comment, type GithubData, type Issue, type Label, organisation } from './github-data.ts'
import { appLogin, githubApp } from './github-installations.ts'
import type { Repository } from './github-seed.ts'

/** The JSON of GitHub's REST API, version 2022-11-28, as far as the sandbox has it. */
export class GithubViews {
  readonly #data: GithubData
  readonly #url: () => string

  constructor(data: GithubData, url: () => string) {
    this.#data = data
    this.#url = url
  }

  get #api(): string {
    return `${this.#url()}/github/api`
  }

  get #site(): string {
    return `${this.#url()}/github`
  }

  /** A person, the organisation or the app, in short; null for nobody. */
  account(login: string | null) {
    if (login === appLogin) return this.#bot()
    const person = people.find(({ key }) => key === login)
    if (login === null || (person === undefined && login !== organisation.login)) return null
    const id = person?.githubId ?? organisation.id
    return {
      login,
      id,
      node_id: nodeId('U', id),
      avatar_url: `${this.#url()}/avatars/${login}.png`,
      gravatar_id: '',
      url: `${this.#api}/users/${login}`,
      html_url: `${this.#site}/${login}`,
      repos_url: `${this.#api}/users/${login}/repos`,
      type: person === undefined ? 'Organization' : 'User',
      user_view_type: 'public',
      site_admin: false,
    }
  }

  #bot() {
    return {
      login: appLogin,
      id: githubApp.id,
      node_id: nodeId('BOT', githubApp.id),
      avatar_url: `${this.#url()}/avatars/atom-labs.png`,
      gravatar_id: '',
      url: `${this.#api}/users/${encodeURIComponent(appLogin)}`,
      html_url: `${this.#site}/apps/${githubApp.slug}`,
      repos_url: `${this.#api}/users/${encodeURIComponent(appLogin)}/repos`,
      type: 'Bot',
      user_view_type: 'public',
      site_admin: false,
    }
  }

  /** The profile. GitHub leaves the e-mail null unless the person shows it. */
  profile(login: string) {
    const person = people.find(({ key }) => key === login)
    if (person === undefined) return undefined
    return {
      ...this.account(login),
      name: person.name,
      company: '@atom-labs',
      blog: '',
      location: person.location,
      email: person.githubEmailPublic ? person.email : null,
      hireable: null,
      bio: person.bio,
      twitter_username: null,
      public_repos: this.#data.repositories
        .list()
        .filter(({ owner, private: hidden }) => owner === login && !hidden).length,
      public_gists: 0,
      followers: 12,
      following: 7,
      created_at: '2019-03-11T09:12:44Z',
      updated_at: '2026-10-02T07:30:01Z',
    }
  }

  repository(repository: Repository, login: string | undefined) {
    const fullName = `${repository.owner}/${repository.name}`
    const member = login !== undefined && this.#data.isMember(login, repository)
    return {
      id: repository.id,
      node_id: nodeId('R', repository.id),
      name: repository.name,
      full_name: fullName,
      private: repository.private,
      owner: this.account(repository.owner),
      html_url: `${this.#site}/${fullName}`,
      description: repository.description,
      fork: false,
      url: `${this.#api}/repos/${fullName}`,
      issues_url: `${this.#api}/repos/${fullName}/issues{/number}`,
      labels_url: `${this.#api}/repos/${fullName}/labels{/name}`,
      created_at: repository.createdAt,
      updated_at: repository.pushedAt,
      pushed_at: repository.pushedAt,
      homepage: null,
      size: 2048,
      stargazers_count: repository.private ? 0 : 17,
      watchers_count: repository.private ? 0 : 17,
      language: repository.language,
      has_issues: true,
      has_projects: true,
      has_wiki: false,
      has_pages: false,
      forks_count: 0,
      archived: false,
      disabled: false,
      // GitHub counts open pull requests in, too.
      open_issues_count: this.#data.issuesOf(fullName).filter(({ state }) => state === 'open').length,
      license: null,
      topics: [],
      visibility: repository.private ? 'private' : 'public',
      default_branch: 'main',
      permissions: {
        admin: login === repository.owner,
        maintain: member,
        push: member,
        triage: member,
        pull: true,
      },
    }
  }

  issue(issue: Issue) {
    const base = `${this.#api}/repos/${issue.repository}`
    const kind = issue.isPullRequest ? 'pull' : 'issues'
    const htmlUrl = `${this.#site}/${issue.repository}/${kind}/${issue.number}`
    const labels = this.#data.labelsOf(issue.repository)
    return {
      url: `${base}/issues/${issue.number}`,
      repository_url: base,
      labels_url: `${base}/issues/${issue.number}/labels{/name}`,
      comments_url: `${base}/issues/${issue.number}/comments`,
      events_url: `${base}/issues/${issue.number}/events`,
      html_url: htmlUrl,
      id: issue.id,
      node_id: nodeId(issue.isPullRequest ? 'PR' : 'I', issue.id),
      number: issue.number,
      title: issue.title,
      user: this.account(issue.author),
      labels: issue.labels.flatMap((name) => {
        const label = labels.find((each) => each.name.toLowerCase() === name.toLowerCase())
        return label === undefined ? [] : [this.label(label)]
      }),
      state: issue.state,
      locked: false,
      assignee: this.account(issue.assignees[0] ?? null),
      assignees: issue.assignees.map((login) => this.account(login)),
      milestone: null,
      comments: this.#data.commentsOf(issue).length,
      created_at: issue.createdAt,
      updated_at: issue.updatedAt,
      closed_at: issue.closedAt,
      author_association: this.#association(issue),
      active_lock_reason: null,
      body: issue.body,
      closed_by: this.account(issue.closedBy),
      state_reason: issue.stateReason,
      ...(issue.isPullRequest
        ? {
            draft: false,
            pull_request: {
              url: `${base}/pulls/${issue.number}`,
              html_url: htmlUrl,
              merged_at: issue.closedAt,
            },
          }
        : undefined),
    }
  }

  /** As in lists across repositories: the issue brings its repository along. */
  issueWithRepository(issue: Issue, login: string) {
    const [owner = '', name = ''] = issue.repository.split('/')
    const repository = this.#data.repository(owner, name)
    return {
      ...this.issue(issue),
      ...(repository === undefined ? undefined : { repository: this.repository(repository, login) }),
    }
  }

  comment(comment: Comment) {
    const base = `${this.#api}/repos/${comment.repository}/issues`
    return {
      url: `${base}/comments/${comment.id}`,
      html_url: `${this.#site}/${comment.repository}/issues/${comment.number}#issuecomment-${comment.id}`,
      issue_url: `${base}/${comment.number}`,
      id: comment.id,
      node_id: nodeId('IC', comment.id),
      user: this.account(comment.author),
      created_at: comment.createdAt,
      updated_at: comment.updatedAt,
      author_association: this.#association(comment),
      body: comment.body,
    }
  }

  label(label: Label) {
    return {
      id: label.id,
      node_id: nodeId('LA', label.id),
      url: `${this.#api}/repos/${label.repository}/labels/${encodeURIComponent(label.name)}`,
      name: label.name,
      color: label.color,
      default: ['bug', 'enhancement', 'documentation', 'question', 'good first issue'].includes(label.name),
      description: label.description,
    }
  }

  #association(written: { readonly repository: string; readonly author: string }): string {
    const owner = written.repository.split('/')[0]
    if (owner === written.author) return 'OWNER'
    return owner === organisation.login ? 'MEMBER' : 'NONE'
  }
}

function nodeId(kind: string, id: number): string {
  return `${kind}_kwDO${Buffer.from(String(id)).toString('base64url')}`
}
