import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, GraphError, PageIterator } from '@microsoft/microsoft-graph-client'
import { LoopbackTls } from './support/loopback-tls.ts'
import { sdkScene } from './support/sdk-scene.ts'

interface Mail {
  readonly subject: string
}

test('[CN217] @microsoft/microsoft-graph-client runs through the proxy by its base address: reads, pages by nextLink, a write, a token that ended, a limit, an error', async () => {
  // The SDK shows its token to https addresses only.
  await using front = await LoopbackTls.start()
  await using it = await sdkScene('microsoft', {
    publicUrl: front.url,
    wish: {
      scopes: [
        'openid',
        'profile',
        'email',
        'offline_access',
        'User.Read',
        'Mail.ReadWrite',
        'Mail.Send',
        'Calendars.ReadWrite',
      ],
    },
  })
  front.port = Number(new URL(it.house.url).port)
  const graph = Client.init({
    baseUrl: `${it.base}/`,
    customHosts: new Set([new URL(front.url).hostname]),
    authProvider: (done) => done(null, it.token),
  })
  assert.match((await graph.api('/me').get()).displayName, /Ada/)

  const first = await graph.api('/me/messages').top(2).select('subject').get()
  assert.ok(first['@odata.nextLink'].startsWith(`${it.base}/v1.0/me/messages?`))
  const subjects: string[] = []
  await new PageIterator(graph, first, (mail: Mail) => {
    subjects.push(mail.subject)
    return true
  }).iterate()
  assert.ok(subjects.length > 2)
  const pages = it.sandbox.control.requests({ path: '/microsoft/graph/v1.0/me/messages' })
  assert.equal(pages.length, Math.ceil(subjects.length / 2))

  const event = await graph.api('/me/events').post({
    subject: 'Through the proxy',
    start: { dateTime: '2030-01-01T10:00:00', timeZone: 'UTC' },
    end: { dateTime: '2030-01-01T11:00:00', timeZone: 'UTC' },
  })
  assert.equal(it.sandbox.control.effects({ provider: 'microsoft' }).length, 1)

  const before = it.tokenRequests()
  it.sandbox.control.expireTokens('microsoft')
  assert.equal((await graph.api(`/me/events/${event.id}`).get()).subject, 'Through the proxy')
  assert.equal(it.tokenRequests(), before + 1)

  // The SDK waits as long as it is told, and comes again by itself.
  using limit = it.sandbox.control.fault({
    path: '/microsoft/graph/v1.0/me',
    outcome: 'rate_limited',
    retryAfterSeconds: 1,
  })
  assert.match((await graph.api('/me').get()).displayName, /Ada/)
  assert.equal(limit.struck, 1)
  await assert.rejects(
    graph.api('/me/messages/nothing').get(),
    (error) => error instanceof GraphError && error.statusCode === 404 && error.code === 'ErrorItemNotFound',
  )
})
