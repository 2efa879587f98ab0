import assert from 'node:assert/strict'
import { test } from 'node:test'
// One API of the package: all of them together take seconds to load.
import { auth, calendar, type calendar_v3 } from 'googleapis/build/src/apis/calendar/index.js'
import { sdkScene } from './support/sdk-scene.ts'

test('[CN215] googleapis runs through the proxy by its base address: reads, pages, a write, a token that ended, a limit, an error', async () => {
  await using it = await sdkScene('google')
  const person = new auth.OAuth2()
  person.setCredentials({ access_token: it.token })
  const google = calendar({ version: 'v3', auth: person, retry: false })
  // With each call: given once for all, the SDK takes the origin of `rootUrl` alone and forgets its path.
  const here = { rootUrl: `${it.base}/` }
  const primary = { calendarId: 'primary' }

  const titles: (string | null | undefined)[] = []
  let pages = 0
  for (let pageToken: string | undefined = ''; pageToken !== undefined; pages++) {
    const { data }: { data: calendar_v3.Schema$Events } = await google.events.list(
      { ...primary, maxResults: 2, ...(pageToken !== '' && { pageToken }) },
      here,
    )
    titles.push(...(data.items ?? []).map(({ summary }) => summary))
    pageToken = data.nextPageToken ?? undefined
  }
  assert.ok(pages > 1)
  assert.ok(titles.length > 2)

  const { data: event } = await google.events.insert(
    {
      ...primary,
      requestBody: {
        summary: 'Through the proxy',
        start: { dateTime: '2030-01-01T10:00:00Z' },
        end: { dateTime: '2030-01-01T11:00:00Z' },
      },
    },
    here,
  )
  assert.equal(event.summary, 'Through the proxy')
  assert.equal(it.sandbox.control.effects({ kind: 'event.created' }).length, 1)

  const before = it.tokenRequests()
  it.sandbox.control.expireTokens('google')
  const again = await google.events.get({ ...primary, eventId: event.id ?? '' }, here)
  assert.equal(again.data.summary, 'Through the proxy')
  assert.equal(it.tokenRequests(), before + 1)

  using _limit = it.sandbox.control.fault({
    path: '/google/calendar/v3/calendars/primary/events',
    outcome: 'rate_limited',
  })
  await assert.rejects(google.events.list({ calendarId: 'primary' }, here), {
    status: 403,
    message: /Rate Limit Exceeded/,
  })
  assert.ok(it.house.lines.some((line) => line.includes('the provider limits this account')))
  await assert.rejects(google.events.get({ ...primary, eventId: 'nothing0here' }, here), { status: 404 })
})
