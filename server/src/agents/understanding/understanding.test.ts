import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { githubTools } from '#agents/tools/github-tools.ts'
import { googleTools } from '#agents/tools/google-tools.ts'
import { createLog } from '#foundation/log.ts'
import type { Command } from './command.ts'
import { smallTalk } from './small-talk.ts'
import { openUnderstanding } from './understanding.ts'

const tools = [...githubTools, ...googleTools]
const now = new Date(2026, 10, 25, 10, 30)

const folder = await mkdtemp(join(tmpdir(), 'atom-understanding-'))
const workers: Worker[] = []
const remember = (worker: Worker) => workers.push(worker)
process.on('worker', remember)
const lines: Record<string, unknown>[] = []
const log = createLog({
  level: 'debug',
  write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>),
})
const open = (dataDir = folder) => openUnderstanding({ dataDir, tools, log })
const shared = open()
after(async () => {
  process.off('worker', remember)
  await shared[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

const weightsIn = async (dataDir: string) => {
  const names = await readdir(join(dataDir, 'understanding'))
  assert.equal(names.length, 1, names.join(' '))
  return join(dataDir, 'understanding', names[0] ?? '')
}
const readyLines = () => lines.filter(({ msg }) => msg === 'the embedded agent is ready')

/** What a command is about: the tool that it calls or asks a particular of, or the kind of talk. */
function aim(command: Command): string {
  if (command.kind === 'call' || command.kind === 'ask') return command.tool
  if (command.kind === 'answer') return command.topic
  if (command.kind === 'clarify') return `clarify ${command.options.map(({ tool }) => tool).join(' ')}`
  return command.kind === 'cannotHandle' ? 'other' : command.kind
}

/** As an outsider would say it; none of them is an example that was learned. */
const outsiders: Readonly<Record<string, readonly string[]>> = {
  github_list_issues: [
    'which tickets are still open',
    'what bugs do I still have to fix',
    'can I see my issues please',
    'list everything open in octo/app',
    'what is assigned to me on github at the moment',
    'display the open tickets of octo/web',
    'do I have any unresolved issues',
    'pull up my github issues',
    'how many open issues do I have',
    'tell me about the issues in octo/app',
  ],
  github_create_issue: [
    'make a new issue named Search returns nothing',
    'I would like to file an issue: login button is grey',
    'could you create a bug report called Page crashes on save',
    'open up a ticket titled "Remove old logo" in octo/web',
    'we need an issue about the slow start page',
    'please log an issue for the missing translations',
    'start a new github ticket',
    'submit a bug: wrong currency on the invoice',
    'add a new issue to octo/app called Support dark mode',
  ],
  github_close_issue: [
    'you can close number 14',
    'please mark #8 as resolved',
    'ticket 31 can be closed now',
    'set issue 9 to closed',
    'close the ticket #77 in octo/app',
    'issue 6 is solved, so shut it',
    'finish issue 55',
    'close bug 4 of octo/web please',
  ],
  github_comment_issue: [
    'say on issue 15 that we are working on it',
    'put a comment under #4: same here',
    'write a reply to ticket 6 saying please try again',
    'can you comment "cannot reproduce" on issue 22',
    'add a note to issue 30 that the fix is live',
    'leave feedback on bug 12: looks good',
    'post "thank you" on issue 2 in octo/app',
    'let them know on issue 17 that a release comes on monday',
  ],
  github_list_repositories: [
    'which projects are in my github account',
    'show me a list of all my repos',
    'what repositories have I got',
    'can you list the repos I own',
    'display my github projects',
    'what repos are there',
    'I want to see my repositories',
    'name my repositories',
  ],
  google_list_events: [
    'what do I have going on tomorrow',
    'is there anything on my schedule for friday',
    'check my calendar for the 3rd of december',
    'am I busy on monday afternoon',
    'what meetings are coming up',
    'tell me my plans for this weekend',
    'do I have something at 3 pm tomorrow',
    'look up my appointments for next week',
    'what does my tuesday look like',
    'read me my agenda for today',
  ],
  google_create_event: [
    'put a meeting with Ann on my calendar for monday at 10',
    'add lunch with Tom to my calendar on friday at noon',
    'make an appointment with the dentist on december 3rd at 9am',
    'schedule a phone call with Sam for tomorrow at 5',
    'create a calendar entry named Tax day on december 15th',
    'set a meeting for thursday 2 to 3 pm',
    'reserve wednesday 9 to 11 for writing',
    'I need a new event on my calendar for saturday at 8 pm',
    'book time with Eve tomorrow at 11',
  ],
  greeting: [
    'hello there',
    'good afternoon',
    'hi atom',
    'hey, good morning',
    'howdy',
    'greetings',
    'hi, how is it going',
    'hello again',
  ],
  thanks: [
    'thank you so much',
    'thanks a lot',
    'many thanks',
    'great job',
    'that was helpful, thank you',
    'thx',
    'wonderful, thanks',
    'much appreciated',
  ],
  help: [
    'what can I do here',
    'tell me what you can do',
    'how can you help me',
    'help me please',
    'what are your features',
    'how do I use this',
    'what commands do you know',
    'what do you do',
  ],
  cancel: [
    'cancel that',
    'please stop',
    'nevermind',
    'stop it',
    'forget that',
    'cancel it please',
    'abort this',
    'no, leave it',
  ],
  connect: [
    'connect to github',
    'I want to link google calendar',
    'how can I connect my github',
    'please add my google account',
    'link an account',
    'connect my accounts',
    'set up google',
    'log in to my github account',
  ],
  other: [
    'what is the tallest mountain',
    'play a song by the beatles',
    'how old is the universe',
    'transfer money to my sister',
    'what is my bank balance',
    'turn the heating up',
    'is it going to rain on sunday',
    'find me a recipe for soup',
    'how do you say house in italian',
    'who is the president of brazil',
    'change my password',
    'is my flight on time',
    'tell me a story',
    'what is 17 times 4',
    'send an email to my boss',
    'buy two tickets for the concert',
  ],
}

test('[NL30] what outsiders say is understood, and what is not understood harms nothing', async (context) => {
  const learned = new Set([...tools.flatMap(({ examples }) => examples), ...Object.values(smallTalk).flat()])
  let right = 0
  let offered = 0
  let count = 0
  const wrongWrites: string[] = []
  const missed: string[] = []
  for (const [wanted, texts] of Object.entries(outsiders)) {
    for (const text of texts) {
      assert.ok(!learned.has(text), `“${text}” was learned`)
      const command = await shared.understand(text, { tools, now })
      const got = aim(command)
      count += 1
      if (got === wanted) right += 1
      else if (got.startsWith('clarify') && got.includes(wanted)) offered += 1
      else missed.push(`${wanted} ← “${text}” → ${got}`)
      const tool = tools.find(({ name }) => name === got)
      if (tool !== undefined && tool.effect !== 'read' && got !== wanted)
        wrongWrites.push(`“${text}” → ${got}`)
    }
  }
  const report = `${right} right, ${offered} offered, ${count - right - offered} missed of ${count}`
  context.diagnostic(report)
  for (const line of missed) context.diagnostic(line)
  assert.deepEqual(wrongWrites, [])
  assert.ok(right / count >= 0.8, report)
  assert.ok((right + offered) / count >= 0.85, report)
})

test('[NL31] what was learned is kept, and taken up again without learning', async () => {
  await shared.understand('hello', { tools, now })
  const file = await weightsIn(folder)
  const { mtimeMs } = await stat(file)
  const before = readyLines().length
  await using second = open()
  const said = 'close issue 12 in octo/app'
  assert.deepEqual(
    await second.understand(said, { tools, now }),
    await shared.understand(said, { tools, now }),
  )
  assert.deepEqual(
    readyLines()
      .slice(before)
      .map(({ learned }) => learned),
    [false],
  )
  assert.equal((await stat(file)).mtimeMs, mtimeMs)
})

test('[NL31] weights that were damaged, cut short or written by something else are learned anew and replaced', async () => {
  await shared.understand('hello', { tools, now })
  const sound = await readFile(await weightsIn(folder))
  const flipped = Buffer.from(sound)
  flipped.writeUInt8(flipped.readUInt8(5_000) ^ 1, 5_000)
  for (const damaged of [
    flipped,
    sound.subarray(0, sound.length / 2),
    Buffer.alloc(0),
    Buffer.from('not weights'),
  ]) {
    const dataDir = await mkdtemp(join(folder, 'damaged-'))
    const first = open(dataDir)
    await first.understand('hello', { tools, now })
    await first[Symbol.asyncDispose]()
    const file = await weightsIn(dataDir)
    await writeFile(file, damaged)
    const before = readyLines().length
    await using again = open(dataDir)
    const command = await again.understand('show my open issues', { tools, now })
    assert.equal(aim(command), 'github_list_issues')
    assert.deepEqual(
      readyLines()
        .slice(before)
        .map(({ learned }) => learned),
      [true],
    )
    assert.ok((await readFile(file)).equals(sound), 'the same lessons, the same weights')
  }
})

test('[NL31] weights of earlier examples do not pile up', async () => {
  const dataDir = await mkdtemp(join(folder, 'earlier-'))
  for (const some of [githubTools, googleTools]) {
    await using one = openUnderstanding({ dataDir, tools: some, log })
    await one.understand('hello', { tools: some, now })
  }
  await weightsIn(dataDir)
})

test('[NL31] a folder that takes no file costs a warning and a second, not the agent', async () => {
  const dataDir = join(folder, 'a-file')
  await writeFile(dataDir, 'no folder')
  await using stubborn = open(dataDir)
  assert.equal(aim(await stubborn.understand('show my open issues', { tools, now })), 'github_list_issues')
  assert.ok(
    lines.some(
      ({ level, msg, reason }) => level === 'warn' && reason && /could not be kept/.test(String(msg)),
    ),
  )
})

test('[NL32] when its worker dies the agent says that it is away, and the next message finds a new one', async () => {
  await using mortal = open()
  const context = { tools, now }
  await mortal.understand('hello', context)
  const asked = mortal.understand('show my open issues', context)
  const worker = workers.at(-1)
  assert.ok(worker)
  void worker.terminate()
  await assert.rejects(asked, { code: 'model_unavailable' })
  assert.equal(aim(await mortal.understand('show my open issues', context)), 'github_list_issues')
  assert.notEqual(workers.at(-1), worker)
})

test('[NL32] an agent that was stopped starts no worker any more', async () => {
  const stopped = open()
  await stopped[Symbol.asyncDispose]()
  const before = workers.length
  await assert.rejects(stopped.understand('hello', { tools, now }), { code: 'model_unavailable' })
  assert.equal(workers.length, before)
})

test('[NL33] a text of a hundred kilobytes is read at its beginning, and its words are passed on whole', async () => {
  const words = 'it happens again and again '.repeat(3_700).trim()
  const command = await shared.understand(`comment on issue 12: ${words}`, { tools, now })
  assert.ok(command.kind === 'call', JSON.stringify(command).slice(0, 200))
  assert.equal(command.slots['body'], words)
  const noise = await shared.understand('lorem '.repeat(17_000), { tools, now })
  assert.notEqual(noise.kind, 'call')
})

test('[NL33] fifty texts at once are each answered with their own', async () => {
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, at) => shared.understand(`close issue ${at + 1}`, { tools, now })),
  )
  assert.deepEqual(
    answers.map((command) => command.kind === 'call' && command.slots['number']),
    Array.from({ length: 50 }, (_, at) => String(at + 1)),
  )
})

/** Runs in a process of its own, so that what it prints, and what is installed for it, can be told apart. */
async function apart(missing: boolean) {
  const dataDir = await mkdtemp(join(folder, 'apart-'))
  const hide = `import { registerHooks } from 'node:module'
    registerHooks({ resolve: (name, context, next) => {
      if (name.startsWith('@energetic-ai/')) throw new Error('hidden: ' + name)
      return next(name, context)
    } })`
  const program = `import { openUnderstanding } from ${JSON.stringify(new URL('./understanding.ts', import.meta.url).href)}
    import { githubTools } from ${JSON.stringify(new URL('../tools/github-tools.ts', import.meta.url).href)}
    import { createLog } from ${JSON.stringify(new URL('../../foundation/log.ts', import.meta.url).href)}
    const log = createLog({ level: 'warn' })
    const understanding = openUnderstanding({ dataDir: ${JSON.stringify(dataDir)}, tools: githubTools, log })
    const keepAlive = setInterval(() => undefined, 1000)
    const command = await understanding.understand('please close the issue 12', { tools: githubTools, now: new Date() })
    await understanding[Symbol.asyncDispose]()
    clearInterval(keepAlive)
    console.log(JSON.stringify({ command }))`
  const file = join(dataDir, 'program.mjs')
  await writeFile(file, program)
  const child = spawn(
    process.execPath,
    [...(missing ? ['--import', `data:text/javascript,${encodeURIComponent(hide)}`] : []), file],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const [out, err] = await Promise.all(
    [child.stdout, child.stderr].map(async (stream) => (await stream.toArray()).join('')),
  )
  return { out: out ?? '', err: err ?? '' }
}

test('[NL34] loading it prints nothing on the error stream', async () => {
  const { out, err } = await apart(false)
  assert.equal(err, '')
  assert.match(out, /^\{"command":\{"kind":"call","tool":"github_close_issue"/)
})

test('[NL34] without the sentence embeddings it warns, and understands plain commands still', async () => {
  const { out, err } = await apart(true)
  assert.equal(err, '')
  assert.match(out, /understanding is weaker/)
  assert.match(out, /hidden: @energetic-ai\/core/)
  assert.match(out, /"tool":"github_close_issue"/)
})
