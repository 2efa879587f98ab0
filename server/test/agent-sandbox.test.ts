import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ApprovalView, ToolOutcome } from '@atom/contract/agents.ts'
import { type Sandbox, startSandbox } from '@atom/sandbox/sandbox.ts'
import { githubTools } from '#agents/tools/github-tools.ts'
import { googleTools } from '#agents/tools/google-tools.ts'
import { AgentHouse, type Cast } from './support/agent-house.ts'
import { connected, newKeyring, openHouse } from './support/connection-house.ts'
import { testDatabase } from './support/postgres.ts'
import { visitSandbox } from './support/sandbox-visitor.ts'
import { askedText, outcomes, ScriptedModel, say, use } from './support/scripted-model.ts'

// The tools against GitHub and Google as the sandbox plays them, through the real connection proxy, on a real consent.

interface Scene extends AsyncDisposable {
  readonly sandbox: Sandbox
  readonly house: AgentHouse
  readonly cast: Cast
  /** Calls a tool as an agent does; approves where it asks. The outcome, and the card if there was one. */
  call(tool: string, args?: object): Promise<{ outcome: ToolOutcome; approval: ApprovalView | undefined }>
}

async function scene(): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const sandbox = stack.use(await startSandbox())
  const { database } = stack.use(await testDatabase())
  const connections = stack.use(
    await openHouse({
      database,
      sandbox: { providers: ['github', 'google'], running: () => sandbox, open: async () => sandbox },
      reach: [sandbox.url],
      keyring: newKeyring(),
    }),
  )
  const ada = await connections.person()
  for (const provider of ['github', 'google']) {
    sandbox.allowRedirect(`${connections.url}/v1/oauth/callback/${provider}`)
    const browser = ada.browser()
    const back = await visitSandbox(await browser.connect(provider), { person: 'ada', decision: 'agree' })
    await connected(ada, await browser.open(back))
  }
  const { room } = connections
  const house = stack.use(
    await AgentHouse.open({
      database,
      providerUrl: 'unused',
      proxy: room.proxy,
      connectionsOf: (workspaceId, owner, provider) => room.connections.ownedBy(workspaceId, owner, provider),
      tools: [...githubTools, ...googleTools],
      models: [
        new ScriptedModel((transcript) => {
          const [done] = outcomes(transcript)
          if (done !== undefined) return [say(done.summary)]
          const { tool, args } = JSON.parse(askedText(transcript))
          return [use(tool, args)]
        }),
      ],
    }),
  )
  const cast = await house.cast(ada.principal)
  let calls = 0
  let asked = 0
  return {
    sandbox,
    house,
    cast,
    call: async (tool, args = {}) => {
      calls++
      await house.say(cast, JSON.stringify({ tool, args }))
      let approval: ApprovalView | undefined
      const effect = [...githubTools, ...googleTools].find((each) => each.name === tool)?.effect
      if (effect !== 'read') {
        const requested = await house.nth(cast.roomId, 'approval.requested', ++asked)
        approval = requested.approval
        await house.approvals.decide(cast.person, approval.id, { decision: 'approve' })
      }
      const { outcome } = await house.nth(cast.roomId, 'tool.ended', calls)
      return { outcome, approval }
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

function numberOf(outcome: ToolOutcome): number {
  return Number(/#(\d+)/.exec(outcome.link?.title ?? '')?.[1])
}

test('[AG60] on GitHub: lists issues and repositories, pull requests left out', async () => {
  await using at = await scene()
  const mine = await at.call('github_list_issues')
  assert.equal(mine.outcome.status, 'done', mine.outcome.summary)
  assert.match(mine.outcome.summary, /^\d+ open issues/)
  assert.ok((mine.outcome.total ?? 0) > 0)
  for (const row of mine.outcome.rows ?? []) {
    assert.equal(row.state, 'open')
    assert.match(row.url ?? '', /\/issues\/\d+$/)
  }
  const app = await at.call('github_list_issues', { repository: 'atom-labs/app' })
  assert.match(app.outcome.summary, /open issues in atom-labs\/app$/)
  const repositories = await at.call('github_list_repositories')
  assert.equal(repositories.outcome.rows?.[0]?.title, 'atom-labs/app')
  const nowhere = await at.call('github_list_issues', { repository: 'atom-labs/nowhere' })
  assert.equal(nowhere.outcome.status, 'failed')
  assert.match(nowhere.outcome.summary, /GitHub does not know the repository atom-labs\/nowhere/)
})

test('[AG61] on GitHub: an issue is created, commented on and closed; the card shows what it is about', async () => {
  await using at = await scene()
  const created = await at.call('github_create_issue', { title: 'Fix the login page', body: 'It is slow.' })
  assert.equal(created.outcome.status, 'done', created.outcome.summary)
  assert.equal(created.approval?.title, 'Create an issue in atom-labs/app')
  const number = numberOf(created.outcome)
  const where = { number, repository: 'atom-labs/app' }
  const commented = await at.call('github_comment_issue', { ...where, body: 'On it.' })
  assert.equal(commented.outcome.status, 'done', commented.outcome.summary)
  const closed = await at.call('github_close_issue', where)
  assert.equal(closed.outcome.status, 'done', closed.outcome.summary)
  const context = closed.approval?.fields.find((field) => field.name === 'issue')
  assert.equal(context?.value, 'Fix the login page (open)')
  assert.equal(context?.editable, false)
  assert.deepEqual(
    at.sandbox.control.effects({ provider: 'github' }).map((effect) => effect.kind),
    ['issue.created', 'comment.created', 'issue.closed'],
  )
})

for (const outcome of ['cut', 'cut_after'] as const) {
  test(`[AG62] a write whose connection breaks (${outcome}) happens exactly once: issue, comment, event`, async () => {
    await using at = await scene()
    const strike = (path: string) => at.sandbox.control.fault({ path, method: 'POST', outcome })
    strike('/github/api/repos/*/issues')
    const created = await at.call('github_create_issue', { title: 'Once', repository: 'atom-labs/app' })
    assert.equal(created.outcome.status, 'done', created.outcome.summary)
    const number = numberOf(created.outcome)
    strike('/github/api/repos/*/comments')
    const commented = await at.call('github_comment_issue', {
      number,
      repository: 'atom-labs/app',
      body: 'Once',
    })
    assert.equal(commented.outcome.status, 'done', commented.outcome.summary)
    strike('*/events')
    const event = await at.call('google_create_event', { title: 'Once', start: '2030-01-07T15:00:00+01:00' })
    assert.equal(event.outcome.status, 'done', event.outcome.summary)
    const effects = at.sandbox.control.effects()
    assert.deepEqual(
      effects.map((effect) => effect.kind),
      ['issue.created', 'comment.created', 'event.created'],
    )
  })
}

test('[AG63] on Google: an event is created with its length, and listed again on its day', async () => {
  await using at = await scene()
  const created = await at.call('google_create_event', {
    title: 'Dentist',
    start: '2030-01-07T15:00:00+01:00',
  })
  assert.equal(created.outcome.status, 'done', created.outcome.summary)
  assert.equal(created.approval?.title, 'Create the event “Dentist” on Mon 2030-01-07, 15:00')
  assert.equal(
    created.approval?.fields.find((field) => field.name === 'end')?.value,
    '2030-01-07T16:00:00+01:00',
  )
  const listed = await at.call('google_list_events', { start: '2030-01-07T00:00:00+01:00' })
  assert.equal(listed.outcome.total, 1, listed.outcome.summary)
  assert.equal(listed.outcome.rows?.[0]?.title, 'Dentist')
  const empty = await at.call('google_list_events', { start: '2030-02-07T00:00:00+01:00' })
  assert.match(empty.outcome.summary, /^Nothing in your calendar/)
  const week = await at.call('google_list_events')
  assert.equal(week.outcome.status, 'done', week.outcome.summary)
  const day = await at.call('google_create_event', {
    title: 'Holiday',
    start: '2030-01-08T00:00:00+01:00',
    end: '2030-01-10T00:00:00+01:00',
  })
  assert.match(day.outcome.summary, /Tue 2030-01-08, all day/)
})

test('[AG64] an account whose consent was withdrawn: the agent says so and offers to reconnect', async () => {
  await using at = await scene()
  at.sandbox.control.revoke('github')
  const { outcome } = await at.call('github_list_issues')
  assert.equal(outcome.status, 'failed')
  const final = await at.house.nth(at.cast.roomId, 'message.final')
  assert.match(final.text, /Reconnect your account/)
  assert.deepEqual(final.choices, [{ label: 'Reconnect GitHub', connect: 'github' }])
})

test('[AG65] a provider that asks to slow down, or is broken, is named with its reason', async () => {
  await using at = await scene()
  at.sandbox.control.fault({
    path: '/github/api/*',
    outcome: 'rate_limited',
    times: 4,
    retryAfterSeconds: 120,
  })
  const slow = await at.call('github_list_repositories')
  assert.match(slow.outcome.summary, /GitHub asks to slow down/)
  at.sandbox.control.fault({ path: '/google/*', outcome: { status: 503 }, times: 4 })
  const broken = await at.call('google_list_events')
  assert.equal(broken.outcome.status, 'failed')
  assert.match(broken.outcome.summary, /Google/)
})
