import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiClient, ProjectsApi, TasksApi, UsersApi } from 'asana'
import { sdkScene } from './support/sdk-scene.ts'

interface Task {
  readonly gid: string
  readonly name: string
}

interface TaskPage {
  readonly data: Task[]
  nextPage(): Promise<TaskPage | { readonly data: null }>
}

test('[CN218] asana runs through the proxy by its base address: reads, pages, a write, a token that ended, a limit, an error', async () => {
  await using it = await sdkScene('asana')
  const client = new ApiClient()
  client.basePath = it.base
  const { token } = client.authentications
  assert.ok(token)
  token.accessToken = it.token
  const tasks = new TasksApi(client)

  const me = (await new UsersApi(client).getUser('me', {})).data
  assert.match(me.name, /Ada/)
  const [workspace] = me.workspaces
  const projects = (await new ProjectsApi(client).getProjects({ workspace: workspace.gid })).data
  const project: string = projects[0].gid

  const gids: string[] = []
  let pages = 0
  for (
    let page: TaskPage | { readonly data: null } = await tasks.getTasks({ project, limit: 2 });
    page.data !== null;
    page = await page.nextPage()
  ) {
    gids.push(...page.data.map(({ gid }) => gid))
    pages++
  }
  assert.ok(pages > 1)
  assert.equal(new Set(gids).size, gids.length)

  const made: { data: Task } = await tasks.createTask(
    { data: { name: 'Through the proxy', projects: [project] } },
    {},
  )
  assert.equal(it.sandbox.control.effects({ provider: 'asana', kind: 'task.created' }).length, 1)

  const before = it.tokenRequests()
  it.sandbox.control.expireTokens('asana')
  assert.equal((await tasks.getTask(made.data.gid, {})).data.name, 'Through the proxy')
  assert.equal(it.tokenRequests(), before + 1)

  using _limit = it.sandbox.control.fault({
    path: `/asana/api/1.0/tasks/${made.data.gid}`,
    outcome: 'rate_limited',
    retryAfterSeconds: 9,
  })
  await assert.rejects(
    tasks.getTask(made.data.gid, {}),
    (error: { status?: number; response?: { headers: object } }) => {
      assert.equal(error.status, 429)
      assert.equal(Reflect.get(error.response?.headers ?? {}, 'retry-after'), '9')
      return true
    },
  )
  await assert.rejects(tasks.getTask('404', {}), { status: 404 })
})
