import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { EmbeddedModel } from '#agents/models/embedded-model.ts'
import type { Model, ModelPart, TranscriptEntry } from '#agents/models/model.ts'
import { OpenAICompatibleModel } from '#agents/models/openai-compatible.ts'
import { githubTools } from '#agents/tools/github-tools.ts'
import { googleTools } from '#agents/tools/google-tools.ts'
import { openUnderstanding } from '#agents/understanding/understanding.ts'
import { AtomError } from '#foundation/errors.ts'
import { Secret } from '#foundation/secret.ts'
import { AgentHouse } from './support/agent-house.ts'
import { CompletionsServer, type Reply } from './support/completions-server.ts'
import { IssueTracker } from './support/issue-tracker.ts'
import { testDatabase, testLog } from './support/postgres.ts'
import { obedient } from './support/scripted-model.ts'
import { until } from './support/until.ts'

const tools = [...githubTools, ...googleTools]
const providerName = (provider: string) => ({ github: 'GitHub', google: 'Google' })[provider] ?? provider

const person = (text: string): TranscriptEntry => ({ role: 'person', name: 'Ada', text, at: new Date() })

async function parts(
  model: Model,
  transcript: readonly TranscriptEntry[],
  signal = new AbortController().signal,
) {
  const said: ModelPart[] = []
  for await (const part of model.step({ transcript, tools, signal })) said.push(part)
  return said
}

const textOf = (said: readonly ModelPart[]) =>
  said.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('')
const callsOf = (said: readonly ModelPart[]) =>
  said.flatMap((part) => (part.type === 'toolCall' ? [{ tool: part.tool, args: part.args }] : []))

const dataDir = await mkdtemp(join(tmpdir(), 'atom-model-'))
const understanding = openUnderstanding({ dataDir, tools, log: testLog })
const embedded = new EmbeddedModel({ understanding, providerName })
after(async () => {
  await understanding[Symbol.asyncDispose]()
  await rm(dataDir, { recursive: true, force: true })
})

function compatible(server: CompletionsServer, changes: object = {}) {
  return new OpenAICompatibleModel({
    baseUrl: server.baseUrl,
    key: new Secret('sk-of-the-test'),
    name: 'test-model',
    retries: 0,
    ...changes,
  })
}

// One suite for every model: what the turn relies on.

const siblings = [
  {
    name: 'the embedded agent',
    with: async (_replies: Reply[], work: (model: Model) => Promise<void>) => work(embedded),
  },
  {
    name: 'an OpenAI-compatible model',
    with: async (replies: Reply[], work: (model: Model) => Promise<void>) => {
      await using server = await CompletionsServer.start()
      server.replies = replies
      await work(compatible(server))
    },
  },
]

for (const sibling of siblings) {
  test(`[AG40] ${sibling.name} turns a wish into one call of the right tool`, async () => {
    const replies = [{ calls: [{ name: 'github_list_issues', arguments: '{}' }] }]
    await sibling.with(replies, async (model) => {
      assert.deepEqual(callsOf(await parts(model, [person('show my open issues')])), [
        { tool: 'github_list_issues', args: {} },
      ])
    })
  })

  test(`[AG40] ${sibling.name} fills the arguments from the words`, async () => {
    const args = { title: 'Fix the login page' }
    const replies = [{ calls: [{ name: 'github_create_issue', arguments: JSON.stringify(args) }] }]
    await sibling.with(replies, async (model) => {
      const said = await parts(model, [person('create an issue called Fix the login page')])
      assert.deepEqual(callsOf(said), [{ tool: 'github_create_issue', args }])
    })
  })

  test(`[AG40] ${sibling.name} answers after a result, and calls nothing more`, async () => {
    await sibling.with([{ text: '2 open issues of yours: Search is slow, Dark mode' }], async (model) => {
      const said = await parts(model, [
        person('show my open issues'),
        { role: 'toolCall', callId: 'c1', tool: 'github_list_issues', args: {} },
        {
          role: 'toolResult',
          callId: 'c1',
          tool: 'github_list_issues',
          outcome: {
            status: 'done',
            summary: '2 open issues of yours',
            rows: [{ title: 'Search is slow' }, { title: 'Dark mode' }],
            total: 2,
            durationMs: 3,
          },
        },
      ])
      assert.deepEqual(callsOf(said), [])
      assert.match(textOf(said), /2 open issues/)
    })
  })

  test(`[AG40] ${sibling.name} ends when it is told to`, async () => {
    await sibling.with([{ text: 'never read' }], async (model) => {
      const stop = new AbortController()
      stop.abort(new Error('stopped by a person'))
      await assert.rejects(parts(model, [person('show my open issues')], stop.signal), /stopped by a person/)
    })
  })
}

// The embedded agent

test('[AG41] the embedded agent asks for what is missing, and takes the next message as the answer', async () => {
  const model = embedded
  const asked = await parts(model, [person('create an issue')])
  const question = asked.find((part) => part.type === 'question')?.question
  assert.equal(question?.tool, 'github_create_issue')
  assert.equal(question?.slot, 'title')
  assert.match(textOf(asked), /\?$/)
  const answered = await parts(model, [
    person('create an issue'),
    { role: 'agent', text: textOf(asked), ...(question && { question }) },
    person('Fix the login page'),
  ])
  assert.deepEqual(callsOf(answered), [
    { tool: 'github_create_issue', args: { title: 'Fix the login page' } },
  ])
})

test('[AG42] the embedded agent says that it did not understand, and names the nearest things it can do', async () => {
  const said = await parts(embedded, [person('what is the airspeed velocity of an unladen swallow')])
  assert.deepEqual(callsOf(said), [])
  assert.match(textOf(said), /did not understand/)
  const choices = said.find((part) => part.type === 'choices')?.choices ?? []
  assert.equal(choices.length, 3)
})

test('[AG43] foreign words in an answer stay words: no link, no picture, no markup of theirs', async () => {
  const said = await parts(embedded, [
    person('show my open issues'),
    {
      role: 'toolResult',
      callId: 'c1',
      tool: 'github_list_issues',
      outcome: {
        status: 'done',
        summary: 'Created issue #1 “![x](https://evil.example/?q=1) **hi** [a](b) <img>”',
        durationMs: 1,
      },
    },
  ])
  assert.match(textOf(said), /“!\\\[x\\\]\(https:.*\\\*\\\*hi\\\*\\\* \\\[a\\\]\(b\) \\<img\\>”/)
})

// OpenAI-compatible

test('[AG44] a compatible model is asked with the key, the tools and the transcript, and nothing else', async () => {
  await using server = await CompletionsServer.start()
  server.replies = [{ text: 'Hello.' }]
  const said = await parts(compatible(server), [
    person('create it'),
    { role: 'toolCall', callId: 'a', tool: 'github_list_issues', args: {} },
    { role: 'toolCall', callId: 'b', tool: 'github_list_repositories', args: {} },
    { role: 'toolCall', callId: 'unanswered', tool: 'github_list_repositories', args: {} },
    {
      role: 'toolResult',
      callId: 'a',
      tool: 'github_list_issues',
      outcome: { status: 'done', summary: 'none', durationMs: 1 },
    },
    {
      role: 'toolResult',
      callId: 'b',
      tool: 'github_list_repositories',
      outcome: { status: 'denied', summary: 'no', durationMs: 1 },
    },
  ])
  assert.equal(textOf(said), 'Hello.')
  assert.deepEqual(said.at(-1), { type: 'usage', inputTokens: 11, outputTokens: 7 })
  const [request] = server.requests
  assert.equal(request?.authorization, 'Bearer sk-of-the-test')
  assert.equal(request?.body.model, 'test-model')
  assert.equal(request?.body.stream, true)
  assert.deepEqual(
    request?.body.tools?.map((tool) => tool.function.name).sort(),
    tools.map((tool) => tool.name).sort(),
  )
  const messages = request?.body.messages ?? []
  assert.deepEqual(
    messages.map((message) => message.role),
    ['system', 'user', 'assistant', 'tool', 'tool'],
  )
  assert.equal(messages[2]?.tool_calls?.length, 2)
  assert.match(String(messages[4]?.content), /"status":"denied"/)
})

test('[AG45] two calls at once, and calls with the same id, arrive as two calls', async () => {
  await using server = await CompletionsServer.start()
  server.replies = [
    {
      calls: [
        { id: 'same', name: 'github_list_issues', arguments: '{}' },
        { id: 'same', name: 'github_list_issues', arguments: '{"repository":"a/b"}' },
      ],
    },
  ]
  assert.deepEqual(callsOf(await parts(compatible(server), [person('both')])), [
    { tool: 'github_list_issues', args: {} },
    { tool: 'github_list_issues', args: { repository: 'a/b' } },
  ])
})

test('[AG46] arguments of a megabyte, or that are no JSON, end as a call that does not fit, not as a crash', async () => {
  await using server = await CompletionsServer.start()
  server.replies = [
    {
      calls: [
        {
          name: 'github_create_issue',
          arguments: JSON.stringify({ title: 'x', body: 'y'.repeat(1_000_000) }),
        },
        { name: 'github_create_issue', arguments: '{"title": ' },
        { name: 'no_such_tool', arguments: '{}' },
      ],
    },
  ]
  const calls = callsOf(await parts(compatible(server), [person('go')]))
  assert.deepEqual(calls, [
    { tool: 'github_create_issue', args: { tooLong: true } },
    { tool: 'github_create_issue', args: {} },
    { tool: 'no_such_tool', args: {} },
  ])
})

const failures: [string, Reply][] = [
  ['answers 401', { status: 401 }],
  ['answers 429', { status: 429, retryAfterSeconds: 1 }],
  ['answers 500', { status: 500 }],
  ['says in the middle of the stream that it failed', { fault: 'error_in_stream', text: 'Half an answer' }],
  ['breaks off in the middle of a text', { fault: 'cut', text: 'Half an answer' }],
  [
    'breaks off in the middle of an argument',
    {
      fault: 'cut_in_arguments',
      call: { name: 'github_create_issue', arguments: '{"title":"Fix the login page"}' },
    },
  ],
  ['ends without having finished', { fault: 'no_finish', text: 'Half an answer' }],
  ['speaks something else', { fault: 'not_json' }],
  ['is silent', { fault: 'silent' }],
]

for (const [what, reply] of failures) {
  test(`[AG47] a model that ${what} is unavailable, and never makes half a call`, async () => {
    await using server = await CompletionsServer.start()
    server.replies = [reply]
    const said: ModelPart[] = []
    const model = compatible(server, { timeouts: { firstPieceMs: 200, betweenPiecesMs: 200 } })
    await assert.rejects(
      async () => {
        const step = model.step({ transcript: [person('go')], tools, signal: new AbortController().signal })
        for await (const part of step) said.push(part)
      },
      (error: unknown) => error instanceof AtomError && error.code === 'model_unavailable',
    )
    assert.deepEqual(callsOf(said), [])
  })
}

test('[AG48] a model that is too busy for a moment is asked again after the time it names', async () => {
  await using server = await CompletionsServer.start()
  server.replies = [{ status: 429, retryAfterSeconds: 1 }, { text: 'Now.' }]
  const began = performance.now()
  assert.equal(textOf(await parts(compatible(server, { retries: 1 }), [person('go')])), 'Now.')
  assert.ok(performance.now() - began >= 900)
})

test('[AG49] stopping a turn hangs up on the model', async () => {
  await using server = await CompletionsServer.start()
  server.replies = [{ fault: 'silent' }]
  const stop = new AbortController()
  const waiting = parts(compatible(server), [person('go')], stop.signal)
  await until(() => server.requests.length > 0)
  stop.abort(new Error('stopped by a person'))
  await assert.rejects(waiting, /stopped by a person/)
  await until(() => server.hungUp > 0)
})

test('[AG50] with a model configured, the same turn asks, waits for approval and does: exactly once', async () => {
  await using db = await testDatabase()
  await using tracker = await IssueTracker.start()
  await using server = await CompletionsServer.start()
  server.replies = [
    {
      text: 'I will file that.',
      calls: [
        {
          name: 'github_create_issue',
          arguments: '{"title":"Fix the login page","repository":"atom-labs/app"}',
        },
      ],
    },
    { text: 'Done: issue #1.' },
  ]
  await using house = await AgentHouse.open({
    database: db.database,
    providerUrl: tracker.url,
    models: [compatible(server), obedient()],
  })
  const cast = await house.cast()
  await house.say(cast, 'please create an issue called Fix the login page')
  await house.decide(cast, 'approve')
  const final = await house.nth(cast.roomId, 'message.final')
  assert.equal(final.text, 'I will file that.\n\nDone: issue #1.')
  assert.deepEqual(tracker.effects, ['create Fix the login page'])
  const [started] = await house.all(cast.roomId, 'turn.started')
  assert.equal(started?.model, 'test-model')
})

test('[AG51] when the model breaks off, the built-in agent answers and the room is told so', async () => {
  await using db = await testDatabase()
  await using tracker = await IssueTracker.start()
  await using server = await CompletionsServer.start()
  server.replies = [{ fault: 'cut', text: 'Let me see' }]
  await using house = await AgentHouse.open({
    database: db.database,
    providerUrl: tracker.url,
    models: [compatible(server), embedded],
  })
  const cast = await house.cast()
  tracker.add('atom-labs/app', 'Search is slow')
  await house.say(cast, 'show my open issues')
  const final = await house.nth(cast.roomId, 'message.final')
  assert.match(
    final.text,
    /^_The model test-model does not answer just now, so the built-in agent does\._\n\n/,
  )
  assert.match(final.text, /1 open issue in atom-labs\/app\./)
  assert.doesNotMatch(final.text, /Let me see/)
})
