import assert from 'node:assert/strict'
import { test } from 'node:test'
import { APIErrorCode, APIResponseError, Client, collectPaginatedAPI, LogLevel } from '@notionhq/client'
import { sdkScene } from './support/sdk-scene.ts'

test('[CN212] @notionhq/client runs through the proxy by its base address: reads, pages, a write, a token that ended, a limit, an error', async () => {
  await using it = await sdkScene('notion')
  const notion = new Client({ auth: it.token, baseUrl: it.base, logLevel: LogLevel.ERROR, retry: false })
  assert.equal((await notion.users.me({})).type, 'bot')

  const all = await collectPaginatedAPI(notion.search, { page_size: 3 })
  const searches = it.sandbox.control.requests({ path: '/notion/v1/search' })
  assert.equal(searches.length, Math.ceil(all.length / 3))
  assert.ok(searches.length > 1)
  const page = all.find((found) => found.object === 'page')
  assert.ok(page)

  await notion.blocks.children.append({
    block_id: page.id,
    children: [{ paragraph: { rich_text: [{ text: { content: 'Through the proxy' } }] } }],
  })
  assert.equal(it.sandbox.control.effects({ provider: 'notion' }).length, 1)

  const before = it.tokenRequests()
  it.sandbox.control.expireTokens('notion')
  assert.equal((await notion.pages.retrieve({ page_id: page.id })).id, page.id)
  assert.equal(it.tokenRequests(), before + 1)

  using _limit = it.sandbox.control.fault({ path: '/notion/v1/users', outcome: 'rate_limited' })
  await assert.rejects(
    notion.users.list({}),
    (error) => APIResponseError.isAPIResponseError(error) && error.code === APIErrorCode.RateLimited,
  )
  await assert.rejects(
    notion.pages.retrieve({ page_id: '00000000-0000-4000-8000-000000000000' }),
    (error) => APIResponseError.isAPIResponseError(error) && error.code === APIErrorCode.ObjectNotFound,
  )
})
