import type { FastifyInstance } from 'fastify'
import { html, sendPage } from '../page.ts'
import { paramOf } from '../request-parts.ts'
import type { SlackData } from './slack-data.ts'
import { personBySlackId } from './slack-team.ts'

const note = 'Sandbox: a stand-in for Slack on this machine'

/** Where a permalink leads: a message with its thread, and the channel around it. */
export function slackPages(app: FastifyInstance, data: SlackData): void {
  app.get('/slack/archives/:channel/:message', async (request, reply) => {
    const channel = data.channel(paramOf(request, 'channel'))
    const ts = paramOf(request, 'message').replace(/^p(\d+)(\d{6})$/, '$1.$2')
    const message = channel === undefined ? undefined : data.message(channel, ts)
    if (channel === undefined || message === undefined) {
      return sendPage(reply, {
        title: 'Not found · Slack sandbox',
        note,
        status: 404,
        body: html`<h1>There is no such message</h1><p>The sandbox has no message at this address.</p>`,
      })
    }
    const shown = data
      .messages(channel)
      .filter((each) => each.ts === ts || each.threadTs === ts)
      .reverse()
    return sendPage(reply, {
      title: `#${channel.name} · Slack sandbox`,
      note,
      wide: true,
      body: html`<p class="quiet">${channel.purpose}</p><h1>#${channel.name}</h1>${shown.map(
        ({ user, text, ts: at, editedTs }) =>
          html`<div class="comment"><div class="meta"><b>${personBySlackId(user)?.name ?? 'Atom'}</b><span>${new Date(Number(at) * 1000).toISOString().slice(0, 16).replace('T', ' ')}</span>${
            editedTs === undefined ? undefined : html`<span>edited</span>`
          }</div><div class="text">${text}</div></div>`,
      )}`,
    })
  })
}
