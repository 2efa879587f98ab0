import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Person } from '../people.ts'
import type { RateLimits } from '../rate-limits.ts'
import { bearerOf, objectOf, paramOf } from '../request-parts.ts'
import { apiAnswer, apiProblem, type FieldError, paginate, requestId } from './github-answers.ts'
import { notForInstallations, suspended } from './github-app-api.ts'
import type { GithubCaller, GithubCallers } from './github-callers.ts'
import { type GithubData, type Issue, loginExists, organisation } from './github-data.ts'
import { allows, visibleScopes } from './github-oauth.ts'
import { searchIssues } from './github-search.ts'
import type { Repository } from './github-seed.ts'
import type { GithubViews } from './github-views.ts'

interface Call {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** The request's URL as the caller must repeat it, for `Link`. */
  readonly url: URL
  /** Who the token speaks for; undefined for a caller without one. */
  readonly owner: GithubCaller | undefined
}

type SignedCall = Call & { readonly owner: GithubCaller }
/** Of a token that a person stands behind. */
type PersonsCall = SignedCall & { readonly person: Person }

/**
 * A slice of GitHub's REST API (https://docs.github.com/rest): the person, repositories, issues, comments, labels, search.
 * True to it in what trips clients up: pull requests among the issues, 404 for what a token may not see, 403 without a
 * `User-Agent`, `Link` for pages, limits in headers, the shapes of its errors.
 */
export function githubApi(
  app: FastifyInstance,
  dependencies: {
    callers: GithubCallers
    data: GithubData
    views: GithubViews
    limits: RateLimits
    url: () => string
  },
): void {
  const { callers, data, views, limits } = dependencies

  const door = (resource: 'core' | 'search', handler: (call: Call) => FastifyReply) => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      reply.headers({
        'x-github-request-id': requestId(),
        'x-github-media-type': 'github.v3; format=json',
        'x-github-api-version-selected': '2022-11-28',
        server: 'github.com',
      })
      if (!request.headers['user-agent']) {
        return reply
          .status(403)
          .type('text/plain; charset=utf-8')
          .send(
            '\nRequest forbidden by administrative rules. Please make sure your request has a User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required).\n',
          )
      }
      const token = bearerOf(request)
      const owner = token === undefined ? undefined : await callers.of(token)
      if (owner === 'suspended') return suspended(reply)
      if (request.headers.authorization !== undefined && owner === undefined) {
        return apiProblem(reply, 401, 'Bad credentials')
      }
      const standing = limits.take(
        'github',
        `${resource}:${token ?? request.ip}`,
        resource,
        owner !== undefined,
      )
      reply.headers({
        'x-ratelimit-limit': standing.limit,
        'x-ratelimit-remaining': standing.remaining,
        'x-ratelimit-used': standing.limit - standing.remaining,
        'x-ratelimit-reset': standing.resetAt,
        'x-ratelimit-resource': resource,
      })
      if (standing.exceeded) {
        const who = owner === undefined ? request.ip : owner.numbered
        return apiProblem(reply, 403, `API rate limit exceeded for ${who}.`)
      }
      if (owner?.scopes !== undefined) {
        reply.headers({
          'x-oauth-scopes': visibleScopes(owner.scopes).join(', '),
          'x-accepted-oauth-scopes': '',
          'x-oauth-client-id': owner.clientId,
        })
      }
      const url = new URL(request.url, dependencies.url())
      return handler({ request, reply, url, owner })
    }
  }
  const open = (handler: (call: Call) => FastifyReply) => door('core', handler)
  const signed = (handler: (call: SignedCall) => FastifyReply, resource: 'core' | 'search' = 'core') =>
    door(resource, (call) =>
      call.owner === undefined
        ? apiProblem(call.reply, 401, 'Requires authentication')
        : handler({ ...call, owner: call.owner }),
    )
  const ofPerson = (handler: (call: PersonsCall) => FastifyReply) =>
    signed((call) => {
      const { person } = call.owner
      return person === undefined ? notForInstallations(call.reply) : handler({ ...call, person })
    })

  const visible = (owner: GithubCaller | undefined) => (repository: Repository) =>
    !repository.private || owner?.sees(repository) === true

  /** The repository of the path, as far as the caller may know of it; answers 404 itself where not. */
  const withRepository =
    <C extends Call>(handler: (call: C, repository: Repository, fullName: string) => FastifyReply) =>
    (call: C): FastifyReply => {
      const repository = data.repository(paramOf(call.request, 'owner'), paramOf(call.request, 'repo'))
      return repository === undefined || !visible(call.owner)(repository)
        ? apiProblem(call.reply, 404, 'Not Found')
        : handler(call, repository, `${repository.owner}/${repository.name}`)
    }
  const withIssue = <C extends Call>(
    handler: (call: C, issue: Issue, repository: Repository) => FastifyReply,
  ) =>
    withRepository<C>((call, repository, fullName) => {
      const issue = data.issue(fullName, Number(paramOf(call.request, 'number')))
      return issue === undefined ? apiProblem(call.reply, 404, 'Not Found') : handler(call, issue, repository)
    })
  /**
   * Sends the refusal where the token may not write: 404 to one without the scope, which learns from the header what would
   * have done, and 403 to one of a GitHub App.
   */
  const refusedToWrite = ({ reply, owner }: SignedCall, repository: Repository): boolean => {
    if (owner.scopes === undefined) reply.header('x-accepted-github-permissions', 'issues=write')
    else reply.header('x-accepted-oauth-scopes', repository.private ? 'repo' : 'public_repo, repo')
    if (owner.writes(repository)) return false
    if (owner.scopes === undefined) notForInstallations(reply)
    else apiProblem(reply, 404, 'Not Found')
    return true
  }

  const api = '/github/api'

  app.get(
    `${api}/user`,
    ofPerson(({ reply, person }) => apiAnswer(reply, views.profile(person.key))),
  )

  app.get(
    `${api}/user/emails`,
    ofPerson(({ reply, owner, person }) => {
      // An app needs a permission for it, which this one does not ask for.
      if (owner.scopes === undefined) return notForInstallations(reply)
      reply.header('x-accepted-oauth-scopes', 'user, user:email')
      if (!allows(owner.scopes, 'user:email')) return apiProblem(reply, 404, 'Not Found')
      const { email, key, githubId, githubEmailPublic } = person
      return apiAnswer(reply, [
        { email, primary: true, verified: true, visibility: githubEmailPublic ? 'public' : 'private' },
        {
          email: `${githubId}+${key}@users.noreply.github.com`,
          primary: false,
          verified: true,
          visibility: null,
        },
      ])
    }),
  )

  app.get(
    `${api}/users/:login`,
    open(({ request, reply }) => {
      const profile = views.profile(paramOf(request, 'login').toLowerCase())
      return profile === undefined ? apiProblem(reply, 404, 'Not Found') : apiAnswer(reply, profile)
    }),
  )

  app.get(
    `${api}/user/orgs`,
    ofPerson(({ reply }) =>
      apiAnswer(reply, [{ ...views.account(organisation.login), description: organisation.name }]),
    ),
  )

  const repositoryList = (call: Call, chosen: (repository: Repository) => boolean) => {
    const sort = call.url.searchParams.get('sort') ?? 'full_name'
    const key = ({ owner, name, createdAt, pushedAt }: Repository) =>
      sort === 'created' ? createdAt : sort === 'pushed' || sort === 'updated' ? pushedAt : `${owner}/${name}`
    const descending =
      (call.url.searchParams.get('direction') ?? (sort === 'full_name' ? 'asc' : 'desc')) === 'desc'
    const listed = data.repositories
      .list()
      .filter((repository) => visible(call.owner)(repository) && chosen(repository))
      .sort((one, other) => key(one).localeCompare(key(other)) * (descending ? -1 : 1))
    return apiAnswer(
      call.reply,
      paginate(call.reply, call.url, listed).map((repository) =>
        views.repository(repository, call.owner?.person?.key),
      ),
    )
  }
  app.get(
    `${api}/user/repos`,
    ofPerson((call) => repositoryList(call, (repository) => data.isMember(call.person.key, repository))),
  )
  app.get(
    `${api}/users/:login/repos`,
    open((call) => repositoryList(call, ({ owner }) => owner === paramOf(call.request, 'login'))),
  )
  app.get(
    `${api}/orgs/:login/repos`,
    open((call) => repositoryList(call, ({ owner }) => owner === paramOf(call.request, 'login'))),
  )

  app.get(
    `${api}/repos/:owner/:repo`,
    open(
      withRepository((call, repository) =>
        apiAnswer(call.reply, views.repository(repository, call.owner?.person?.key)),
      ),
    ),
  )
  app.get(
    `${api}/repos/:owner/:repo/labels`,
    open(
      withRepository((call, _repository, fullName) =>
        apiAnswer(
          call.reply,
          paginate(call.reply, call.url, data.labelsOf(fullName)).map((label) => views.label(label)),
        ),
      ),
    ),
  )

  app.get(
    `${api}/repos/:owner/:repo/issues`,
    open(
      withRepository((call, _repository, fullName) => {
        const issues = selected(data.issuesOf(fullName), call.url.searchParams)
        return apiAnswer(
          call.reply,
          paginate(call.reply, call.url, issues).map((issue) => views.issue(issue)),
        )
      }),
    ),
  )

  /** `filter`: what the person has to do with the issue; `assigned` where nothing is said. */
  const mine = (call: PersonsCall) => {
    const me = call.person.key
    const filter = call.url.searchParams.get('filter') ?? 'assigned'
    const seen = new Set(
      data.repositories
        .list()
        .filter((repository) => visible(call.owner)(repository) && data.isMember(me, repository))
        .map(({ owner, name }) => `${owner}/${name}`),
    )
    const relation = (issue: Issue) =>
      filter === 'created'
        ? issue.author === me
        : filter === 'all' || filter === 'repos' || filter === 'subscribed'
          ? true
          : issue.assignees.includes(me)
    const issues = selected(
      data.issues.list().filter((issue) => seen.has(issue.repository) && relation(issue)),
      call.url.searchParams,
    )
    return apiAnswer(
      call.reply,
      paginate(call.reply, call.url, issues).map((issue) => views.issueWithRepository(issue, me)),
    )
  }
  app.get(`${api}/issues`, ofPerson(mine))
  app.get(`${api}/user/issues`, ofPerson(mine))

  app.get(
    `${api}/search/issues`,
    signed((call) => {
      const query = call.url.searchParams.get('q')
      if (query === null || query.trim() === '') {
        return apiProblem(call.reply, 422, 'Validation Failed', [
          { resource: 'Search', field: 'q', code: query === null ? 'missing_field' : 'invalid' },
        ])
      }
      const { found, sort } = searchIssues(data, query, call.owner.login, visible(call.owner))
      const by = sort ?? call.url.searchParams.get('sort') ?? 'created'
      const [name = 'created', order = call.url.searchParams.get('order') ?? 'desc'] = by.split('-')
      const ordered = sorted(found, name, order)
      return apiAnswer(call.reply, {
        total_count: ordered.length,
        incomplete_results: false,
        items: paginate(call.reply, call.url, ordered).map((issue) => ({ ...views.issue(issue), score: 1 })),
      })
    }, 'search'),
  )

  app.post(
    `${api}/repos/:owner/:repo/issues`,
    signed(
      withRepository<SignedCall>((call, repository, fullName) => {
        const { reply, request, owner } = call
        if (refusedToWrite(call, repository)) return reply
        const body = objectOf(request)
        if (body === undefined) return apiProblem(reply, 400, 'Problems parsing JSON')
        if (!('title' in body)) return apiProblem(reply, 422, 'Invalid request.\n\n"title" wasn\'t supplied.')
        const errors = problems(body)
        if (errors.length > 0) return apiProblem(reply, 422, 'Validation Failed', errors)
        const { login } = owner
        // Who may not push cannot set these; GitHub drops them without a word.
        const pushes = owner.pushes(repository)
        const issue = data.createIssue({
          repository: fullName,
          title: String(body['title']),
          body: typeof body['body'] === 'string' && body['body'] !== '' ? body['body'] : null,
          author: login,
          assignees: pushes ? (listOf(body['assignees']) ?? listOf([body['assignee']]) ?? []) : [],
          labels: pushes ? (labelNames(body['labels']) ?? []) : [],
        })
        const view = views.issue(issue)
        return apiAnswer(reply.header('location', view.url), view, 201)
      }),
    ),
  )

  app.get(
    `${api}/repos/:owner/:repo/issues/:number`,
    open(withIssue((call, issue) => apiAnswer(call.reply, views.issue(issue)))),
  )

  app.patch(
    `${api}/repos/:owner/:repo/issues/:number`,
    signed(
      withIssue<SignedCall>((call, issue, repository) => {
        const { reply, request, owner } = call
        if (refusedToWrite(call, repository)) return reply
        const { login } = owner
        const pushes = owner.pushes(repository)
        if (!pushes && issue.author !== login) {
          return apiProblem(reply, 403, 'Must have admin rights to Repository.')
        }
        const body = objectOf(request)
        if (body === undefined) return apiProblem(reply, 400, 'Problems parsing JSON')
        const errors = problems(body)
        if (errors.length > 0) return apiProblem(reply, 422, 'Validation Failed', errors)
        const state = body['state'] === 'open' || body['state'] === 'closed' ? body['state'] : issue.state
        const labels = labelNames(body['labels'])
        const assignees = listOf(body['assignees'])
        const changed = data.changeIssue(issue, login, {
          ...(typeof body['title'] === 'string' ? { title: body['title'] } : undefined),
          ...('body' in body ? { body: typeof body['body'] === 'string' ? body['body'] : null } : undefined),
          ...(pushes && labels !== undefined ? { labels } : undefined),
          ...(pushes && assignees !== undefined ? { assignees } : undefined),
          ...(state === issue.state ? undefined : turned(state, body['state_reason'], login, data.now())),
        })
        return apiAnswer(reply, views.issue(changed))
      }),
    ),
  )

  const commentsPath = `${api}/repos/:owner/:repo/issues/:number/comments`
  app.get(
    commentsPath,
    open(
      withIssue((call, issue) =>
        apiAnswer(
          call.reply,
          paginate(call.reply, call.url, data.commentsOf(issue)).map((comment) => views.comment(comment)),
        ),
      ),
    ),
  )
  app.post(
    commentsPath,
    signed(
      withIssue<SignedCall>((call, issue, repository) => {
        const { reply, request, owner } = call
        if (refusedToWrite(call, repository)) return reply
        const body = objectOf(request)
        if (body === undefined) return apiProblem(reply, 400, 'Problems parsing JSON')
        const text = body['body']
        if (text === undefined) return apiProblem(reply, 422, 'Invalid request.\n\n"body" wasn\'t supplied.')
        if (typeof text !== 'string' || text.trim() === '') {
          return apiProblem(reply, 422, 'Validation Failed', [
            { resource: 'IssueComment', field: 'body', code: 'custom', message: 'body cannot be blank' },
          ])
        }
        const comment = data.addComment(issue, owner.login, text)
        const view = views.comment(comment)
        return apiAnswer(reply.header('location', view.url), view, 201)
      }),
    ),
  )

  app.get(`${api}/rate_limit`, async (request, reply) => {
    const token = bearerOf(request)
    const owner = token === undefined ? undefined : await callers.of(token)
    const standing = (resource: 'core' | 'search') => {
      const { limit, remaining, resetAt } = limits.look(
        'github',
        `${resource}:${token ?? request.ip}`,
        resource,
        owner !== undefined,
      )
      return { limit, remaining, used: limit - remaining, reset: resetAt }
    }
    return apiAnswer(reply, {
      resources: { core: standing('core'), search: standing('search') },
      rate: standing('core'),
    })
  })

  app.all(
    `${api}/*`,
    open((call) => apiProblem(call.reply, 404, 'Not Found')),
  )
}

/** `state` (open), `assignee`, `creator`, `labels`, `since`, `sort` (created), `direction` (desc), as the list endpoints take them. */
function selected(issues: readonly Issue[], query: URLSearchParams): Issue[] {
  const state = query.get('state') ?? 'open'
  const assignee = query.get('assignee')
  const creator = query.get('creator')
  const since = query.get('since')
  const labels = (query.get('labels') ?? '').split(',').filter((label) => label !== '')
  const chosen = issues.filter(
    (issue) =>
      (state === 'all' || issue.state === state) &&
      (assignee === null ||
        (assignee === 'none'
          ? issue.assignees.length === 0
          : assignee === '*'
            ? issue.assignees.length > 0
            : issue.assignees.includes(assignee))) &&
      (creator === null || issue.author === creator) &&
      (since === null || Date.parse(issue.updatedAt) >= Date.parse(since)) &&
      labels.every((label) => issue.labels.some((name) => name.toLowerCase() === label.toLowerCase())),
  )
  return sorted(chosen, query.get('sort') ?? 'created', query.get('direction') ?? 'desc')
}

function sorted(issues: readonly Issue[], by: string, direction: string): Issue[] {
  const key = (issue: Issue) => (by === 'updated' ? issue.updatedAt : issue.createdAt)
  const sign = direction === 'asc' ? 1 : -1
  return issues.toSorted((one, other) => sign * (key(one).localeCompare(key(other)) || one.id - other.id))
}

function turned(state: 'open' | 'closed', reason: unknown, login: string, now: string): Partial<Issue> {
  return state === 'closed'
    ? {
        state,
        stateReason: reason === 'not_planned' ? reason : 'completed',
        closedAt: now,
        closedBy: login,
      }
    : { state, stateReason: 'reopened', closedAt: null, closedBy: null }
}

/** What GitHub finds wrong with the fields of an issue. */
function problems(body: Readonly<Record<string, unknown>>): FieldError[] {
  const found: FieldError[] = []
  const { title, state } = body
  if (title !== undefined && (typeof title !== 'string' || title.trim() === '')) {
    found.push({ resource: 'Issue', field: 'title', code: 'missing_field' })
  } else if (typeof title === 'string' && title.length > 256) {
    found.push({
      resource: 'Issue',
      field: 'title',
      code: 'custom',
      message: 'title is too long (maximum is 256 characters)',
    })
  }
  if (typeof body['body'] === 'string' && body['body'].length > 65_536) {
    found.push({
      resource: 'Issue',
      field: 'body',
      code: 'custom',
      message: 'body is too long (maximum is 65536 characters)',
    })
  }
  if (state !== undefined && state !== 'open' && state !== 'closed') {
    found.push({ resource: 'Issue', field: 'state', code: 'invalid', value: state })
  }
  for (const login of listOf(body['assignees']) ?? []) {
    if (!loginExists(login))
      found.push({ resource: 'Issue', field: 'assignees', code: 'invalid', value: login })
  }
  return found
}

function listOf(value: unknown): string[] | undefined {
  return Array.isArray(value)
    ? value.filter((each): each is string => typeof each === 'string').map((each) => each.toLowerCase())
    : undefined
}

/** Labels come as names or as objects with a name. */
function labelNames(value: unknown): string[] | undefined {
  if (!Array.isArray(value)) return undefined
  return value.flatMap((each: unknown) => {
    if (typeof each === 'string') return [each]
    const name: unknown = typeof each === 'object' && each !== null ? Reflect.get(each, 'name') : undefined
    return typeof name === 'string' ? [name] : []
  })
}
