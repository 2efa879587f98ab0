import type { FastifyInstance } from 'fastify'
import { personByKey } from '../people.ts'
import { sendRecord } from '../record-page.ts'
import { paramOf } from '../request-parts.ts'
import type { AsanaData } from './asana-data.ts'

/** Where `permalink_url` leads: a task with what was said about it, or the tasks of a project. */
export function asanaPages(app: FastifyInstance, data: AsanaData): void {
  app.get('/asana/0/:project/list', async (request, reply) => {
    const project = data.project(paramOf(request, 'project'))
    if (project === undefined) return sendRecord(reply, 'Asana', undefined)
    const tasks = data.tasks().filter(({ projects }) => projects.includes(project.gid))
    return sendRecord(reply, 'Asana', {
      kind: 'Project',
      title: project.name,
      text: project.notes,
      facts: tasks.map(({ name, completed }) => [completed ? 'Done' : 'Open', name]),
    })
  })

  app.get('/asana/0/:project/:task', async (request, reply) => {
    const task = data.task(paramOf(request, 'task'))
    if (task === undefined) return sendRecord(reply, 'Asana', undefined)
    const projects = task.projects.flatMap((gid) => data.project(gid)?.name ?? [])
    return sendRecord(reply, 'Asana', {
      kind: projects.length === 0 ? 'Task' : `Task in ${projects.join(', ')}`,
      title: task.name,
      text: task.notes,
      facts: [
        ['State', task.completed ? 'Done' : 'Open'],
        ['Assignee', nameOf(task.assignee)],
        ['Due', task.dueOn ?? ''],
        ['Created by', nameOf(task.createdBy)],
      ],
      comments: data
        .storiesOf(task.gid)
        .map(({ author, text, createdAt }) => ({ author: nameOf(author), text, at: createdAt })),
    })
  })
}

function nameOf(key: string | null): string {
  return key === null ? '' : (personByKey(key)?.name ?? key)
}
