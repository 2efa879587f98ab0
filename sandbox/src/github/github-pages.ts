import type { FastifyInstance, FastifyReply } from 'fastify'
import { type Html, html, sendPage } from '../page.ts'
import { people } from '../people.ts'
import { paramOf } from '../request-parts.ts'
import type { GithubData, Issue } from './github-data.ts'

const note = 'Sandbox: a stand-in for GitHub on this machine'

/** Pages to look at, so that the links in API answers lead somewhere. Read-only, and open to whoever sits at this machine. */
export function githubPages(app: FastifyInstance, data: GithubData): void {
  app.get('/github/:owner', async (request, reply) => {
    const owner = paramOf(request, 'owner')
    const repositories = data.repositories.list().filter((repository) => repository.owner === owner)
    if (repositories.length === 0) return missing(reply)
    return sendPage(reply, {
      title: `${owner} · GitHub sandbox`,
      note,
      wide: true,
      body: html`<h1>${people.find(({ key }) => key === owner)?.name ?? owner}</h1>
<table><thead><tr><th scope="col">Repository</th><th scope="col">About</th></tr></thead><tbody>${repositories.map(
        ({ name, description }) =>
          html`<tr><td><a href="/github/${owner}/${name}">${name}</a></td><td>${description}</td></tr>`,
      )}</tbody></table>`,
    })
  })

  const repositoryPage = async (owner: string, name: string, reply: FastifyReply) => {
    const repository = data.repository(owner, name)
    if (repository === undefined) return missing(reply)
    const fullName = `${repository.owner}/${repository.name}`
    const open = data.issuesOf(fullName).filter(({ state }) => state === 'open')
    return sendPage(reply, {
      title: `${fullName} · GitHub sandbox`,
      note,
      wide: true,
      body: html`<h1>${fullName}</h1><p class="quiet">${repository.description}</p>
<h2>${open.length} open</h2>
<table><thead><tr><th scope="col">Number</th><th scope="col">Title</th><th scope="col">By</th></tr></thead><tbody>${open
        .toReversed()
        .map(
          (issue) =>
            html`<tr><td>#${issue.number}</td><td><a href="${pathOf(issue)}">${issue.title}</a></td><td>${nameOf(issue.author)}</td></tr>`,
        )}</tbody></table>`,
    })
  }
  app.get('/github/:owner/:repo', async (request, reply) =>
    repositoryPage(paramOf(request, 'owner'), paramOf(request, 'repo'), reply),
  )
  app.get('/github/:owner/:repo/issues', async (request, reply) =>
    repositoryPage(paramOf(request, 'owner'), paramOf(request, 'repo'), reply),
  )

  for (const kind of ['issues', 'pull'] as const) {
    app.get(`/github/:owner/:repo/${kind}/:number`, async (request, reply) => {
      const repository = data.repository(paramOf(request, 'owner'), paramOf(request, 'repo'))
      const issue =
        repository === undefined
          ? undefined
          : data.issue(`${repository.owner}/${repository.name}`, Number(paramOf(request, 'number')))
      return issue === undefined ? missing(reply) : issuePage(reply, data, issue)
    })
  }
}

function issuePage(reply: FastifyReply, data: GithubData, issue: Issue) {
  const kind = issue.isPullRequest ? 'Pull request' : 'Issue'
  return sendPage(reply, {
    title: `${issue.title} · #${issue.number} · ${issue.repository}`,
    note,
    wide: true,
    body: html`<p class="quiet"><a href="/github/${issue.repository}">${issue.repository}</a> · ${kind} #${issue.number}</p>
<h1>${issue.title}</h1>
<div class="meta"><span class="state ${issue.state}">${issue.state === 'open' ? 'Open' : 'Closed'}</span>
<span>${nameOf(issue.author)} opened it on ${day(issue.createdAt)}</span>${
      issue.assignees.length === 0
        ? undefined
        : html`<span>Assigned to ${issue.assignees.map(nameOf).join(', ')}</span>`
    }${issue.labels.map((label) => html`<span class="tag">${label}</span>`)}</div>
${text(issue.body)}
${data
  .commentsOf(issue)
  .map(
    (comment) =>
      html`<section class="comment" id="issuecomment-${comment.id}"><div class="meta"><b>${nameOf(comment.author)}</b><span>${day(comment.createdAt)}</span></div>${text(comment.body)}</section>`,
  )}`,
  })
}

function text(body: string | null): Html {
  return body === null || body === ''
    ? html`<p class="quiet">No description.</p>`
    : html`<div class="text">${body}</div>`
}

function missing(reply: FastifyReply) {
  return sendPage(reply, {
    title: 'Not found · GitHub sandbox',
    note,
    status: 404,
    body: html`<h1>There is nothing here</h1><p>The sandbox has no page at this address.</p>`,
  })
}

function pathOf(issue: Issue): string {
  return `/github/${issue.repository}/${issue.isPullRequest ? 'pull' : 'issues'}/${issue.number}`
}

function nameOf(login: string): string {
  return people.find(({ key }) => key === login)?.name ?? login
}

function day(at: string): string {
  return new Date(at).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric' })
}
