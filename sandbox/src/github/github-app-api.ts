import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AppRegistry } from '../app-registry.ts'
import { bearerOf, objectOf, paramOf } from '../request-parts.ts'
import { apiAnswer, apiProblem, paginate } from './github-answers.ts'
import type { GithubCaller, GithubCallers } from './github-callers.ts'
import { type GithubData, organisation } from './github-data.ts'
import {
  appPermissions,
  type GithubInstallations,
  githubApp,
  type Installation,
  type Permissions,
} from './github-installations.ts'
import type { Repository } from './github-seed.ts'
import type { GithubViews } from './github-views.ts'

const api = '/github/api'
const levels = ['read', 'write', 'admin']

/**
 * What a GitHub App asks in its own name (https://docs.github.com/rest/apps): with the JWT of its key where it is installed and
 * for tokens there, with such a token what it reaches, with the token of a person which installations they have a part in.
 */
export function githubAppApi(
  app: FastifyInstance,
  dependencies: {
    installations: GithubInstallations
    callers: GithubCallers
    data: GithubData
    views: GithubViews
    apps: AppRegistry
    url: () => string
  },
): void {
  const { installations, callers, data, views, apps } = dependencies

  type Asked = { readonly request: FastifyRequest; readonly reply: FastifyReply; readonly url: URL }

  /** For the app alone. */
  const asApp =
    (handler: (asked: Asked) => FastifyReply) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const refusal = installations.refusalOf(bearerOf(request))
      return refusal === undefined
        ? handler({ request, reply, url: new URL(request.url, dependencies.url()) })
        : apiProblem(reply, refusal.status, refusal.message)
    }
  const withInstallation = (handler: (asked: Asked, installation: Installation) => FastifyReply) =>
    asApp((asked) => {
      const installation = installations.get(Number(paramOf(asked.request, 'id')))
      return installation === undefined
        ? apiProblem(asked.reply, 404, 'Not Found')
        : handler(asked, installation)
    })
  /** For a token, of an installation or a person. */
  const asCaller =
    (handler: (asked: Asked, caller: GithubCaller) => FastifyReply) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const token = bearerOf(request)
      const caller = token === undefined ? undefined : await callers.of(token)
      if (caller === undefined) {
        return apiProblem(reply, 401, token === undefined ? 'Requires authentication' : 'Bad credentials')
      }
      return caller === 'suspended'
        ? suspended(reply)
        : handler({ request, reply, url: new URL(request.url, dependencies.url()) }, caller)
    }

  const view = (installation: Installation) => {
    const { id, account, repositories, createdAt, updatedAt, suspendedAt, installedBy } = installation
    const ofOrganisation = account === organisation.login
    return {
      id,
      client_id: apps.clientIdOf('github-app'),
      account: views.account(account),
      repository_selection: repositories === undefined ? 'all' : 'selected',
      access_tokens_url: `${dependencies.url()}${api}/app/installations/${id}/access_tokens`,
      repositories_url: `${dependencies.url()}${api}/installation/repositories`,
      html_url: `${dependencies.url()}/github/settings/installations`,
      app_id: githubApp.id,
      app_slug: githubApp.slug,
      target_id: views.account(account)?.id,
      target_type: ofOrganisation ? 'Organization' : 'User',
      permissions: appPermissions,
      events: [],
      created_at: createdAt,
      updated_at: updatedAt,
      single_file_name: null,
      has_multiple_single_files: false,
      single_file_paths: [],
      suspended_by: suspendedAt === null ? null : views.account(installedBy),
      suspended_at: suspendedAt,
    }
  }
  const covered = (installation: Installation, only?: readonly number[]) =>
    data.repositories
      .list()
      .filter(
        (repository) =>
          installations.covers(installation, repository) && only?.includes(repository.id) !== false,
      )
  const repositoryPage = (
    { reply, url }: Asked,
    selection: 'all' | 'selected',
    listed: readonly Repository[],
    login: string | undefined,
  ) =>
    apiAnswer(reply, {
      total_count: listed.length,
      repository_selection: selection,
      repositories: paginate(reply, url, listed).map((repository) => views.repository(repository, login)),
    })

  app.get(
    `${api}/app`,
    asApp(({ reply }) =>
      apiAnswer(reply, {
        id: githubApp.id,
        client_id: apps.clientIdOf('github-app'),
        slug: githubApp.slug,
        name: githubApp.name,
        owner: views.account(organisation.login),
        description: 'The sandbox’s GitHub App',
        external_url: dependencies.url(),
        html_url: `${dependencies.url()}/github/apps/${githubApp.slug}`,
        permissions: appPermissions,
        events: [],
        installations_count: installations.list().length,
      }),
    ),
  )
  app.get(
    `${api}/app/installations`,
    asApp(({ reply, url }) => apiAnswer(reply, paginate(reply, url, installations.list()).map(view))),
  )
  app.get(
    `${api}/app/installations/:id`,
    withInstallation(({ reply }, installation) => apiAnswer(reply, view(installation))),
  )
  app.delete(
    `${api}/app/installations/:id`,
    withInstallation(({ reply }, installation) => {
      installations.uninstall(installation)
      return reply.status(204).send()
    }),
  )
  for (const [method, on] of [
    ['PUT', true],
    ['DELETE', false],
  ] as const) {
    app.route({
      method,
      url: `${api}/app/installations/:id/suspended`,
      handler: withInstallation(({ reply }, installation) => {
        installations.suspend(installation, on)
        return reply.status(204).send()
      }),
    })
  }
  const installedFor = (account: string) =>
    asApp(({ request, reply }) => {
      const found = installations.of(paramOf(request, account))
      return found === undefined ? apiProblem(reply, 404, 'Not Found') : apiAnswer(reply, view(found))
    })
  app.get(`${api}/orgs/:org/installation`, installedFor('org'))
  app.get(`${api}/users/:login/installation`, installedFor('login'))
  app.get(
    `${api}/repos/:owner/:repo/installation`,
    asApp(({ request, reply }) => {
      const repository = data.repository(paramOf(request, 'owner'), paramOf(request, 'repo'))
      const found = installations
        .list()
        .find((each) => repository !== undefined && installations.covers(each, repository))
      return found === undefined ? apiProblem(reply, 404, 'Not Found') : apiAnswer(reply, view(found))
    }),
  )

  app.post(
    `${api}/app/installations/:id/access_tokens`,
    withInstallation(({ request, reply }, installation) => {
      if (installation.suspendedAt !== null) return suspended(reply)
      const body = objectOf(request)
      if (body === undefined) return apiProblem(reply, 400, 'Problems parsing JSON')
      const permissions = narrowed(body['permissions'])
      if (permissions === undefined) {
        return apiProblem(reply, 422, 'The permissions requested are not granted to this installation.')
      }
      const reach = covered(installation)
      const wanted = chosen(body, reach)
      if (wanted === undefined) {
        return apiProblem(
          reply,
          422,
          'There is at least one repository that does not exist or is not accessible to the parent installation.',
        )
      }
      const { token, expiresAt } = installations.issue(
        installation,
        permissions,
        wanted.length === 0 ? undefined : wanted.map(({ id }) => id),
      )
      return apiAnswer(
        reply,
        {
          token,
          expires_at: expiresAt.toISOString().replace(/\.\d+Z$/, 'Z'),
          permissions,
          repository_selection:
            installation.repositories === undefined && wanted.length === 0 ? 'all' : 'selected',
          ...(wanted.length > 0 && {
            repositories: wanted.map((repository) => views.repository(repository, undefined)),
          }),
        },
        201,
      )
    }),
  )

  app.get(
    `${api}/installation/repositories`,
    asCaller((asked, caller) => {
      const { installation } = caller
      if (installation === undefined) return notForPersons(asked.reply)
      const listed = covered(installation).filter((repository) => caller.sees(repository))
      const all = installation.repositories === undefined && listed.length === covered(installation).length
      return repositoryPage(asked, all ? 'all' : 'selected', listed, undefined)
    }),
  )
  app.delete(
    `${api}/installation/token`,
    asCaller(({ request, reply }, { installation }) => {
      if (installation === undefined) return notForPersons(reply)
      installations.endToken(bearerOf(request) ?? '')
      return reply.status(204).send()
    }),
  )

  /** Whom the person could have installed it for: this is how an app finds out that a named installation is theirs. */
  const theirs = (personKey: string) =>
    installations.list().filter(({ account }) => account === organisation.login || account === personKey)
  app.get(
    `${api}/user/installations`,
    asCaller(({ reply, url }, { person, scopes }) => {
      if (person === undefined) return notForInstallations(reply)
      if (scopes !== undefined) return notAuthorized(reply)
      const listed = theirs(person.key)
      return apiAnswer(reply, {
        total_count: listed.length,
        installations: paginate(reply, url, listed).map(view),
      })
    }),
  )
  app.get(
    `${api}/user/installations/:id/repositories`,
    asCaller((asked, { person, scopes }) => {
      if (person === undefined) return notForInstallations(asked.reply)
      if (scopes !== undefined) return notAuthorized(asked.reply)
      const found = theirs(person.key).find(({ id }) => String(id) === paramOf(asked.request, 'id'))
      return found === undefined
        ? apiProblem(asked.reply, 404, 'Not Found')
        : repositoryPage(
            asked,
            found.repositories === undefined ? 'all' : 'selected',
            covered(found),
            person.key,
          )
    }),
  )
}

export function suspended(reply: FastifyReply): FastifyReply {
  return apiProblem(reply, 403, 'This installation has been suspended')
}

export function notForInstallations(reply: FastifyReply): FastifyReply {
  return apiProblem(reply, 403, 'Resource not accessible by integration')
}

function notForPersons(reply: FastifyReply): FastifyReply {
  return apiProblem(
    reply,
    403,
    'You must authenticate with an installation access token in order to list repositories for an installation.',
  )
}

function notAuthorized(reply: FastifyReply): FastifyReply {
  return apiProblem(
    reply,
    403,
    'You must authenticate with an access token authorized to a GitHub App in order to list installations',
  )
}

/** All permissions where none are named; undefined where one was not granted, or not so far. */
function narrowed(wanted: unknown): Permissions | undefined {
  if (wanted === undefined || wanted === null) return appPermissions
  if (typeof wanted !== 'object') return undefined
  const asked = Object.entries(wanted).map(([name, level]) => [name, String(level)] as const)
  if (asked.length === 0) return appPermissions
  const granted = asked.every(([name, level]) => {
    const most = levels.indexOf(appPermissions[name] ?? '')
    return levels.includes(level) && levels.indexOf(level) <= most
  })
  // Whoever may do anything may read what everybody may.
  return granted ? { ...Object.fromEntries(asked), metadata: 'read' } : undefined
}

/** The repositories named by name or id, none where none are; undefined where one is out of reach. */
function chosen(
  body: Readonly<Record<string, unknown>>,
  reach: readonly Repository[],
): Repository[] | undefined {
  const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
  const found = [
    ...list(body['repositories']).map((name) => reach.find((each) => each.name === name)),
    ...list(body['repository_ids']).map((id) => reach.find((each) => each.id === id)),
  ]
  const known = found.filter((each) => each !== undefined)
  return known.length === found.length ? known : undefined
}
