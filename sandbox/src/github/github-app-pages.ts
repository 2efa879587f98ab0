import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AppRegistry } from '../app-registry.ts'
import { html, sendPage } from '../page.ts'
import { type Person, people, personByKey } from '../people.ts'
import { fieldsOf, paramOf, queryOf } from '../request-parts.ts'
import { type GithubData, organisation } from './github-data.ts'
import { appPermissions, type GithubInstallations, githubApp, mayInstall } from './github-installations.ts'
import { carriedState, githubAppDialect } from './github-oauth.ts'

const note = 'Sandbox: a stand-in for GitHub on this machine'
const settings = '/github/settings/installations'

/**
 * The pages on which a GitHub App is installed (docs.github.com, "Installing a GitHub App from a third party", "About the setup
 * URL"): whom for, on which repositories, or a request to the owners where that is not for the person to decide.
 */
export function githubAppPages(
  app: FastifyInstance,
  dependencies: { installations: GithubInstallations; data: GithubData; apps: AppRegistry },
): void {
  const { installations, data, apps } = dependencies
  const start = '/github/apps/:slug/installations/new'
  const target = () => apps.redirectOf('github')

  app.get('/github/apps/:slug', async (request, reply) => {
    if (!known(request)) return missing(reply)
    return sendPage(reply, {
      title: `${githubApp.name} · GitHub sandbox`,
      note,
      body: html`<h1>${githubApp.name}</h1><p>Acts in its own name wherever it is installed.</p>
<form method="get" action="/github/apps/${githubApp.slug}/installations/new"><div class="actions"><button class="next">Install</button></div></form>`,
    })
  })

  app.get(start, async (request, reply) => {
    if (!known(request)) return missing(reply)
    return sendPage(reply, {
      title: 'Choose a person · GitHub sandbox',
      note,
      formTarget: target(),
      body: html`<h1>Who do you want to be?</h1>
<p class="quiet">These people exist only here. No password is needed.</p>
<form method="post"><div class="people">${people.map(
        (person) =>
          html`<button name="person" value="${person.key}"><img src="/avatars/${person.key}.png" alt="" width="36" height="36"><span class="who"><b>${person.name}</b><span>${person.key}</span></span></button>`,
      )}</div></form>`,
      footer: html`Atom opened this page to install ${githubApp.name}.`,
    })
  })
  app.post(start, async (request, reply) => {
    const person = personByKey(fieldsOf(request)['person'] ?? '')
    if (!known(request) || person === undefined) return missing(reply)
    const next = new URLSearchParams({ ...withState(request), as: person.key })
    return reply.redirect(`/github/apps/${githubApp.slug}/installations/new/permissions?${next}`, 303)
  })

  app.get(`${start}/permissions`, async (request, reply) => {
    const person = personByKey(queryOf(request)['as'] ?? '')
    return !known(request) || person === undefined ? missing(reply) : installPage(reply, person)
  })
  app.post(`${start}/permissions`, async (request, reply) => {
    const person = personByKey(queryOf(request)['as'] ?? '')
    if (!known(request) || person === undefined) return missing(reply)
    const form = new URLSearchParams(typeof request.body === 'string' ? request.body : '')
    if (form.get('decision') !== 'agree') {
      // GitHub does not go back to the app with a no.
      return sendPage(reply, {
        title: 'Not installed · GitHub sandbox',
        note,
        body: html`<h1>Nothing was installed</h1><p>Close this window, or go back to the app.</p>`,
      })
    }
    const account = form.get('account') ?? organisation.login
    if (!mayInstall(person.key, account)) {
      if (account !== organisation.login) return missing(reply)
      installations.request(account, person.key)
      return goBack(request, reply, person, { setup_action: 'request' })
    }
    const picked = form.getAll('repository').map(Number)
    const selected = form.get('selection') === 'selected'
    if (selected && picked.length === 0) {
      return installPage(reply, person, 'Select at least one repository.')
    }
    const { installation, known: update } = installations.install(
      account,
      person.key,
      selected ? picked : undefined,
    )
    return goBack(request, reply, person, {
      installation_id: String(installation.id),
      setup_action: update ? 'update' : 'install',
    })
  })

  app.get(settings, async (_request, reply) => settingsPage(reply))
  app.post(settings, async (request, reply) => {
    const { id, action } = fieldsOf(request)
    const asked = installations.requests().find((each) => String(each.id) === id)
    const installation = installations.get(Number(id))
    if (asked !== undefined && action === 'approve') {
      installations.install(asked.account, 'ada', undefined)
    } else if (installation !== undefined && action === 'uninstall') {
      installations.uninstall(installation)
    } else if (installation !== undefined && (action === 'suspend' || action === 'unsuspend')) {
      installations.suspend(installation, action === 'suspend')
    }
    return reply.redirect(settings, 303)
  })

  /** To the app: at once, or by way of its consent where it asks for that during the installation. */
  function goBack(
    request: FastifyRequest,
    reply: FastifyReply,
    person: Person,
    said: Readonly<Record<string, string>>,
  ) {
    const to = target()
    const { state } = withState(request)
    // An app without an address to come back to leaves the person at their settings.
    if (to === undefined) return reply.redirect(settings, 303)
    if (installations.authorizes) {
      const query = new URLSearchParams({
        client_id: apps.clientIdOf('github-app') ?? '',
        redirect_uri: to,
        login: person.key,
        state: carriedState(said, state),
      })
      return reply.redirect(`${githubAppDialect.paths.authorize}?${query}`, 303)
    }
    const url = new URL(to)
    for (const [name, value] of Object.entries(said)) url.searchParams.set(name, value)
    if (state !== undefined) url.searchParams.set('state', state)
    return reply.redirect(url.href, 302)
  }

  function installPage(reply: FastifyReply, person: Person, problem?: string) {
    const decides = mayInstall(person.key, organisation.login)
    const accounts = [
      [organisation.login, organisation.name],
      [person.key, person.name],
    ] as const
    return sendPage(reply, {
      title: `Install ${githubApp.name} · GitHub sandbox`,
      note,
      formTarget: target(),
      ...(problem !== undefined && { status: 400 }),
      body: html`<h1>Install ${githubApp.name}</h1>
${problem === undefined ? undefined : html`<p role="alert">${problem}</p>`}
<form method="post"><h2 id="where">Where</h2>
<ul class="scopes" aria-labelledby="where">${accounts.map(
        ([login, name], index) =>
          html`<li><label><input type="radio" name="account" value="${login}"${index === 0 ? html` checked` : undefined}><span>${name}<code>${login}</code></span></label></li>`,
      )}</ul>
<h2 id="which">On these repositories</h2>
<ul class="scopes" aria-labelledby="which"><li><label><input type="radio" name="selection" value="all" checked><span>All repositories<code>also those to come</code></span></label></li>
<li><label><input type="radio" name="selection" value="selected"><span>Only select repositories</span></label></li>${data.repositories
        .list()
        .filter(({ owner }) => accounts.some(([login]) => login === owner))
        .map(
          ({ id, owner, name }) =>
            html`<li><label><input type="checkbox" name="repository" value="${id}"><span>${name}<code>${owner}/${name}</code></span></label></li>`,
        )}</ul>
<h2 id="may">It may then</h2>
<ul class="scopes" aria-labelledby="may">${Object.entries(appPermissions).map(
        ([name, level]) => html`<li><span>${level} ${name.replaceAll('_', ' ')}</span></li>`,
      )}</ul>
${decides ? undefined : html`<p class="quiet">Only an owner of ${organisation.name} can install it there; they will be asked.</p>`}
<div class="actions"><button name="decision" value="cancel">Cancel</button><button class="next" name="decision" value="agree">${decides ? 'Install' : 'Install or request'}</button></div></form>`,
      footer: html`Nothing leaves this machine.`,
    })
  }

  function settingsPage(reply: FastifyReply) {
    const button = (id: number, action: string, words: string) =>
      html`<form method="post"><input type="hidden" name="id" value="${id}"><button name="action" value="${action}">${words}</button></form>`
    const rows = [
      ...installations
        .list()
        .map(
          ({ id, account, repositories, suspendedAt }) =>
            html`<tr><td>${account}</td><td>${repositories === undefined ? 'all repositories' : `${repositories.length} selected`}${suspendedAt === null ? '' : ', suspended'}</td><td>${
              suspendedAt === null ? button(id, 'suspend', 'Suspend') : button(id, 'unsuspend', 'Unsuspend')
            }${button(id, 'uninstall', 'Uninstall')}</td></tr>`,
        ),
      ...installations
        .requests()
        .map(
          ({ id, account, installedBy }) =>
            html`<tr><td>${account}</td><td>asked for by ${installedBy}</td><td>${button(id, 'approve', 'Approve and install')}</td></tr>`,
        ),
    ]
    return sendPage(reply, {
      title: 'Installed GitHub Apps · GitHub sandbox',
      note,
      wide: true,
      body: html`<h1>Installed GitHub Apps</h1>${
        rows.length === 0
          ? html`<p class="quiet">${githubApp.name} is installed nowhere.</p>`
          : html`<table><thead><tr><th scope="col">Account</th><th scope="col">${githubApp.name}</th><th scope="col">To do</th></tr></thead><tbody>${rows}</tbody></table>`
      }`,
    })
  }
}

function known(request: FastifyRequest): boolean {
  return paramOf(request, 'slug') === githubApp.slug
}

function withState(request: FastifyRequest): { readonly state?: string } {
  const { state } = queryOf(request)
  return state === undefined ? {} : { state }
}

function missing(reply: FastifyReply) {
  return sendPage(reply, {
    title: 'Not found · GitHub sandbox',
    note,
    status: 404,
    body: html`<h1>There is nothing here</h1><p>The sandbox has one GitHub App: <a href="/github/apps/${githubApp.slug}">${githubApp.name}</a>.</p>`,
  })
}
