import type { FastifyInstance } from 'fastify'
import { html, sendPage } from './page.ts'
import { people } from './people.ts'
import { isSandboxProvider, providerNames, type SandboxAddress } from './stand-in.ts'

/** What stands at `/`: what this is, and what an app needs to use it. */
export function frontPage(app: FastifyInstance, about: () => SandboxAddress): void {
  app.get('/favicon.ico', async (_request, reply) => reply.status(204).send())

  app.get('/', async (_request, reply) => {
    const { url, origins, apps } = about()
    return sendPage(reply, {
      title: 'Atom sandbox',
      note: 'Sandbox: stand-ins for your providers on this machine',
      wide: true,
      body: html`<h1>Atom sandbox</h1>
<p class="quiet">Speaks like the providers, over a real authorization server, with made-up people and data. Nothing leaves this machine.</p>
<h2>Say this instead of the provider’s own address</h2>
<table><thead><tr><th scope="col">Provider</th><th scope="col">Here</th></tr></thead><tbody>${Object.entries(
        origins,
      ).map(
        ([real, here]) =>
          html`<tr><td>${real.slice('https://'.length)}</td><td><code>${here}</code></td></tr>`,
      )}</tbody></table>
<h2>Apps</h2>
<table><thead><tr><th scope="col">Provider</th><th scope="col">Client id and secret</th></tr></thead><tbody>
${Object.entries(apps).map(
  ([id, { clientId, clientSecret }]) =>
    html`<tr><td>${isSandboxProvider(id) ? providerNames[id] : id}</td><td><code>${clientId}</code><br><code>${clientSecret}</code></td></tr>`,
)}</tbody></table>
<h2>People</h2>
<table><thead><tr><th scope="col">Name</th><th scope="col">At every provider</th></tr></thead><tbody>${people.map(
        ({ key, name, email }) =>
          html`<tr><td>${name}</td><td><a href="/github/${key}">${key}</a>, ${email}</td></tr>`,
      )}</tbody></table>
<h2>To turn things</h2>
<p class="quiet">Faults, revocations, time and what was written: <code>${url}/_control</code></p>`,
    })
  })
}
