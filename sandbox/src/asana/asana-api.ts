import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationServer } from '../authorization-server.ts'
import { type Person, people, personByKey } from '../people.ts'
import type { RateLimits } from '../rate-limits.ts'
import { bearerOf, objectOf, paramOf } from '../request-parts.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import { asanaAnswer, asanaProblem, tooMany } from './asana-answers.ts'
import type { AsanaData, Project, Section, Story, Task, TaskFields } from './asana-data.ts'
import { gidOf } from './asana-oauth.ts'
import { workspace } from './asana-seed.ts'

type Row = Readonly<Record<string, unknown>>

interface Call {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly person: Person
  readonly url: URL
}

/** What stands in an answer where no `opt_fields` says otherwise, beside gid and resource_type. */
const compact = ['name']

/**
 * A slice of the Asana API 1.0 (https://developers.asana.com/reference/rest-api-reference): workspaces, users, projects,
 * sections, tasks and comments. Everything comes and goes wrapped in `data`; `opt_fields` chooses, dots reach inside.
 */
export function asanaApi(
  app: FastifyInstance,
  dependencies: {
    server: AuthorizationServer
    data: AsanaData
    limits: RateLimits
    clock: SandboxClock
    url: () => string
  },
): void {
  const { server, data, limits, clock } = dependencies
  const base = '/asana/api/1.0'

  const door = (scope: string, handler: (call: Call) => FastifyReply) => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const token = bearerOf(request)
      const owner = token === undefined ? undefined : await server.owner(token)
      if (token === undefined || owner === undefined) {
        const problem =
          'The bearer token has expired. If you have a refresh token, please use it to request a new bearer token, otherwise allow the user to re-authenticate.'
        reply.header(
          'www-authenticate',
          `Bearer realm="Asana"${token === undefined ? '' : ', error="invalid_token"'}`,
        )
        return asanaProblem(reply, 401, token === undefined ? 'Not Authorized' : problem)
      }
      const standing = limits.take('asana', token, 'core', true)
      if (standing.exceeded) {
        return tooMany(reply, Math.max(1, standing.resetAt - Math.floor(clock.now().getTime() / 1000)))
      }
      if (!owner.scopes.includes('default') && !owner.scopes.includes(scope)) {
        return asanaProblem(reply, 403, `You do not have the required scopes: ${scope}`)
      }
      return handler({ request, reply, person: owner.person, url: new URL(request.url, dependencies.url()) })
    }
  }
  const views = {
    user: (person: Person) => userView(person, dependencies.url()),
    project: (project: Project) => projectView(project, dependencies.url()),
    task: (task: Task) => taskView(task, data, dependencies.url()),
  }
  const whole = (call: Call, row: Row, status = 200) => {
    const fields = optFields(call.url)
    return asanaAnswer(
      call.reply,
      { data: fields === undefined ? trimmed(row) : chosen(row, fields) },
      status,
    )
  }
  const list = (call: Call, rows: readonly Row[]) => {
    const limit = call.url.searchParams.get('limit')
    const size = limit === null ? undefined : Number(limit)
    if (size !== undefined && !(Number.isInteger(size) && size >= 1 && size <= 100)) {
      return asanaProblem(call.reply, 400, 'limit: Must be between 1 and 100')
    }
    const offset = call.url.searchParams.get('offset')
    const from = offset === null ? 0 : Number(Buffer.from(offset, 'base64url').toString())
    if (!Number.isInteger(from) || from < 0) {
      return asanaProblem(call.reply, 400, 'offset: Your pagination token has expired or is invalid.')
    }
    const fields = optFields(call.url) ?? compact
    const to = size === undefined ? rows.length : from + size
    const next = new URL(call.url)
    const token = Buffer.from(String(to)).toString('base64url')
    next.searchParams.set('offset', token)
    return asanaAnswer(call.reply, {
      data: rows.slice(from, to).map((row) => chosen(row, fields)),
      // Named only where pages were asked for.
      ...(size === undefined
        ? undefined
        : {
            next_page:
              to < rows.length
                ? { offset: token, path: `${next.pathname.slice(base.length)}${next.search}`, uri: next.href }
                : null,
          }),
    })
  }
  const unknown = (reply: FastifyReply, what: string, gid: string) =>
    asanaProblem(reply, 404, `${what}: Unknown object: ${gid}`)
  const onTask = (handler: (call: Call, task: Task) => FastifyReply) => (call: Call) => {
    const gid = paramOf(call.request, 'task')
    const task = data.task(gid)
    return task === undefined ? unknown(call.reply, 'task', gid) : handler(call, task)
  }
  const onProject = (handler: (call: Call, project: Project) => FastifyReply) => (call: Call) => {
    const gid = paramOf(call.request, 'project')
    const project = data.project(gid)
    return project === undefined ? unknown(call.reply, 'project', gid) : handler(call, project)
  }
  const inWorkspace = (handler: (call: Call) => FastifyReply) => (call: Call) => {
    const gid = paramOf(call.request, 'workspace') || call.url.searchParams.get('workspace')
    return gid === null || gid === workspace.gid ? handler(call) : unknown(call.reply, 'workspace', gid)
  }
  /** `me`, an e-mail address or a gid. */
  const personOf = (name: string, me: Person) =>
    name === 'me'
      ? me
      : people.find((person) => gidOf(person) === name || person.email === name.toLowerCase())

  app.get(
    `${base}/workspaces`,
    door('workspaces:read', (call) => list(call, [workspaceView])),
  )
  app.get(
    `${base}/workspaces/:workspace`,
    door(
      'workspaces:read',
      inWorkspace((call) => whole(call, workspaceView)),
    ),
  )
  for (const path of [`${base}/users`, `${base}/workspaces/:workspace/users`]) {
    app.get(
      path,
      door(
        'users:read',
        inWorkspace((call) => list(call, people.map(views.user))),
      ),
    )
  }
  app.get(
    `${base}/users/:user`,
    door('users:read', (call) => {
      const gid = paramOf(call.request, 'user')
      const person = personOf(gid, call.person)
      return person === undefined ? unknown(call.reply, 'user', gid) : whole(call, views.user(person))
    }),
  )
  for (const path of [`${base}/projects`, `${base}/workspaces/:workspace/projects`]) {
    app.get(
      path,
      door(
        'projects:read',
        inWorkspace((call) => list(call, data.projects().map(views.project))),
      ),
    )
  }
  app.get(
    `${base}/projects/:project`,
    door(
      'projects:read',
      onProject((call, project) => whole(call, views.project(project))),
    ),
  )
  app.get(
    `${base}/projects/:project/sections`,
    door(
      'projects:read',
      onProject((call, { gid }) => list(call, data.sectionsOf(gid).map(sectionView))),
    ),
  )

  const tasks = (call: Call, project: string | null, section: string | null) => {
    const { searchParams } = call.url
    const assignee = searchParams.get('assignee')
    const since = searchParams.get('completed_since')
    if (
      project === null &&
      section === null &&
      (assignee === null || searchParams.get('workspace') === null)
    ) {
      return asanaProblem(
        call.reply,
        400,
        'You should specify one of workspace, project, tag, section, user_task_list, assignee and workspace',
      )
    }
    if (since !== null && since !== 'now' && Number.isNaN(Date.parse(since))) {
      return asanaProblem(call.reply, 400, `completed_since: Not a recognized date/time: ${since}`)
    }
    const person = assignee === null ? undefined : personOf(assignee, call.person)
    if (assignee !== null && person === undefined) return unknown(call.reply, 'assignee', assignee)
    const modified = Date.parse(searchParams.get('modified_since') ?? '') || 0
    const after =
      since === 'now'
        ? Number.POSITIVE_INFINITY
        : since === null
          ? Number.NEGATIVE_INFINITY
          : Date.parse(since)
    const rows = data.tasks().filter(
      (task) =>
        (project === null || task.projects.includes(project)) &&
        (section === null || task.sections.includes(section)) &&
        (person === undefined || task.assignee === person.key) &&
        Date.parse(task.modifiedAt) >= modified &&
        // Open tasks always; done ones that were done since then.
        (!task.completed || Date.parse(task.completedAt ?? '') > after || since === null),
    )
    return list(call, rows.map(views.task))
  }
  app.get(
    `${base}/tasks`,
    door(
      'tasks:read',
      inWorkspace((call) =>
        tasks(call, call.url.searchParams.get('project'), call.url.searchParams.get('section')),
      ),
    ),
  )
  app.get(
    `${base}/projects/:project/tasks`,
    door(
      'tasks:read',
      onProject((call, { gid }) => tasks(call, gid, null)),
    ),
  )
  app.get(
    `${base}/sections/:section/tasks`,
    door('tasks:read', (call) => {
      const gid = paramOf(call.request, 'section')
      return data.section(gid) === undefined ? unknown(call.reply, 'section', gid) : tasks(call, null, gid)
    }),
  )
  app.get(
    `${base}/workspaces/:workspace/tasks/search`,
    door(
      'tasks:read',
      inWorkspace((call) => {
        const { searchParams } = call.url
        const text = searchParams.get('text')?.toLowerCase() ?? ''
        const completed = searchParams.get('completed')
        const assignee = searchParams.get('assignee.any')
        const person = assignee === null ? undefined : personOf(assignee, call.person)
        const rows = data
          .tasks()
          .filter(
            (task) =>
              `${task.name}\n${task.notes}`.toLowerCase().includes(text) &&
              (completed === null || String(task.completed) === completed) &&
              (assignee === null || task.assignee === person?.key),
          )
        return list(call, rows.map(views.task))
      }),
    ),
  )
  app.get(
    `${base}/tasks/:task`,
    door(
      'tasks:read',
      onTask((call, task) => whole(call, views.task(task))),
    ),
  )

  /** The fields the body sets, wrapped in `data`; a sentence where one is malformed. */
  const fieldsFrom = (call: Call): { fields: Partial<TaskFields>; workspace: unknown } | string => {
    const wrapped = objectOf(call.request)?.['data']
    if (typeof wrapped !== 'object' || wrapped === null) return 'Could not parse request data, invalid JSON'
    const sent: Row = { ...wrapped }
    const { name, notes, completed, assignee, due_on: dueOn, parent, projects } = sent
    const person = typeof assignee === 'string' ? personOf(assignee, call.person) : undefined
    if (typeof assignee === 'string' && person === undefined) return `assignee: Not a valid user: ${assignee}`
    if (typeof dueOn === 'string' && !/^\d{4}-\d\d-\d\d$/.test(dueOn))
      return `due_on: Not a valid date: ${dueOn}`
    if (typeof parent === 'string' && data.task(parent) === undefined)
      return `parent: Unknown object: ${parent}`
    const gids = Array.isArray(projects) ? projects.map(String) : undefined
    const strange = gids?.find((gid) => data.project(gid) === undefined)
    if (strange !== undefined) return `projects: Unknown object: ${strange}`
    return {
      workspace: sent['workspace'],
      fields: {
        ...(typeof name === 'string' ? { name } : undefined),
        ...(typeof notes === 'string' ? { notes } : undefined),
        ...(typeof completed === 'boolean' ? { completed } : undefined),
        ...('assignee' in sent ? { assignee: person?.key ?? null } : undefined),
        ...('due_on' in sent ? { dueOn: typeof dueOn === 'string' ? dueOn : null } : undefined),
        ...(typeof parent === 'string' ? { parent } : undefined),
        ...(gids === undefined
          ? undefined
          : { projects: gids, sections: gids.flatMap((gid) => data.sectionsOf(gid)[0]?.gid ?? []) }),
      },
    }
  }
  app.post(
    `${base}/tasks`,
    door('tasks:write', (call) => {
      const sent = fieldsFrom(call)
      if (typeof sent === 'string') return asanaProblem(call.reply, 400, sent)
      const { fields } = sent
      if (sent.workspace === undefined && fields.projects === undefined && fields.parent === undefined) {
        return asanaProblem(call.reply, 400, 'You should specify one of workspace, parent, projects')
      }
      if (sent.workspace !== undefined && sent.workspace !== workspace.gid) {
        return asanaProblem(call.reply, 400, `workspace: Not a recognized ID: ${String(sent.workspace)}`)
      }
      const task = data.createTask(call.person, {
        name: '',
        notes: '',
        assignee: null,
        completed: false,
        dueOn: null,
        projects: [],
        sections: [],
        parent: null,
        ...fields,
      })
      return whole(call, views.task(task), 201)
    }),
  )
  app.put(
    `${base}/tasks/:task`,
    door(
      'tasks:write',
      onTask((call, task) => {
        const sent = fieldsFrom(call)
        if (typeof sent === 'string') return asanaProblem(call.reply, 400, sent)
        return whole(call, views.task(data.changeTask(call.person, task, sent.fields)))
      }),
    ),
  )
  app.delete(
    `${base}/tasks/:task`,
    door(
      'tasks:delete',
      onTask(({ reply, person }, task) => {
        data.deleteTask(person, task)
        return asanaAnswer(reply, { data: {} })
      }),
    ),
  )
  app.get(
    `${base}/tasks/:task/stories`,
    door(
      'stories:read',
      onTask((call, task) =>
        list(
          call,
          data.storiesOf(task.gid).map((story) => storyView(story)),
        ),
      ),
    ),
  )
  app.post(
    `${base}/tasks/:task/stories`,
    door(
      'stories:write',
      onTask((call, task) => {
        const wrapped = objectOf(call.request)?.['data']
        const text: unknown =
          typeof wrapped === 'object' && wrapped !== null ? Reflect.get(wrapped, 'text') : undefined
        return typeof text === 'string' && text !== ''
          ? whole(call, storyView(data.comment(call.person, task, text)), 201)
          : asanaProblem(call.reply, 400, 'text: Missing input')
      }),
    ),
  )
}

function optFields(url: URL): string[] | undefined {
  const text = url.searchParams.get('opt_fields')
  return text === null
    ? undefined
    : text
        .split(',')
        .map((field) => field.trim())
        .filter((field) => field !== '')
}

/** gid and resource_type always, then what was chosen; a bare name of an object brings its gid only. */
function chosen(row: Row, fields: readonly string[]): Row {
  const heads = new Map<string, string[]>()
  for (const field of fields) {
    const [head = '', ...rest] = field.split('.')
    heads.set(head, [...(heads.get(head) ?? []), ...(rest.length > 0 ? [rest.join('.')] : [])])
  }
  return Object.fromEntries(
    Object.entries(row)
      .filter(([name]) => name === 'gid' || name === 'resource_type' || heads.has(name))
      .map(([name, value]) => [name, within(value, heads.get(name) ?? [])]),
  )
}

function within(value: unknown, fields: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((each: unknown) => within(each, fields))
  return typeof value === 'object' && value !== null ? chosen({ ...value }, fields) : value
}

/** A whole record: objects in it are compact. */
function trimmed(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      name === 'memberships' || name === 'photo' ? value : within(value, compact),
    ]),
  )
}

const workspaceView: Row = {
  gid: workspace.gid,
  resource_type: 'workspace',
  name: workspace.name,
  email_domains: [workspace.domain],
  is_organization: true,
}

const workspaceCompact = { gid: workspace.gid, resource_type: 'workspace', name: workspace.name }

function userView(person: Person, url: string): Row {
  const picture = `${url}/avatars/${person.key}.png`
  return {
    gid: gidOf(person),
    resource_type: 'user',
    name: person.name,
    email: person.email,
    photo: { image_128x128: picture },
    workspaces: [workspaceCompact],
  }
}

function nameOf(key: string | null) {
  const person = key === null ? undefined : personByKey(key)
  return person === undefined
    ? null
    : { gid: gidOf(person), resource_type: 'user', name: person.name, email: person.email }
}

function projectView(project: Project, url: string): Row {
  return {
    gid: project.gid,
    resource_type: 'project',
    name: project.name,
    notes: project.notes,
    color: project.color,
    archived: false,
    created_at: project.createdAt,
    owner: nameOf(project.owner),
    workspace: workspaceCompact,
    permalink_url: `${url}/asana/0/${project.gid}/list`,
  }
}

function sectionView(section: Section): Row {
  return { gid: section.gid, resource_type: 'section', name: section.name }
}

function storyView(story: Story): Row {
  return {
    gid: story.gid,
    resource_type: 'story',
    resource_subtype: 'comment_added',
    type: 'comment',
    text: story.text,
    created_at: story.createdAt,
    created_by: nameOf(story.author),
    target: { gid: story.task, resource_type: 'task' },
  }
}

function taskView(task: Task, data: AsanaData, url: string): Row {
  const project = (gid: string) => ({ gid, resource_type: 'project', name: data.project(gid)?.name })
  const parent = task.parent === null ? undefined : data.task(task.parent)
  return {
    gid: task.gid,
    resource_type: 'task',
    resource_subtype: 'default_task',
    name: task.name,
    notes: task.notes,
    assignee: nameOf(task.assignee),
    completed: task.completed,
    completed_at: task.completedAt,
    created_at: task.createdAt,
    created_by: nameOf(task.createdBy),
    modified_at: task.modifiedAt,
    due_on: task.dueOn,
    projects: task.projects.map(project),
    memberships: task.projects.map((gid) => {
      const section = task.sections.map((each) => data.section(each)).find((each) => each?.project === gid)
      return {
        project: project(gid),
        section: section === undefined ? null : sectionView(section),
      }
    }),
    parent: parent === undefined ? null : { gid: parent.gid, resource_type: 'task', name: parent.name },
    workspace: workspaceCompact,
    permalink_url: `${url}/asana/0/${task.projects[0] ?? 0}/${task.gid}`,
  }
}
