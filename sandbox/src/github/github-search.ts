import type { GithubData, Issue } from './github-data.ts'
import type { Repository } from './github-seed.ts'

/**
 * Issues that fit a search as GitHub writes it: words (all of them, in title, body or both) and the qualifiers `repo:` `org:`
 * `user:` `is:` `type:` `state:` `author:` `assignee:` `involves:` `label:` `no:` `in:` `sort:`, each with `-` before it to turn
 * it around. `@me` is `me`. An unknown qualifier finds nothing, like at GitHub a repository that is not there.
 */
export function searchIssues(
  data: GithubData,
  query: string,
  me: string,
  visible: (repository: Repository) => boolean,
): { found: Issue[]; sort: string | undefined } {
  const terms = [...query.matchAll(/(-?)(?:([a-z-]+):)?(?:"([^"]*)"|(\S+))/gi)].map((match) => ({
    negated: match[1] === '-',
    qualifier: match[2]?.toLowerCase(),
    value: (match[3] ?? match[4] ?? '').toLowerCase().replaceAll('@me', me),
  }))
  const places = terms.filter(({ qualifier }) => qualifier === 'in').map(({ value }) => value)
  const sort = terms.find(({ qualifier }) => qualifier === 'sort')?.value
  const seen = new Set(
    data.repositories
      .list()
      .filter(visible)
      .map(({ owner, name }) => `${owner}/${name}`),
  )
  const anyOf = (qualifier: string) =>
    terms.filter((term) => term.qualifier === qualifier && !term.negated).map(({ value }) => value)
  // Several repositories or owners widen the search; everything else narrows it.
  const scopes = [...anyOf('repo'), ...[...anyOf('org'), ...anyOf('user')].map((owner) => `${owner}/`)]
  const found = data.issues
    .list()
    .filter(
      (issue) =>
        seen.has(issue.repository) &&
        (scopes.length === 0 ||
          scopes.some((scope) =>
            scope.endsWith('/') ? issue.repository.startsWith(scope) : issue.repository === scope,
          )) &&
        terms.every(
          ({ qualifier, value, negated }) =>
            (['repo', 'org', 'user'].includes(qualifier ?? '') && !negated) ||
            fits(issue, qualifier, value, places) !== negated,
        ),
    )
  return { found, sort }
}

function fits(
  issue: Issue,
  qualifier: string | undefined,
  value: string,
  places: readonly string[],
): boolean {
  switch (qualifier) {
    case undefined:
      return textOf(issue, places).includes(value)
    case 'is':
    case 'type':
    case 'state':
      if (value === 'issue') return !issue.isPullRequest
      if (value === 'pr' || value === 'pull-request') return issue.isPullRequest
      return issue.state === value
    case 'author':
      return issue.author === value
    case 'assignee':
      return issue.assignees.includes(value)
    case 'involves':
      return issue.author === value || issue.assignees.includes(value)
    case 'label':
      return value.split(',').some((label) => issue.labels.some((name) => name.toLowerCase() === label))
    case 'no':
      return value === 'assignee'
        ? issue.assignees.length === 0
        : value === 'label' && issue.labels.length === 0
    case 'repo':
      return issue.repository === value
    case 'org':
    case 'user':
      return issue.repository.startsWith(`${value}/`)
    case 'in':
    case 'sort':
      return true
    default:
      return false
  }
}

function textOf(issue: Issue, places: readonly string[]): string {
  const body = places.length === 0 || places.includes('body') ? (issue.body ?? '') : ''
  const title = places.length === 0 || places.includes('title') ? issue.title : ''
  return `${title}\n${body}`.toLowerCase()
}
