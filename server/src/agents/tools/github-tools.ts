import { type Static, type TSchema, Type } from 'typebox'
import { ask, line, webAddress } from './provider-answer.ts'
import {
  defineTool,
  type Prepared,
  type Presented,
  type ProviderAccount,
  type Tool,
  ToolRefused,
  type ToolSlot,
} from './tool.ts'

// GitHub REST API, version 2022-11-28: https://docs.github.com/en/rest/issues and https://docs.github.com/en/rest/repos

const provider = 'github'
const scopes = ['repo', 'public_repo'] as const
/** Rows that a person is shown; `total` says how many there were. */
const rowsShown = 10
/** Pages of 100 that a list follows before it says "more than". */
const pagesRead = 3

/** As a person may name it; `prepare` finds the owner. A name of dots alone would climb out of the path. */
const RepositoryName = Type.String({
  pattern: '^[\\w-][\\w.-]*(/[\\w.-]*[\\w-][\\w.-]*)?$',
  maxLength: 200,
  description: 'owner/name',
})
const FullName = Type.String({ pattern: '^[\\w-][\\w.-]*/[\\w.-]*[\\w-][\\w.-]*$', maxLength: 200 })
const IssueNumber = Type.Integer({ minimum: 1, maximum: 2_147_483_647 })
const closed = { additionalProperties: false }

const Repository = Type.Object({
  full_name: FullName,
  html_url: Type.String(),
  private: Type.Optional(Type.Boolean()),
  description: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  has_issues: Type.Optional(Type.Boolean()),
  archived: Type.Optional(Type.Boolean()),
})
type Repository = Static<typeof Repository>

const Issue = Type.Object({
  id: Type.Number(),
  number: IssueNumber,
  title: Type.String(),
  html_url: Type.String(),
  state: Type.String(),
  updated_at: Type.Optional(Type.String()),
  body: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  repository: Type.Optional(Type.Object({ full_name: Type.String() })),
  repository_url: Type.Optional(Type.String()),
  /** Present on a pull request, which GitHub lists among issues. */
  pull_request: Type.Optional(Type.Unknown()),
})
type Issue = Static<typeof Issue>

const Comment = Type.Object({
  id: Type.Number(),
  html_url: Type.String(),
  body: Type.Optional(Type.String()),
})

const repositorySlot: ToolSlot = {
  name: 'repository',
  label: 'Repository',
  kind: 'repository',
  required: false,
  question: 'In which repository?',
}
const numberSlot: ToolSlot = {
  name: 'number',
  label: 'Issue number',
  kind: 'number',
  required: true,
  question: 'Which issue, by its number?',
}

/**
 * The sign by which a later look recognises what this call wrote; GitHub keeps HTML comments and shows them to nobody. There
 * is no idempotency key in this API.
 */
function marked(text: string | undefined, key: string): string {
  const mark = `<!-- atom:${key} -->`
  return text === undefined || text === '' ? mark : `${text}\n\n${mark}`
}

function bears(text: string | null | undefined, key: string): boolean {
  return text?.includes(`<!-- atom:${key} -->`) ?? false
}

interface Listed<T> {
  readonly items: readonly T[]
  readonly complete: boolean
}

/** Follows `Link: <…>; rel="next"` (RFC 8288) as far as `pagesRead` pages. */
async function list<S extends TSchema>(
  account: ProviderAccount,
  path: string,
  item: S,
  what: string,
): Promise<Listed<Static<S>>> {
  const items: Static<S>[] = []
  const separator = path.includes('?') ? '&' : '?'
  for (let page = 1; page <= pagesRead; page++) {
    const { value, headers } = await ask(
      account,
      'GitHub',
      { method: 'GET', path: `${path}${separator}per_page=100${page === 1 ? '' : `&page=${page}`}` },
      Type.Array(item),
      what,
    )
    items.push(...value)
    if (!/;\s*rel="?next"?/.test(headers.get('link') ?? '')) return { items, complete: true }
  }
  return { items, complete: false }
}

/** Open issues that concern me: assigned to me, or written by me. Pull requests are not issues to a person. */
async function myOpenIssues(account: ProviderAccount): Promise<Listed<Issue>> {
  const [assigned, written] = await Promise.all(
    ['assigned', 'created'].map((filter) =>
      list(account, `/issues?filter=${filter}&state=open&sort=updated`, Issue, 'your issues'),
    ),
  )
  if (!assigned || !written) throw new Error('two lists were asked for')
  const byId = new Map([...assigned.items, ...written.items].map((issue) => [issue.id, issue]))
  const items = [...byId.values()].filter((issue) => issue.pull_request === undefined)
  items.sort((a, b) => (b.updated_at ?? '').localeCompare(a.updated_at ?? ''))
  return { items, complete: assigned.complete && written.complete }
}

const repositoriesByActivity = (account: ProviderAccount) =>
  list(account, '/user/repos?sort=pushed&direction=desc', Repository, 'your repositories')

function takesIssues(repository: Repository): boolean {
  return repository.has_issues !== false && repository.archived !== true
}

/**
 * The repository that was meant: named in full, named by its last part, or else the one most recently worked on. What is
 * chosen here is always shown before anything is written.
 */
async function prepareRepository(
  account: ProviderAccount,
  args: { readonly repository?: string },
): Promise<Prepared> {
  const named = args.repository ?? ''
  if (named.includes('/')) return { args: { ...args, repository: named } }
  const { items } = await repositoriesByActivity(account)
  const candidates = items.filter(takesIssues).map((repository) => repository.full_name)
  const suggestions = candidates.slice(0, 5)
  if (named === '') {
    const latest = candidates[0]
    if (latest !== undefined) return { args: { ...args, repository: latest } }
    throw new ToolRefused('GitHub shows no repository of this account that takes issues.')
  }
  const matching = candidates.filter((name) => name.split('/')[1]?.toLowerCase() === named.toLowerCase())
  const [only, another] = matching
  if (only !== undefined && another === undefined) return { args: { ...args, repository: only } }
  const question =
    only === undefined
      ? `I see no repository called “${line(named, 60)}”. In which one?`
      : `There are several called “${line(named, 60)}”. Which one?`
  return { ask: { slot: 'repository', question, suggestions: only === undefined ? suggestions : matching } }
}

/** An issue is found by its number alone where just one of my open issues bears it. */
async function prepareIssue(
  account: ProviderAccount,
  args: { readonly repository?: string; readonly number: number },
): Promise<Prepared> {
  let prepared: Prepared
  if (args.repository === undefined) {
    const { items } = await myOpenIssues(account)
    const homes = items.filter((issue) => issue.number === args.number).map(homeOf)
    const [only, another] = homes
    if (only === undefined || another !== undefined)
      return {
        ask: {
          slot: 'repository',
          question: `Issue #${args.number} of which repository?`,
          suggestions: homes.slice(0, 5),
        },
      }
    prepared = { args: { ...args, repository: only } }
  } else {
    prepared = await prepareRepository(account, args)
  }
  if ('ask' in prepared) return prepared
  const issue = await readIssue(account, String(prepared.args['repository']), args.number)
  return {
    args: prepared.args,
    context: [
      {
        name: 'issue',
        label: 'Issue',
        value: `${line(issue.title)} (${issue.state})`,
        editable: false,
        multiline: false,
      },
    ],
  }
}

async function readIssue(account: ProviderAccount, repository: string, number: number): Promise<Issue> {
  const { value } = await ask(
    account,
    'GitHub',
    { method: 'GET', path: `/repos/${repository}/issues/${number}` },
    Issue,
    `issue #${number} in ${repository}`,
  )
  return value
}

function homeOf(issue: Issue): string {
  return issue.repository?.full_name ?? issue.repository_url?.split('/repos/')[1] ?? ''
}

function rowOf(issue: Issue, withHome: boolean) {
  const url = webAddress(issue.html_url)
  return {
    title: line(issue.title),
    detail: withHome ? `${line(homeOf(issue))}#${issue.number}` : `#${issue.number}`,
    ...(url !== undefined && { url }),
    state: line(issue.state, 20),
  }
}

function linkOf(title: string, address: string): Pick<Presented, 'link'> {
  const url = webAddress(address)
  return url === undefined ? {} : { link: { title, url } }
}

function count(listed: Listed<unknown>, one: string, many: string): string {
  const { length } = listed.items
  if (length === 0) return `no ${many}`
  return `${listed.complete ? '' : 'more than '}${length} ${length === 1 ? one : many}`
}

const listIssues = defineTool({
  name: 'github_list_issues',
  title: 'List open issues',
  description:
    'Lists open issues: those assigned to or written by the person, or all open issues of one repository when it is given. Newest activity first.',
  effect: 'read',
  provider,
  scopes,
  input: Type.Object({ repository: Type.Optional(RepositoryName) }, closed),
  final: Type.Object({ repository: Type.Optional(FullName) }, closed),
  slots: [repositorySlot],
  examples: [
    'show my open issues',
    'list my issues',
    'what issues are open',
    'which github issues are assigned to me',
    'what do I have open on github',
    'are there any open issues in atom-labs/app',
    'show the issues of atom-labs/website',
    'any bugs open for me right now',
    'give me an overview of my tickets on github',
    'open issues please',
    'what is left to do on github',
    'show me everything that is assigned to me',
  ],
  sentence: (args) =>
    args.repository === undefined ? 'List your open issues' : `List open issues of ${args.repository}`,
  prepare: async (account, args) =>
    args.repository === undefined ? { args } : prepareRepository(account, args),
  async call(account, args) {
    if (args.repository === undefined) return myOpenIssues(account)
    const { items, complete } = await list(
      account,
      `/repos/${args.repository}/issues?state=open&sort=updated`,
      Issue,
      `the repository ${args.repository}`,
    )
    return { items: items.filter((issue) => issue.pull_request === undefined), complete }
  },
  present(found, args) {
    const home = args.repository
    const homes = new Set(found.items.map(homeOf))
    const [single] = homes
    const place = home ?? (homes.size === 1 ? single : undefined)
    const where = place === undefined || place === '' ? '' : ` in ${place}`
    const whose = home === undefined ? ' of yours' : ''
    const summary = `${count(found, 'open issue', 'open issues')}${where === '' ? whose : where}`
    return {
      summary: `${summary.charAt(0).toUpperCase()}${summary.slice(1)}`,
      rows: found.items.slice(0, rowsShown).map((issue) => rowOf(issue, where === '')),
      ...(found.complete && { total: found.items.length }),
    }
  },
})

const newIssue = {
  title: Type.String({ minLength: 1, maxLength: 256, pattern: '\\S' }),
  body: Type.Optional(Type.String({ maxLength: 60_000 })),
}

const createIssue = defineTool({
  name: 'github_create_issue',
  title: 'Create an issue',
  description: 'Creates an issue in a repository. Leave the repository out unless the person named it.',
  effect: 'reconcilable',
  provider,
  scopes,
  input: Type.Object({ ...newIssue, repository: Type.Optional(RepositoryName) }, closed),
  final: Type.Object({ ...newIssue, repository: FullName }, closed),
  slots: [
    {
      name: 'title',
      label: 'Title',
      kind: 'text',
      required: true,
      question: 'What should the issue be called?',
    },
    repositorySlot,
    {
      name: 'body',
      label: 'Description',
      kind: 'prose',
      required: false,
      question: 'What should the description say?',
    },
  ],
  examples: [
    'create an issue called Fix the login page',
    'open a new issue',
    'file a bug: search is slow',
    'make a github issue titled "Update the docs" in atom-labs/app',
    'report a bug called checkout button does nothing',
    'new issue: upgrade to node 24',
    'please add an issue for the broken avatar upload',
    'raise a ticket on github named flaky tests',
    'I want to write an issue about the dark mode colours',
    'log a bug in atom-labs/website that the footer overlaps',
    'create a ticket',
    'add "support CSV export" to the issues of atom-labs/app',
  ],
  sentence: (args) =>
    args.repository === undefined ? 'Create an issue' : `Create an issue in ${args.repository}`,
  prepare: prepareRepository,
  async call(account, args, key) {
    const { value } = await ask(
      account,
      'GitHub',
      {
        method: 'POST',
        path: `/repos/${args.repository}/issues`,
        body: { title: args.title, body: marked(args.body, key) },
      },
      Issue,
      `the repository ${args.repository}`,
    )
    return value
  },
  async verify(account, args, key, since) {
    const { items } = await list(
      account,
      `/repos/${args.repository}/issues?state=all&sort=created&direction=desc&since=${encodeURIComponent(since.toISOString())}`,
      Issue,
      `the repository ${args.repository}`,
    )
    return items.find((issue) => bears(issue.body, key))
  },
  present: (issue, args) => ({
    summary: `Created issue #${issue.number} “${line(issue.title)}” in ${args.repository}`,
    ...linkOf(`#${issue.number} ${line(issue.title)}`, issue.html_url),
  }),
})

const closeIssue = defineTool({
  name: 'github_close_issue',
  title: 'Close an issue',
  description: 'Closes an issue by its number.',
  effect: 'idempotent',
  provider,
  scopes,
  input: Type.Object({ number: IssueNumber, repository: Type.Optional(RepositoryName) }, closed),
  final: Type.Object({ number: IssueNumber, repository: FullName }, closed),
  slots: [numberSlot, repositorySlot],
  examples: [
    'close issue 12',
    'close #7 in atom-labs/app',
    'mark issue 42 as done',
    'issue 3 is fixed, close it',
    'please close the github issue number 19',
    'resolve issue #5',
    'we can close ticket 8 of atom-labs/website',
    'close an issue',
    'shut issue 101',
    'issue 27 is done',
  ],
  sentence: (args) => `Close issue #${args.number}${args.repository ? ` in ${args.repository}` : ''}`,
  prepare: prepareIssue,
  async call(account, args) {
    const { value } = await ask(
      account,
      'GitHub',
      {
        method: 'PATCH',
        path: `/repos/${args.repository}/issues/${args.number}`,
        body: { state: 'closed', state_reason: 'completed' },
      },
      Issue,
      `issue #${args.number} in ${args.repository}`,
    )
    return value
  },
  present: (issue, args) => ({
    summary: `Closed issue #${issue.number} “${line(issue.title)}” in ${args.repository}`,
    ...linkOf(`#${issue.number} ${line(issue.title)}`, issue.html_url),
  }),
})

const newComment = {
  number: IssueNumber,
  body: Type.String({ minLength: 1, maxLength: 60_000, pattern: '\\S' }),
}

const commentIssue = defineTool({
  name: 'github_comment_issue',
  title: 'Comment on an issue',
  description: 'Writes a comment under an issue.',
  effect: 'reconcilable',
  provider,
  scopes,
  input: Type.Object({ ...newComment, repository: Type.Optional(RepositoryName) }, closed),
  final: Type.Object({ ...newComment, repository: FullName }, closed),
  slots: [
    numberSlot,
    {
      name: 'body',
      label: 'Comment',
      kind: 'prose',
      required: true,
      question: 'What should the comment say?',
    },
    repositorySlot,
  ],
  examples: [
    'comment on issue 12: I can reproduce this',
    'reply to #7 in atom-labs/app saying thanks, looking into it',
    'add a comment to issue 42 "fixed in the next release"',
    'write on github issue 5 that we need more logs',
    'leave a comment on ticket 9',
    'tell the people on issue 3 that it ships on friday',
    'post a note under issue #18: needs design',
    'answer issue 21 with works for me',
    'comment on an issue',
    'respond to issue 14: please attach a screenshot',
  ],
  sentence: (args) => `Comment on issue #${args.number}${args.repository ? ` in ${args.repository}` : ''}`,
  prepare: prepareIssue,
  async call(account, args, key) {
    const { value } = await ask(
      account,
      'GitHub',
      {
        method: 'POST',
        path: `/repos/${args.repository}/issues/${args.number}/comments`,
        body: { body: marked(args.body, key) },
      },
      Comment,
      `issue #${args.number} in ${args.repository}`,
    )
    return value
  },
  async verify(account, args, key, since) {
    const { items } = await list(
      account,
      `/repos/${args.repository}/issues/${args.number}/comments?since=${encodeURIComponent(since.toISOString())}`,
      Comment,
      `issue #${args.number} in ${args.repository}`,
    )
    return items.find((comment) => bears(comment.body, key))
  },
  present: (comment, args) => ({
    summary: `Commented on issue #${args.number} in ${args.repository}`,
    ...linkOf(`Comment on #${args.number}`, comment.html_url),
  }),
})

const listRepositories = defineTool({
  name: 'github_list_repositories',
  title: 'List repositories',
  description: 'Lists the repositories of the person, most recently worked on first.',
  effect: 'read',
  provider,
  scopes,
  input: Type.Object({}, closed),
  slots: [],
  examples: [
    'list my repositories',
    'show my repos',
    'which repositories do I have on github',
    'what projects do I have access to on github',
    'what are my github repos',
    'show all repositories',
    'which repos can you see',
    'give me the list of my code projects',
    'what have I been coding on lately',
    'my repositories please',
  ],
  sentence: () => 'List your repositories',
  call: repositoriesByActivity,
  present(found) {
    const summary = count(found, 'repository', 'repositories')
    return {
      summary: `${summary.charAt(0).toUpperCase()}${summary.slice(1)} of yours`,
      rows: found.items.slice(0, rowsShown).map((repository) => {
        const url = webAddress(repository.html_url)
        const about = line(repository.description ?? '', 120)
        return {
          title: line(repository.full_name),
          ...(about !== '' && { detail: about }),
          ...(url !== undefined && { url }),
          ...(repository.private !== undefined && { state: repository.private ? 'private' : 'public' }),
        }
      }),
      ...(found.complete && { total: found.items.length }),
    }
  },
})

/** What Atom can do on GitHub. */
export const githubTools: readonly Tool[] = [
  listIssues,
  createIssue,
  closeIssue,
  commentIssue,
  listRepositories,
]
